//! A cluster of real processes: the `squall` binary started as a user would start it.

use std::path::{Path, PathBuf};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use daemon::Clock;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::folder::{self, new_log};
use crate::{Etcd, Outcome, Process, alone, get, processes_below, signal, squall, until};

/// One nimbus and some supervisors on an etcd of their own.
///
/// When a test panics, the ends of all logs go to standard error.
#[derive(Debug)]
pub struct Cluster {
    nimbus: Process,
    supervisors: Vec<Process>,
    /// How many workers each supervisor takes.
    slots: usize,
    /// More flags of each supervisor.
    flags: Vec<Vec<String>>,
    /// When its nimbus was started.
    begun: Instant,
    /// Where clients reach the nimbus.
    address: String,
    /// Where the status is.
    http: String,
    etcd: Etcd,
    folder: TempDir,
    /// Given back last.
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts a cluster and waits until all its slots are there.
    ///
    /// # Panics
    ///
    /// If a process does not start.
    #[must_use]
    pub fn start(supervisors: usize, slots: usize) -> Self {
        Self::start_with(Etcd::start, slots, vec![Vec::new(); supervisors])
    }

    /// Starts a cluster on an etcd of some kind, with a supervisor for each list of flags.
    ///
    /// # Panics
    ///
    /// If a process does not start.
    #[must_use]
    pub fn start_with(etcd: impl FnOnce() -> Etcd, slots: usize, flags: Vec<Vec<String>>) -> Self {
        let alone = alone();
        let etcd = etcd();
        let (begun, supervisors) = (Clock::system().now(), flags.len());
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let (nimbus, address, http) =
            start_nimbus(&etcd, folder.path(), ["127.0.0.1:0", "127.0.0.1:0"]);
        let mut cluster = Self {
            nimbus,
            supervisors: Vec::new(),
            slots,
            flags,
            begun,
            address,
            http,
            etcd,
            folder,
            _alone: alone,
        };
        for number in 0..supervisors {
            let supervisor = cluster.start_supervisor(number);
            cluster.supervisors.push(supervisor);
        }
        for supervisor in &mut cluster.supervisors {
            supervisor.line("supervisor ");
        }
        until("nimbus knows every slot", || {
            cluster.document("/api/v1/cluster")["slots"] == supervisors * slots
        });
        cluster
    }

    fn start_supervisor(&self, number: usize) -> Process {
        let mut command = squall();
        command
            .args(["supervisor", "--etcd", &self.etcd.url(), "--cores-per-worker", "1"])
            .args(["--slots", &self.slots.to_string(), "--data-dir"])
            .arg(self.supervisor_folder(number))
            .args(&self.flags[number]);
        Process::start(command, &new_log(self.folder.path(), &format!("supervisor-{number}")))
    }

    /// How long ago the first of its own processes was started; its etcd ran then.
    #[must_use]
    pub fn age(&self) -> Duration {
        Clock::system().now().saturating_duration_since(self.begun)
    }

    /// The data folder of the nimbus.
    #[must_use]
    pub fn nimbus_folder(&self) -> PathBuf {
        self.folder.path().join("nimbus")
    }

