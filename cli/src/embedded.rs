//! A whole cluster in this process: store, nimbus and supervisor; only workers are processes.
//!
//! The daemons are started through the same entry points as on real machines, on a store in
//! memory. They are stopped in order: the supervisor first, which stops its workers, while the
//! nimbus still hears of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coordination::{MemoryStore, Store};
use daemon::listen::Security;
use daemon::{Clock, Shutdown};

use crate::daemons;
use crate::error::{Exit, Failure};

/// How long the nimbus may take to end.
const NIMBUS_GRACE: Duration = Duration::from_secs(5);

/// What an embedded cluster is like.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Its name.
    pub(crate) cluster: String,
    /// Where everything of it lies.
    pub(crate) data_dir: PathBuf,
    /// Where clients reach its nimbus.
    pub(crate) listen: SocketAddr,
    /// Where its status endpoint is.
    pub(crate) http: SocketAddr,
    /// The name others reach it under.
    pub(crate) advertise: Option<String>,
    /// Who may reach it, and whether all its connections have TLS.
    pub(crate) security: Security,
    /// How many workers it runs.
    pub(crate) slots: u32,
    /// Cores each of them gets.
    pub(crate) cores_per_worker: Option<u32>,
    /// Whether they log JSON objects, where their topology does not say.
    pub(crate) json_logs: bool,
}

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// Where clients reach its nimbus.
    pub(crate) address: SocketAddr,
    /// Where its status endpoint is.
    pub(crate) http_address: SocketAddr,
    scheme: &'static str,
    nimbus: Shutdown,
    supervisor: Shutdown,
}

impl Embedded {
    /// Starts the daemons; they are ready when this returns.
    pub(crate) async fn start(settings: &Settings) -> Result<Self, Failure> {
        let clock = Clock::system();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
        let (nimbus, supervisor) = (Shutdown::new(), Shutdown::new());
        let config = nimbus_config(settings)?;
        let leader = nimbus::start(config, Arc::clone(&store), clock.clone(), nimbus.clone())
            .await
            .map_err(|error| daemons::nimbus_failure(&error))?;
        let config = supervisor_config(settings)?;
        let started = supervisor::start(config, store, clock, supervisor.clone()).await;
        if let Some(tls) = settings.security.tls() {
            tls.follow(&nimbus);
        }
        let cluster = Self {
            address: leader.address,
            http_address: leader.http_address,
            scheme: settings.security.scheme(),
            nimbus,
            supervisor,
        };
        match started {
            Ok(_) => Ok(cluster),
            Err(error) => {
                cluster.stop().await?;
                Err(daemons::supervisor_failure(&error))
            }
        }
    }

    /// Address of its status endpoint, for people.
    pub(crate) fn status_url(&self) -> String {
        format!("{}://{}", self.scheme, self.http_address)
    }

    /// Stops its workers, then the daemons.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let mut stuck = Vec::new();
        for (name, group, grace) in
            [("supervisor", self.supervisor, daemons::GRACE), ("nimbus", self.nimbus, NIMBUS_GRACE)]
        {
            group.ask();
            if let Err(error) = group.wait(grace).await {
                stuck.push(format!("{name}: {error}"));
            }
        }
        if stuck.is_empty() {
            return Ok(());
        }
        Err(Failure::internal("the embedded cluster did not stop in time", stuck.join("\n")))
    }
}

fn nimbus_config(settings: &Settings) -> Result<nimbus::Config, Failure> {
    let data_dir = folder(&settings.data_dir, "nimbus")?;
    Ok(nimbus::Config {
        listen: settings.listen,
        http: settings.http,
        advertise: settings.advertise.clone(),
        security: settings.security.clone(),
        cluster: settings.cluster.clone(),
        ..nimbus::Config::new("embedded", data_dir)
    })
}

fn supervisor_config(settings: &Settings) -> Result<supervisor::Config, Failure> {
    let data_dir = folder(&settings.data_dir, "supervisor")?;
    Ok(supervisor::Config {
        listen: SocketAddr::new(settings.listen.ip(), 0),
        advertise: settings.advertise.clone(),
        security: settings.security.clone(),
        slots: settings.slots,
        cores_per_worker: settings.cores_per_worker,
        json_logs: settings.json_logs,
        ..supervisor::Config::new(&settings.cluster, data_dir)
    })
}

fn folder(parent: &Path, name: &str) -> Result<PathBuf, Failure> {
    data_dir(&parent.join(name))
}

/// Makes a data folder and returns its absolute path.
pub(crate) fn data_dir(path: &Path) -> Result<PathBuf, Failure> {
    let made = std::fs::create_dir_all(path).and_then(|()| path.canonicalize());
    made.map_err(|error| {
        let what = format!("cannot use {} as data folder", path.display());
        Failure::new(Exit::CannotCreate, what, error, "choose another one with --data-dir")
    })
}
