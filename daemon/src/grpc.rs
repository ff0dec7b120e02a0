//! How every gRPC server and channel of Squall is set up.
//!
//! Both ends take HTTP/2 frames of 256 KiB: a frame size of 16 KiB, the default, makes tuple
//! streams 2 to 4 times slower. Windows stay at their defaults, and Nagle's algorithm is off.
//! Pings find a connection whose other end is gone without a word within a second.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Server};

use crate::Shutdown;
use crate::accept::{self, Protocol};
use crate::listen::Security;
use crate::tls::Connection;

/// Largest HTTP/2 frame that either end takes.
pub const FRAME_BYTES_MAX: u32 = 256 << 10;

/// How often a connection is pinged.
pub const PING_INTERVAL: Duration = Duration::from_millis(500);

/// How long the answer to a ping may take before the connection counts as broken.
pub const PING_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a connection may take to stand.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer to a call that is no stream may take, for callers to set.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts a server; give it services, then serve them on [`incoming`].
///
/// ```
/// use daemon::listen::{ListenRange, Security, bind};
/// use daemon::{Shutdown, grpc};
/// use tonic::service::Routes;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let any_port: ListenRange = "127.0.0.1:0".parse().unwrap();
/// let security = Security::Loopback;
/// let listener = bind(any_port, &security).await.unwrap();
/// let address = listener.local_addr().unwrap();
/// let (shutdown, asked) = (Shutdown::new(), Shutdown::new());
/// let services = Routes::default();
/// let incoming = grpc::incoming(listener, &security, &shutdown);
/// shutdown.spawn(async move {
///     let server = grpc::server().add_routes(services);
///     let asked = async move { asked.asked().await };
///     server.serve_with_incoming_shutdown(incoming, asked).await.unwrap();
/// });
/// let endpoint = grpc::endpoint(&address.to_string()).unwrap();
/// let channel = grpc::connect(endpoint, &security).await.unwrap();
/// # drop(channel);
/// # });
/// ```
pub fn server() -> Server {
    Server::builder()
        .max_frame_size(FRAME_BYTES_MAX)
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
}

/// Makes the connections that a server takes from a listener.
#[must_use]
pub fn incoming(
    listener: TcpListener,
    security: &Security,
    shutdown: &Shutdown,
) -> ReceiverStream<io::Result<Connection>> {
    accept::connections(listener, Protocol::Http2, security, shutdown)
}

/// Makes the end that dials `address`, `host:port`; [`connect`] dials.
///
/// # Errors
///
/// If that is not an address.
pub fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .max_frame_size(FRAME_BYTES_MAX)
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// Dials what an endpoint names, with TLS where that is how this process speaks.
///
/// # Errors
///
/// If nobody answers there, or one end refuses the other.
pub async fn connect(
    endpoint: Endpoint,
    security: &Security,
) -> Result<Channel, tonic::transport::Error> {
    match security.tls() {
        None => endpoint.connect().await,
        Some(tls) => tls.connect(endpoint).await,
    }
}

/// Makes the end that dials a Unix socket. The operating system tells at once when its other end
/// is gone, so it sends no pings.
///
/// # Errors
///
/// If that cannot be the path of a socket.
pub fn socket_endpoint(path: &Path) -> Result<Endpoint, tonic::transport::Error> {
    let uri = format!("unix://{}", path.display());
    Ok(Endpoint::from_shared(uri)?.max_frame_size(FRAME_BYTES_MAX).connect_timeout(CONNECT_TIMEOUT))
}
