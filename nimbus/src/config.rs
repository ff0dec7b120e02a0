//! What a nimbus is told when it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use daemon::listen::Security;

use crate::engine::liveness::Patience;

/// Settings of a nimbus.
///
/// ```
/// let config = nimbus::Config::new("nimbus-1", "/var/lib/squall");
/// assert_eq!(config.listen.to_string(), "127.0.0.1:6627");
/// assert_eq!(config.http.to_string(), "127.0.0.1:8080");
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Which nimbus of the cluster this is: the same after a restart.
    pub id: String,
    /// Which cluster it belongs to.
    pub cluster: String,
    /// Where it keeps binaries.
    pub data_dir: PathBuf,
    /// Where its gRPC endpoint listens.
    pub listen: SocketAddr,
    /// Where its status endpoint listens.
    pub http: SocketAddr,
    /// The host others reach it by, if that is not the address it listens on.
    pub advertise: Option<String>,
    /// Who may reach it, and whether all its connections have TLS.
    pub security: Security,
    /// With TLS: whether who shows no certificate may read the status.
    pub http_open_read: bool,
    /// Names by which browsers may reach the status endpoint, beside `advertise`, `localhost` and
    /// every address.
    pub http_hosts: Vec<String>,
    /// The largest binary that may be submitted, in bytes.
    pub binary_bytes_max: u64,
    /// How many nimbuses have to hold a binary before its submission is acknowledged, itself
    /// included.
    pub replication: u32,
    /// Whether it writes down how far it has seen the store, and after a restart refuses one that
    /// went back. For a store that outlives the process.
    pub remember_store: bool,
    /// How long its leadership outlives it when it is killed. Stores may have a least of their own.
    pub leader_ttl: Duration,
    /// How long supervisors may be silent.
    pub patience: Patience,
    /// Where metrics and tuple trees are pushed to; needs the feature `otel`.
    pub otel: Option<Otel>,
}

/// An OpenTelemetry collector, and what is pushed to it.
///
/// ```
/// let otel = nimbus::Otel::new("http://127.0.0.1:4317");
/// assert!(!otel.traces, "metrics only, unless it is said");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otel {
    /// Where it takes OTLP over gRPC: `http://host:port`, or `https://host:port` with TLS.
    pub endpoint: String,
    /// With TLS: certificates of the authorities that sign for it, in PEM.
    pub ca: Option<PathBuf>,
    /// Whether a sample of tuple trees is pushed too: workers note them for some seconds now and then.
    pub traces: bool,
    /// How often it is pushed.
    pub every: Duration,
}

impl Otel {
    /// Metrics every ten seconds.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), ca: None, traces: false, every: Duration::from_secs(10) }
    }
}

impl Config {
    /// Starts from the defaults: the cluster `default`, on loopback, with Storm's ports.
    #[must_use]
    pub fn new(id: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            id: id.into(),
            cluster: "default".to_owned(),
            data_dir: data_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6627)),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            advertise: None,
            security: Security::Loopback,
            http_open_read: false,
            http_hosts: Vec::new(),
            binary_bytes_max: 512 << 20,
            replication: 1,
            remember_store: false,
            leader_ttl: Duration::from_secs(2),
            patience: Patience::default(),
            otel: None,
        }
    }
}
