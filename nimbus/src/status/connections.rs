//! Where the status comes from the network: connections that have sent a whole request.

use std::io;
use std::net::SocketAddr;

use axum::serve::Listener;
use daemon::tls::Connection;
use futures::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// The connections of the status endpoint.
pub(crate) struct Connections {
    accepted: ReceiverStream<io::Result<Connection>>,
    address: SocketAddr,
}

impl Connections {
    pub(crate) fn new(
        accepted: ReceiverStream<io::Result<Connection>>,
        address: SocketAddr,
    ) -> Self {
        Self { accepted, address }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.accepted.next().await {
                Some(Ok(connection)) => {
                    let peer = connection.peer();
                    return (connection, peer);
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
