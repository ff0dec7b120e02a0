//! Starts a worker: its folder, its log, its facts, its process, its limits.
//!
//! No shell is involved and nothing is inherited but a few harmless variables. The restart counter
//! is on disk before the process exists: an incarnation that nobody lived to see is never counted
//! twice under the same epoch.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use daemon::Clock;
use daemon::tls::Tls;
use tokio::process::{Child, Command};

use crate::binaries::Binaries;
use crate::cgroup::Groups;
use crate::config::Config;
use crate::engine::{Epoch, Placement};
use crate::facts::Facts;
use crate::limits::{self, Bounds, Limits};
use crate::log_file;
use crate::process::Process;
use crate::workdir::{self, DataDir};

/// What a worker inherits from its supervisor.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "RUST_LOG", "RUST_BACKTRACE"];

/// A fork elsewhere in this process may hold the freshly written binary open for a moment.
const BUSY_TRIES: u32 = 20;
const BUSY_WAIT: Duration = Duration::from_millis(10);

/// Starts workers.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    pub(crate) config: Arc<Config>,
    pub(crate) data: Arc<DataDir>,
    pub(crate) binaries: Binaries,
    /// Where each worker gets a cgroup, if it does.
    pub(crate) groups: Option<Groups>,
    pub(crate) clock: Clock,
}

/// A worker that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    /// To wait for.
    pub(crate) child: Child,
    /// To signal.
    pub(crate) process: Process,
    /// Wall clock.
    pub(crate) started_ms: u64,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// What holds it to its limits.
    pub(crate) bounds: Bounds,
}

impl Launcher {
    /// Starts a worker as the incarnation `epoch`. On an error nothing runs.
    pub(crate) async fn launch(
        &self,
        placement: &Placement,
        epoch: Epoch,
        token: &str,
    ) -> Result<Launched, String> {
        let folder = self
            .data
            .worker(&placement.topology, placement.worker)
            .ok_or_else(|| format!("{:?} cannot name a folder", placement.topology))?;
        let binary = self
            .binaries
            .path(&placement.digest)
            .ok_or_else(|| format!("{:?} is no digest", placement.digest))?;
        if !self.binaries.verify(&placement.digest).await {
            return Err("its binary is damaged".to_owned());
        }
        let mut facts = Facts::new(placement, epoch, token, self.data.socket());
        let prepared = tokio::task::spawn_blocking({
            let (facts, folder) = (facts.clone(), folder.clone());
            move || prepare(&folder, &facts, epoch)
        });
        let log = prepared
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("cannot prepare {}: {error}", folder.display()))?;
        let limits = Limits::of(&placement.config);
        let mut command = self.command(placement, epoch, token, &binary);
        if limits.need_rlimit(self.groups.as_ref()) {
            command.env(limits::FRUGAL.0, limits::FRUGAL.1);
        }
        let redirected = redirect(&mut command, log);
        redirected.map_err(|error| format!("cannot hand over the log: {error}"))?;
        let child = spawn(command.current_dir(&folder), &self.clock)
            .await
            .map_err(|error| format!("cannot execute it: {error}"))?;
        let process = Process::of(child.id().unwrap_or(0));
        // It has hardly begun: what it already is stays as it is, what it becomes is limited.
        let bounds = limits.hold(self.groups.as_ref(), placement.slot, process.pid);
        facts.unheld.clone_from(&bounds.unheld);
        (facts.pid, facts.start_time) = (process.pid, process.start_time);
        facts.started_ms = self.clock.wall_ms();
        let started_ms = facts.started_ms;
        let saved = tokio::task::spawn_blocking({
            let folder = folder.clone();
            move || facts.save(&folder)
        });
        if let Ok(Err(error)) = saved.await {
            // The worker can still be recognised by its token.
            tracing::warn!(%error, "cannot write down a worker's pid");
        }
        Ok(Launched { child, process, started_ms, folder, bounds })
    }

    fn command(&self, what: &Placement, epoch: Epoch, token: &str, binary: &Path) -> Command {
        let config =
            serde_json::to_string(&what.config).expect("a map of strings is always a JSON object");
        let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = Command::new(binary);
        command
            .args(&what.arguments)
            .env_clear()
            .envs(inherited)
            .env("SQUALL_MODE", "worker")
            .env("SQUALL_SOCKET", self.data.socket())
            .env("SQUALL_TOKEN", token)
            .env("SQUALL_CLUSTER", &self.config.cluster)
            .env("SQUALL_TOPOLOGY", &what.topology)
            .env("SQUALL_NAME", &what.name)
            .env("SQUALL_WORKER", what.worker.to_string())
            .env("SQUALL_EPOCH", epoch.to_string())
            .env("SQUALL_LISTEN", self.config.worker_listen())
            .env("SQUALL_ADVERTISE", self.config.host())
            .env("SQUALL_CORES", self.config.cores().to_string())
            .env("SQUALL_CONFIG", config)
            .envs(self.config.json_logs.then_some(("SQUALL_LOG_FORMAT", "json")))
            .envs(self.config.security.tls().map(Tls::environment).unwrap_or_default())
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(false);
        command
    }
}

/// Makes the folder, counts the start on disk, and opens the log.
fn prepare(folder: &Path, facts: &Facts, epoch: Epoch) -> io::Result<File> {
    workdir::make_private(folder)?;
    facts.save(folder)?;
    log_file::open(folder, &format!("worker starts, epoch {epoch}"))
}

fn redirect(command: &mut Command, log: File) -> io::Result<()> {
    command.stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
    Ok(())
}

async fn spawn(command: &mut Command, clock: &Clock) -> io::Result<Child> {
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                clock.sleep(BUSY_WAIT).await;
            }
            done => return done,
        }
    }
    command.spawn()
}

/// Tells whether two tokens are the same, in a time that does not say how far they agree.
pub(crate) fn same_token(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let differing = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differing == 0
}

/// Makes a secret that nobody can guess.
pub(crate) fn new_token() -> String {
    workdir::hexadecimal(&rand::random::<[u8; 32]>())
}
