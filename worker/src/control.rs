//! The worker's end of the conversation with its supervisor: dials the Unix socket for as long as
//! the worker lives, says hello, reports, and passes on what it is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::{Backoff, Shutdown};
use hyper_util::rt::TokioIo;
use proto::supervisor::from_worker::Kind as Said;
use proto::supervisor::to_worker::Kind as Told;
use proto::supervisor::worker_control_client::WorkerControlClient;
use proto::supervisor::{FromWorker, WorkerHello, WorkerReport};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Largest message either side sends, in bytes: results of up to 1 MiB a task.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the supervisor told, waiting for the worker.
const TOLD_MAX: usize = 64;

/// The worker's end of the conversation.
pub(crate) struct Control {
    /// What the supervisor told.
    pub(crate) told: mpsc::Receiver<Told>,
    /// The newest report; it is sent when it changes.
    pub(crate) report: watch::Sender<WorkerReport>,
}

impl Control {
    /// Dials the supervisor until `shutdown`.
    pub(crate) fn start(socket: PathBuf, hello: WorkerHello, shutdown: &Shutdown) -> Self {
        let (telling, told) = mpsc::channel(TOLD_MAX);
        let (report, reports) = watch::channel(WorkerReport::default());
        shutdown.spawn_until_asked(async move {
            let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
            loop {
                let mut hello = hello.clone();
                hello.released = reports.borrow().released.clone();
                match converse(&socket, &hello, &telling, reports.clone()).await {
                    Ok(()) => backoff.reset(),
                    Err(error) => {
                        tracing::debug!(%error, "the supervisor is away");
                    }
                }
                tokio::time::sleep(backoff.next(rand::random())).await;
            }
        });
        Self { told, report }
    }
}

/// One conversation: ends when the supervisor hangs up.
async fn converse(
    socket: &Path,
    hello: &WorkerHello,
    telling: &mpsc::Sender<Told>,
    mut reports: watch::Receiver<WorkerReport>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (saying, said) = mpsc::channel::<FromWorker>(4);
    saying.send(FromWorker { kind: Some(Said::Hello(hello.clone())) }).await?;
    let mut client = WorkerControlClient::new(dial(socket.to_owned()).await?)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let mut told = client.attach(ReceiverStream::new(said)).await?.into_inner();
    loop {
        tokio::select! {
            next = told.next() => match next {
                None => return Ok(()),
                Some(message) => {
                    if let Some(kind) = message?.kind {
                        telling.send(kind).await?;
                    }
                }
            },
            changed = reports.changed() => {
                changed?;
                let report = reports.borrow_and_update().clone();
                saying.send(FromWorker { kind: Some(Said::Report(report)) }).await?;
            }
        }
    }
}

async fn dial(socket: PathBuf) -> Result<Channel, tonic::transport::Error> {
    // The address is not used: the connector knows the socket.
    Endpoint::from_static("http://supervisor.invalid")
        .connect_timeout(Duration::from_secs(2))
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
}
