//! Accepting connections so that no stranger can starve the I/O thread.
//!
//! gRPC's own loop tries again at once when the process is out of file descriptors, which on a
//! single thread would stop everything else, and it waits for ever for the first byte of a
//! connection. Here an error is waited out, and a connection that says nothing is dropped.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use daemon::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

/// Most connections that have not said anything yet; more wait in the backlog of the system.
const SILENT_MAX: usize = 64;

/// How long a connection may say nothing: a worker speaks first.
const FIRST_BYTE: Duration = Duration::from_secs(1);

/// How long to wait after an error; most are a lack of file descriptors, which takes time.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections of a listener that have begun to speak.
pub(super) fn connections(
    listener: TcpListener,
    shutdown: &Shutdown,
) -> ReceiverStream<io::Result<TcpStream>> {
    let (accepted, connections) = mpsc::channel(SILENT_MAX);
    shutdown.spawn_until_asked(accept(listener, accepted, shutdown.clone()));
    ReceiverStream::new(connections)
}

async fn accept(
    listener: TcpListener,
    accepted: mpsc::Sender<io::Result<TcpStream>>,
    shutdown: Shutdown,
) {
    let silent = Arc::new(Semaphore::new(SILENT_MAX));
    loop {
        let Ok(place) = Arc::clone(&silent).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(problem) => {
                warn!(%problem, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let accepted = accepted.clone();
        shutdown.spawn_until_asked(async move {
            if speaks(&stream).await && accepted.send(Ok(stream)).await.is_err() {
                debug!("a connection came while the server stopped");
            }
            drop(place);
        });
    }
}

/// Waits for the first byte, and leaves it where it is.
async fn speaks(stream: &TcpStream) -> bool {
    let first = timeout(FIRST_BYTE, stream.peek(&mut [0])).await;
    matches!(first, Ok(Ok(1..))) && stream.set_nodelay(true).is_ok()
}
