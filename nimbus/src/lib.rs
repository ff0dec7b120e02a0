//! Nimbus: decides which tasks run where, and shows what is.
//!
//! Several may run; one leads. What the leader knows comes in as events (`observe`, `rpc`), the
//! [`engine`] decides without acting, and what it decides goes out as guarded transactions
//! (`apply`). The loop in `daemon` is where they meet. All durable state is in the coordination
//! store, so a nimbus that is killed and started again, or another one, goes on where it stopped;
//! workers do not notice.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! let clock = daemon::Clock::system();
//! let shutdown = daemon::Shutdown::new();
//! let store = Arc::new(coordination::MemoryStore::new(clock.clone()));
//! let config = nimbus::Config::new("nimbus-1", "/var/lib/squall");
//! let running = nimbus::start(config, store, clock, shutdown).await?;
//! println!("supervisors dial {}", running.address);
//! # Ok(())
//! # }
//! ```

mod apply;
mod binaries;
mod config;
mod daemon;
pub mod engine;
mod health;
mod leadership;
pub mod observe;
#[cfg(feature = "otel")]
mod otel;
mod platform;
mod replicate;
mod rest;
mod rpc;
pub mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use ::daemon::accept::{self, Protocol};
use ::daemon::listen::{ListenError, advertised, bind};
use ::daemon::{Clock, Shutdown};
use coordination::{InvalidName, Keys, Store, WatermarkFile};
use proto::store::LeaderRecord;
use tracing::{error, info};

#[cfg(feature = "otel")]
use otel::start as push;

pub use binaries::BinaryError;
pub use config::{Config, Otel};

/// The version that is shown and stored.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A nimbus that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Where its gRPC endpoint listens.
    pub address: SocketAddr,
    /// Where its status endpoint listens.
    pub http_address: SocketAddr,
}

/// Why a nimbus cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster's name cannot be used.
    #[error(transparent)]
    Cluster(#[from] InvalidName),
    /// It cannot listen where it should.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] BinaryError),
    /// It cannot push to OpenTelemetry as it should.
    #[error("cannot push to the OpenTelemetry collector `{endpoint}`: {why}")]
    Otel {
        /// Where to.
        endpoint: String,
        /// Why.
        why: String,
    },
}

/// Starts a nimbus; it serves until `shutdown` is asked. The store may come up later.
///
/// # Errors
///
/// What is wrong with the configuration, or with the ports and the folder it names.
pub async fn start(
    config: Config,
    store: Arc<dyn Store>,
    clock: Clock,
    shutdown: Shutdown,
) -> Result<Running, Error> {
    let keys = Keys::new(&config.cluster)?;
    let security = &config.security;
    let listener = bind(config.listen, security).await?;
    let http_listener = bind(config.http, security).await?;
    let local = |listener: &tokio::net::TcpListener, asked: SocketAddr| {
        listener.local_addr().map_err(|source| ListenError::System { address: asked, source })
    };
    let address = local(&listener, config.listen)?;
    let http_address = local(&http_listener, config.http)?;
    let record = LeaderRecord {
        nimbus_id: config.id.clone(),
        address: advertised(address, config.advertise.as_deref(), security)?,
        http_address: advertised(http_address, config.advertise.as_deref(), security)?,
    };
    let binaries = binaries::Binaries::open(&config.data_dir, config.binary_bytes_max).await?;
    let memory = WatermarkFile::new(&config.data_dir, &config.cluster);
    let context = daemon::Context {
        id: config.id.clone(),
        cluster: config.cluster.clone(),
        keys: keys.clone(),
        store: store.clone(),
        clock: clock.clone(),
        binaries: binaries.clone(),
        patience: config.patience,
        memory: config.remember_store.then_some(memory),
        replication: config.replication as usize,
        security: security.clone(),
    };
    let (handle, copier) = daemon::start(context, &shutdown);
    push_if_asked(&config, &handle, &clock, &shutdown)?;
    let (held, ttl) = (binaries.held(), config.leader_ttl);
    let candidate = leadership::Candidate {
        keys: keys.clone(),
        record,
        held,
        store: store.clone(),
        clock,
        ttl,
    };
    leadership::start(candidate, handle.clone(), &shutdown);
    let hosts: Vec<String> = config.http_hosts.iter().chain(&config.advertise).cloned().collect();
    let guard = rest::Guard::new(security, &hosts);
    let api = status::Router::new(handle.clone(), &shutdown, guard);
    let http = Protocol::Http1 { open: config.http_open_read };
    let connections = accept::connections(http_listener, http, security, &shutdown);
    let connections = status::Connections::new(connections, http_address);
    let asked = shutdown.clone();
    shutdown.spawn(async move {
        let routes = api.routes().into_make_service_with_connect_info::<rest::Peer>();
        let server = axum::serve(connections, routes);
        let served = server.with_graceful_shutdown(async move { asked.asked().await }).await;
        if let Err(error) = served {
            error!(%error, "status endpoint failed");
        }
    });
    let services = rpc::services(rpc::Context { handle, binaries, copier, store, keys }, &shutdown);
    let incoming = ::daemon::grpc::incoming(listener, security, &shutdown);
    let asked = shutdown.clone();
    shutdown.spawn(async move {
        let server = ::daemon::grpc::server().add_routes(services);
        let asked = async move { asked.asked().await };
        if let Err(error) = server.serve_with_incoming_shutdown(incoming, asked).await {
            error!(%error, "grpc endpoint failed");
        }
    });
    info!(nimbus = %config.id, %address, %http_address, "nimbus started");
    Ok(Running { address, http_address })
}

/// Begins to push to an OpenTelemetry collector, if there is to be one.
fn push_if_asked(
    config: &Config,
    handle: &daemon::Handle,
    clock: &Clock,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let Some(otel) = &config.otel else { return Ok(()) };
    push(otel, handle.clone(), clock.clone(), shutdown)
        .map_err(|why| Error::Otel { endpoint: otel.endpoint.clone(), why })
}

#[cfg(not(feature = "otel"))]
fn push(_: &Otel, _: daemon::Handle, _: Clock, _: &Shutdown) -> Result<(), String> {
    Err("this program was built without it (the feature `otel`)".to_owned())
}
