//! Where the status comes from the network: connections that have sent a whole request.

use std::io;
use std::net::SocketAddr;

use axum::serve::Listener;
use daemon::Shutdown;
use daemon::accept::{self, Protocol};
use futures::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::ReceiverStream;

/// The connections of the status endpoint.
pub(crate) struct Connections {
    accepted: ReceiverStream<io::Result<TcpStream>>,
    address: SocketAddr,
}

impl Connections {
    pub(crate) fn new(listener: TcpListener, address: SocketAddr, shutdown: &Shutdown) -> Self {
        Self { accepted: accept::connections(listener, Protocol::Http1, shutdown), address }
    }
}

impl Listener for Connections {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.accepted.next().await {
                Some(Ok(stream)) => {
                    // A connection that is gone already has no other end.
                    if let Ok(peer) = stream.peer_addr() {
                        return (stream, peer);
                    }
                }
                Some(Err(_)) => {}
                // The process stops; whoever serves is told so too.
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
