//! Where the status comes from the network: connections that have sent a whole request, and that
//! take what they asked for.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use daemon::tls::Connection;
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_stream::wrappers::ReceiverStream;

/// How long somebody may take nothing of what is sent to it.
const PATIENCE: Duration = Duration::from_secs(20);

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
    type Io = Reader<Connection>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Reader<Connection>, SocketAddr) {
        loop {
            match self.accepted.next().await {
                Some(Ok(connection)) => {
                    let peer = connection.peer();
                    return (Reader { connection, patience: PATIENCE, waiting: None }, peer);
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

/// A connection that fails once the other side takes nothing for a while: who stops reading would
/// else keep it, and what is to be sent, for as long as it likes.
pub(crate) struct Reader<C> {
    connection: C,
    patience: Duration,
    /// Runs out while nothing can be written.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Reader<Connection> {
    /// Whether it showed a certificate, or none is wanted.
    pub(crate) fn is_identified(&self) -> bool {
        self.connection.is_identified()
    }
}

impl<C> Reader<C> {
    fn patiently<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waiting = None;
            return result;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Reader<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Reader<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.connection).poll_write(cx, bytes);
        self.patiently(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.connection).poll_flush(cx);
        self.patiently(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.connection).poll_shutdown(cx);
        self.patiently(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_hung_up_on_and_who_takes_something_is_not() {
        let (ours, mut theirs) = duplex(16);
        let patience = Duration::from_millis(50);
        let mut reader = Reader { connection: ours, patience, waiting: None };
        reader.write_all(&[1; 16]).await.expect("there is room");
        let mut taken = [0; 16];
        theirs.read_exact(&mut taken).await.expect("it is there");
        reader.write_all(&[2; 16]).await.expect("there is room again");
        let stuck = reader.write_all(&[3]).await.expect_err("nobody takes it");
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
    }
}
