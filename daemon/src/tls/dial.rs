//! Dialling with TLS: the connection under a gRPC channel.
//!
//! Each connection takes the certificate that is in use then, also when a channel connects anew by
//! itself. Who is dialled may refuse our certificate only after the handshake is over for us (TLS
//! 1.3), so that the first read finds out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use super::material::server_name;
use super::{Tls, words};

impl Tls {
    /// Connects a channel to the server that an endpoint names.
    pub(crate) async fn connect(
        &self,
        endpoint: Endpoint,
    ) -> Result<Channel, tonic::transport::Error> {
        let tls = self.clone();
        let dial = move |uri: Uri| {
            let tls = tls.clone();
            async move { tls.dial(&uri).await.map(TokioIo::new) }
        };
        endpoint.connect_with_connector(tower::service_fn(dial)).await
    }

    /// Dials `host:port` for bytes of any kind, where [`Protocol::Bytes`](crate::accept::Protocol) is
    /// accepted.
    ///
    /// # Errors
    ///
    /// If that is no address, nobody answers there, or one end refuses the other.
    pub async fn stream(
        &self,
        address: &str,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        let uri: Uri = address.parse().map_err(io::Error::other)?;
        self.dial(&uri).await
    }

    async fn dial(&self, uri: &Uri) -> io::Result<Dialled> {
        let host = uri.host().unwrap_or_default();
        let name = server_name(host)?;
        let bare = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or(443))).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.material().client));
        let peer = uri.authority().map(ToString::to_string).unwrap_or_default();
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Dialled { stream, tls: self.clone(), peer }),
            Err(problem) => {
                self.refused(peer, &problem);
                Err(io::Error::new(problem.kind(), words::of(&problem)))
            }
        }
    }
}

/// A connection that was dialled.
#[derive(Debug)]
struct Dialled {
    stream: TlsStream<TcpStream>,
    tls: Tls,
    peer: String,
}

impl AsyncRead for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        Poll::Ready(read.map_err(|problem| {
            if words::tls(&problem).is_none() {
                return problem;
            }
            self.tls.refused(&self.peer, &problem);
            io::Error::new(problem.kind(), words::of(&problem))
        }))
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