    /// The data folder of a supervisor; its workers work below it.
    #[must_use]
    pub fn supervisor_folder(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("s{number}"))
    }

    /// Runs a command of `squall` against this cluster.
    #[must_use]
    pub fn squall(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&[&["--nimbus", &self.address], arguments].concat())
    }

    /// Starts a command of `squall` against this cluster and lets it run, with its outputs in a log.
    #[must_use]
    pub fn start_squall(&self, arguments: &[&str]) -> Process {
        let mut command = squall();
        command.args(["--nimbus", &self.address]).args(arguments);
        Process::start(command, &new_log(self.folder.path(), "command"))
    }

    /// Where its etcd is, as `--etcd` wants it.
    #[must_use]
    pub fn etcd_url(&self) -> String {
        self.etcd.url()
    }

    /// Its etcd.
    pub fn etcd(&mut self) -> &mut Etcd {
        &mut self.etcd
    }

    /// Its nimbus.
    #[must_use]
    pub fn nimbus(&self) -> &Process {
        &self.nimbus
    }

    /// One of its supervisors.
    #[must_use]
    pub fn supervisor(&self, number: usize) -> &Process {
        &self.supervisors[number]
    }

    /// Where clients reach the nimbus, and where its status is.
    #[must_use]
    pub fn addresses(&self) -> [&str; 2] {
        [&self.address, &self.http]
    }

    /// Runs a command of `squall` that must succeed, and returns its standard output.
    ///
    /// # Panics
    ///
    /// If it fails.
    #[track_caller]
    pub fn does(&self, arguments: &[&str]) -> String {
        let outcome = self.squall(arguments);
        assert_eq!(outcome.code, 0, "squall {arguments:?}: {}", outcome.stderr);
        outcome.stdout
    }

    /// A status document; null where there is none.
    #[must_use]
    pub fn document(&self, path: &str) -> Value {
        let found = get(&self.http, path).ok().filter(|(code, _)| *code == 200);
        found.and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default()
    }

    /// The status of a topology; null where there is none.
    #[must_use]
    pub fn status(&self, name: &str) -> Value {
        self.document(&format!("/api/v1/topologies/{name}"))
    }

    /// The workers of a topology by their number: process id and epoch.
    #[must_use]
    pub fn workers(&self, name: &str) -> Vec<(u32, String)> {
        let status = self.status(name);
        let mut workers = status["workers"].as_array().cloned().unwrap_or_default();
        workers.sort_by_key(|worker| worker["worker"].as_u64());
        let pid = |worker: &Value| u32::try_from(worker["pid"].as_u64().unwrap_or(0)).unwrap_or(0);
        let epoch = |worker: &Value| worker["epoch"].as_str().unwrap_or_default().to_owned();
        workers.iter().map(|worker| (pid(worker), epoch(worker))).collect()
    }

    /// Waits until a topology has ended by itself, and returns its status.
    pub fn until_finished(&self, name: &str) -> Value {
        let mut status = Value::Null;
        until(&format!("{name} is finished"), || {
            status = self.status(name);
            is(&status["status"], "finished")
        });
        status
    }

    /// Kills the nimbus as a power cut would.
    pub fn kill_nimbus(&mut self) {
        self.nimbus.kill();
    }

    /// Asks the nimbus to end, and returns its exit code.
    pub fn stop_nimbus(&mut self) -> Option<i32> {
        self.nimbus.terminate()
    }

    /// Starts the nimbus again, at its old addresses.
    pub fn restart_nimbus(&mut self) {
        let addresses = [self.address.as_str(), &self.http];
        self.nimbus = start_nimbus(&self.etcd, self.folder.path(), addresses).0;
    }

    /// Kills the etcd as a power cut would.
    pub fn kill_etcd(&mut self) {
        self.etcd.kill();
    }

    /// Starts the etcd again, with what it held.
    pub fn restart_etcd(&mut self) {
        self.etcd.restart();
    }

    /// Kills a supervisor as a power cut of its process alone would: its workers live on.
    pub fn kill_supervisor(&mut self, number: usize) {
        self.supervisors[number].kill();
    }

    /// Kills a supervisor and all its workers at once, as the power cut of a machine would, and
    /// returns the workers.
    pub fn kill_host(&mut self, number: usize) -> Vec<u32> {
        let workers = processes_below(&self.supervisor_folder(number));
        signal(self.supervisors[number].id(), Signal::SIGKILL);
        for worker in &workers {
            signal(*worker, Signal::SIGKILL);
        }
        self.supervisors[number].kill();
        workers
    }

    /// Starts a supervisor again, in its old folder.
    pub fn restart_supervisor(&mut self, number: usize) {
        self.supervisors[number] = self.start_supervisor(number);
        self.supervisors[number].line("supervisor ");
    }

    /// Asks a supervisor to end, and returns its exit code.
    pub fn stop_supervisor(&mut self, number: usize) -> Option<i32> {
        self.supervisors[number].terminate()
    }

    /// The process id of a supervisor.
    #[must_use]
    pub fn supervisor_process(&self, number: usize) -> u32 {
        self.supervisors[number].id()
    }

    /// The folder that everything of this cluster is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All keys of the cluster in etcd.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.etcd.keys("/squall/")
    }

    /// The processes of all workers.
    #[must_use]
    pub fn worker_processes(&self) -> Vec<u32> {
        processes_below(self.folder.path())
    }

    /// The folders that supervisors keep for workers of a topology.
    #[must_use]
    pub fn worker_folders(&self, topology_id: &str) -> Vec<PathBuf> {
        let folders = (0..self.supervisors.len())
            .map(|number| self.supervisor_folder(number).join("workers").join(topology_id));
        folders.filter(|folder| folder.exists()).collect()
    }

    /// A folder of this cluster for the test's own files.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        folder::scratch(self.folder.path(), name)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let daemons = std::iter::once(&mut self.nimbus).chain(&mut self.supervisors);
        folder::end(self.folder.path(), daemons);
    }
}

/// Whether a word of a status is this one, in whatever case.
fn is(value: &Value, word: &str) -> bool {
    value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(word))
}

/// Starts a nimbus; returns it with where clients reach it and where its status is.
fn start_nimbus(
    etcd: &Etcd,
    folder: &Path,
    [listen, http]: [&str; 2],
) -> (Process, String, String) {
    let mut command = squall();
    command
        .args(["nimbus", "--etcd", &etcd.url(), "--listen", listen, "--http", http, "--data-dir"])
        .arg(folder.join("nimbus"));
    let mut nimbus = Process::start(command, &new_log(folder, "nimbus"));
    let line = nimbus.line("nimbus listens on ");
    let (address, http) = line.split_once(", its status is at http://").expect("the ready line");
    (nimbus, address.to_owned(), http.to_owned())
}
