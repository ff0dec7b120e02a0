//! Keeps the workers of one machine running.
//!
//! [`start`] registers the machine, follows what the store assigns to it, and brings its slots
//! there: fetches binaries, starts workers, tells them what to do, restarts them when they die,
//! stops what is not wanted any more. Workers live on when the supervisor dies; the next one on the
//! same data folder adopts them.
//!
//! `engine` decides and never acts. `daemon` is the loop that feeds it and carries out what it says,
//! with `launcher` (processes), `limits` and `cgroup` (what they may use), `binaries` (the cache),
//! `control` (the conversation with workers), `register` (records in the store), `reports` (news for
//! nimbus), `logs` and `letters` (served by `rpc`) beside it.

mod adopt;
mod binaries;
mod cgroup;
mod channel;
mod config;
mod control;
mod daemon;
mod ending;
pub mod engine;
mod facts;
mod launcher;
mod letters;
mod limits;
mod log_file;
mod logs;
mod looks;
mod outlet;
mod process;
mod register;
mod reports;
mod retired;
mod rpc;
pub mod watch;
mod workdir;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::daemon::listen::{ListenError, advertised, bind};
use ::daemon::{Clock, Shutdown};
use coordination::{Keys, Store, WatermarkFile};
use proto::store::SupervisorRecord;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

pub use config::Config;
pub use reports::Portions;

use crate::binaries::Binaries;
use crate::cgroup::Groups;
use crate::daemon::Daemon;
use crate::engine::Engine;
use crate::launcher::Launcher;
use crate::letters::Replays;
use crate::logs::Logs;
use crate::looks::Looks;
use crate::register::Registrar;
use crate::reports::Reporter;
use crate::workdir::DataDir;

/// How long a supervisor that was asked to stop may take: whoever waits should wait this long.
pub const STOP_MAX: Duration = Duration::from_secs(20);

/// Messages that wait for the loop; who sends more waits.
const MESSAGES_MAX: usize = 256;

/// Why a supervisor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work: change it.
    #[error("{0}")]
    Config(String),
    /// Another supervisor uses the data folder: stop it, or use another folder.
    #[error("another supervisor uses {}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The data folder cannot be used: check its owner and the space left.
    #[error("cannot use {}: {source}", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The cgroup cannot be divided among workers: name another, or none.
    #[error("{0}")]
    Cgroup(String),
    /// It cannot listen where it should.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Workers cannot reach it: the socket cannot be made.
    #[error("cannot listen on {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A supervisor that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its id: the same after a restart on the same data folder.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Starts a supervisor; it runs until `shutdown` is asked, then stops its workers and ends within
/// [`STOP_MAX`]. The store need not answer: what ran before goes on, the rest waits for it.
///
/// # Errors
///
/// [`Error`], before anything was started.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use coordination::MemoryStore;
/// use daemon::{Clock, Shutdown};
/// use std::sync::Arc;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let data_dir = folder.path();
/// let clock = Clock::system();
/// let store = Arc::new(MemoryStore::new(clock.clone()));
/// let shutdown = Shutdown::new();
/// let config = supervisor::Config::new("test", data_dir);
/// let running = supervisor::start(config, store, clock, shutdown.clone()).await.unwrap();
/// assert!(running.address.ip().is_loopback());
/// shutdown.ask();
/// shutdown.wait(supervisor::STOP_MAX).await.unwrap();
/// # });
/// ```
pub async fn start(
    config: Config,
    store: Arc<dyn Store>,
    clock: Clock,
    shutdown: Shutdown,
) -> Result<Running, Error> {
    config.check()?;
    let keys = Keys::new(&config.cluster).map_err(|error| Error::Config(error.to_string()))?;
    let data = Arc::new(DataDir::open(&config.data_dir)?);
    let groups = groups(&config, &data.id)?;
    let listener = bind(config.listen, &config.security).await?;
    let address = listener
        .local_addr()
        .map_err(|source| ListenError::System { address: config.listen, source })?;
    let advertised = advertised(address, config.advertise.as_deref(), &config.security)?;
    let workers = listen_for_workers(data.socket())?;
    let found = adopt::survey(&data, &clock);

    let parts = Shutdown::new();
    let (messages, received) = mpsc::channel(MESSAGES_MAX);
    let security = config.security.clone();
    let connections = ::daemon::grpc::incoming(listener, &security, &parts);
    let letters = letters::start(&data, &parts);
    let replays = Replays {
        letters: letters.clone(),
        messages: messages.clone(),
        security: security.clone(),
        parts: parts.clone(),
    };
    let logs = Logs::new(Arc::clone(&data), clock.clone(), &parts);
    let service = rpc::Service { logs, replays, looks: Looks::new(messages.clone()) };
    rpc::serve(connections, service, &parts);
    logs::keep_small(Arc::clone(&data), clock.clone(), &parts);
    control::serve(workers, messages.clone(), letters.clone(), (&clock, &parts));
    let record = SupervisorRecord {
        id: data.id.clone(),
        host: workdir::hostname(),
        address: advertised,
        slots: config.slots,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        incarnation: data.incarnation,
        started_ms: clock.wall_ms(),
    };
    let registrar =
        Registrar::start(Arc::clone(&store), keys.clone(), record, clock.clone(), &parts);
    let memory = WatermarkFile::new(&config.data_dir, &config.cluster);
    let memory = config.remember_store.then_some(memory);
    watch::follow(store, keys, memory, messages.clone(), &parts);

    let id = data.id.clone();
    let mut engine = Engine::new(&id, config.slots, config.timings);
    for (topology, worker, epoch) in data.retired.all() {
        engine.retire(&topology, worker, epoch);
    }
    let binaries = Binaries::open(data.binaries(), config.binaries_bytes_max, security.clone());
    let time = clock.clone();
    let launcher = Launcher { config: Arc::new(config), data, binaries, groups, clock };
    let mut daemon = Daemon::new((engine, letters), launcher, registrar, messages, parts.clone());
    daemon.adopt(found);
    daemon.report();
    let (reports, leader) = (daemon.reports.subscribe(), daemon.leader.subscribe());
    let stale_leaders = Arc::clone(&daemon.stale_leaders);
    Reporter { reports, leader, security, stale_leaders, clock: time }.start(&parts);
    let asked = shutdown.clone();
    shutdown.spawn(daemon.run(received, asked));
    Ok(Running { id, address })
}

/// The cgroup to divide among workers: the one that was named, or the one that was delegated.
fn groups(config: &Config, id: &str) -> Result<Option<Groups>, Error> {
    if let Some(base) = &config.cgroup {
        return Groups::open(base, id).map(Some).map_err(Error::Cgroup);
    }
    let Some(base) = Groups::delegated() else { return Ok(None) };
    let opened = Groups::open(&base, id);
    if let Err(problem) = &opened {
        tracing::warn!(%problem, "workers get no cgroups");
    }
    Ok(opened.ok())
}

fn listen_for_workers(socket: &Path) -> Result<UnixListener, Error> {
    let failed = |source| Error::Socket { path: socket.to_owned(), source };
    match std::fs::remove_file(socket) {
        // The folder is locked: whoever listened here is dead.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => UnixListener::bind(socket).map_err(failed),
    }
}
