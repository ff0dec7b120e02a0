//! What a supervisor tells a worker before it speaks: its environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use daemon::tls::{self, Files};

use crate::engine::routing::Epoch;

/// How a topology binary was started.
#[derive(Debug)]
pub(crate) enum Mode {
    /// By hand: run the whole topology here.
    Here,
    /// By the CLI: describe the topology and exit.
    Describe,
    /// By a supervisor: be a worker.
    Worker(Box<Launch>),
}

/// What a worker is told at its start.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The supervisor's Unix socket.
    pub(crate) socket: PathBuf,
    /// Proves that the supervisor started it.
    pub(crate) token: String,
    pub(crate) cluster: String,
    /// Id of the topology.
    pub(crate) topology: String,
    pub(crate) worker: u32,
    pub(crate) epoch: Epoch,
    /// `ip:port` or `ip:first-last`; port 0 for any.
    pub(crate) listen: String,
    /// Host that others reach it by.
    pub(crate) advertise: String,
    /// Loops to run; 0: as many as there are cores.
    pub(crate) cores: usize,
    /// What to shake hands with; none: without TLS.
    pub(crate) tls: Option<Files>,
}

/// What a worker was started with makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {0} is missing or wrong: a worker is started by a supervisor")]
pub(crate) struct LaunchError(&'static str);

impl Mode {
    /// Reads the mode from the environment.
    pub(crate) fn of_environment() -> Result<Self, LaunchError> {
        match std::env::var("SQUALL_MODE").as_deref() {
            Err(_) | Ok("") => Ok(Self::Here),
            Ok("describe") => Ok(Self::Describe),
            Ok("worker") => Ok(Self::Worker(Box::new(Launch::of_environment()?))),
            Ok(_) => Err(LaunchError("SQUALL_MODE")),
        }
    }
}

impl Launch {
    fn of_environment() -> Result<Self, LaunchError> {
        let text = |name: &'static str| std::env::var(name).map_err(|_| LaunchError(name));
        let epoch = text("SQUALL_EPOCH")?;
        let (revision, restarts) = epoch.split_once('.').ok_or(LaunchError("SQUALL_EPOCH"))?;
        let tls = match std::env::var_os(tls::CERT_VARIABLE) {
            Some(cert) => Some(Files::new(cert, text(tls::KEY_VARIABLE)?, text(tls::CA_VARIABLE)?)),
            None => None,
        };
        let number = |text: &str| text.parse().map_err(|_| LaunchError("SQUALL_EPOCH"));
        Ok(Self {
            socket: text("SQUALL_SOCKET")?.into(),
            token: text("SQUALL_TOKEN")?,
            cluster: text("SQUALL_CLUSTER")?,
            topology: text("SQUALL_TOPOLOGY")?,
            worker: text("SQUALL_WORKER")?.parse().map_err(|_| LaunchError("SQUALL_WORKER"))?,
            epoch: Epoch { revision: number(revision)?, restarts: number(restarts)? },
            listen: text("SQUALL_LISTEN")?,
            advertise: text("SQUALL_ADVERTISE")?,
            cores: text("SQUALL_CORES")?.parse().map_err(|_| LaunchError("SQUALL_CORES"))?,
            tls,
        })
    }
}

/// The configuration chosen at submit, and the name, over what the binary says of itself.
pub(crate) fn chosen() -> Result<(BTreeMap<String, String>, Option<String>), LaunchError> {
    let config = match std::env::var("SQUALL_CONFIG") {
        Err(_) => BTreeMap::new(),
        Ok(json) => serde_json::from_str(&json).map_err(|_| LaunchError("SQUALL_CONFIG"))?,
    };
    Ok((config, std::env::var("SQUALL_NAME").ok()))
}
