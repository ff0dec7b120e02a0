//! A cluster of several nimbuses, on an etcd of one or several members.

use std::path::PathBuf;
use std::sync::MutexGuard;

use serde_json::Value;
use tempfile::TempDir;

use crate::folder;
use crate::{Etcd, Outcome, Process, alone, get, squall, until};

/// What a cluster is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// Nimbuses.
    pub nimbuses: usize,
    /// Flags of each nimbus besides the usual ones.
    pub nimbus_flags: &'a [&'a str],
    /// Supervisors.
    pub supervisors: usize,
    /// Workers each supervisor takes.
    pub slots: usize,
    /// Members of its etcd.
    pub members: usize,
    /// Flags of each member besides the usual ones.
    pub etcd_flags: &'a [&'a str],
}

impl Default for Shape<'_> {
    fn default() -> Self {
        Self {
            nimbuses: 2,
            nimbus_flags: &[],
            supervisors: 1,
            slots: 2,
            members: 1,
            etcd_flags: &[],
        }
    }
}

#[derive(Debug)]
struct Nimbus {
    process: Process,
    address: String,
    http: String,
}

/// Several nimbuses and supervisors on an etcd of their own; as [`crate::Cluster`] else.
#[derive(Debug)]
pub struct Several {
    nimbuses: Vec<Nimbus>,
    nimbus_flags: Vec<String>,
    supervisors: Vec<Process>,
    /// Its etcd.
    pub etcd: Etcd,
    folder: TempDir,
    lives: usize,
    /// Given back last.
    _alone: MutexGuard<'static, ()>,
}

impl Several {
    /// Starts a cluster and waits until one nimbus leads and knows every slot.
    ///
    /// # Panics
    ///
    /// If a process does not start.
    #[must_use]
    pub fn start(shape: Shape<'_>) -> Self {
        let alone = alone();
        let mut cluster = Self {
            nimbuses: Vec::new(),
            nimbus_flags: shape.nimbus_flags.iter().map(|it| (*it).to_owned()).collect(),
            supervisors: Vec::new(),
            etcd: Etcd::start_with(shape.members, shape.etcd_flags),
            folder: tempfile::tempdir().expect("there is room for temporary files"),
            lives: 0,
            _alone: alone,
        };
        for number in 0..shape.nimbuses {
            let nimbus = cluster.launch(number, ["127.0.0.1:0", "127.0.0.1:0"]);
            cluster.nimbuses.push(nimbus);
        }
        for number in 0..shape.supervisors {
            cluster.start_supervisor(number, shape.slots);
        }
        let slots = shape.supervisors * shape.slots;
        until("the leader knows every slot, and every nimbus the others", || {
            let cluster = cluster.document(cluster.leader(), "/api/v1/cluster");
            let nimbuses = cluster["nimbuses"].as_array().map_or(0, Vec::len);
            cluster["slots"] == slots && nimbuses == shape.nimbuses
        });
        cluster
    }

    fn start_supervisor(&mut self, number: usize, slots: usize) {
        let mut command = squall();
        command
            .args(["supervisor", "--etcd", &self.etcd.url(), "--cores-per-worker", "1"])
            .args(["--slots", &slots.to_string(), "--data-dir"])
            .arg(self.folder.path().join(format!("s{number}")));
        let log = self.log(&format!("supervisor-{number}"));
        self.supervisors.push(Process::start(command, &log));
        self.supervisors[number].line("supervisor ");
    }

    fn launch(&mut self, number: usize, [listen, http]: [&str; 2]) -> Nimbus {
        let mut command = squall();
        command
            .args(["nimbus", "--etcd", &self.etcd.url(), "--listen", listen, "--http", http])
            .args(["--id", &format!("nimbus-{number}"), "--data-dir"])
            .arg(self.nimbus_folder(number))
            .args(&self.nimbus_flags);
        let log = self.log(&format!("nimbus-{number}"));
        let mut process = Process::start(command, &log);
        let line = process.line("nimbus listens on ");
        let (address, http) = line.split_once(", its status is at http://").expect("ready line");
        Nimbus { address: address.to_owned(), http: http.to_owned(), process }
    }

    fn log(&mut self, who: &str) -> PathBuf {
        self.lives += 1;
        self.folder.path().join(format!("{who}-{}.log", self.lives))
    }

    /// The data folder of a nimbus.
    #[must_use]
    pub fn nimbus_folder(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("nimbus-{number}"))
    }

    /// The binaries that a nimbus has on its disk, by their names.
    #[must_use]
    pub fn binaries(&self, number: usize) -> Vec<String> {
        let folder = std::fs::read_dir(self.nimbus_folder(number).join("binaries"));
        let names = folder.into_iter().flatten().flatten().map(|it| it.file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// A nimbus.
    #[must_use]
    pub fn nimbus(&self, number: usize) -> &Process {
        &self.nimbuses[number].process
    }

    /// Where clients reach a nimbus, and where its status is.
    #[must_use]
    pub fn addresses(&self, number: usize) -> [&str; 2] {
        [&self.nimbuses[number].address, &self.nimbuses[number].http]
    }

    /// Kills a nimbus as a power cut would.
    pub fn kill_nimbus(&mut self, number: usize) {
        self.nimbuses[number].process.kill();
    }

    /// Asks a nimbus to end, and returns its exit code.
    pub fn stop_nimbus(&mut self, number: usize) -> Option<i32> {
        self.nimbuses[number].process.terminate()
    }

    /// Starts a nimbus again, at its old addresses.
    pub fn restart_nimbus(&mut self, number: usize) {
        let [address, http] = self.addresses(number).map(str::to_owned);
        self.nimbuses[number] = self.launch(number, [&address, &http]);
    }

    /// The nimbus that leads and serves, by its own word.
    ///
    /// # Panics
    ///
    /// If none does for long.
    #[must_use]
    pub fn leader(&self) -> usize {
        let mut leader = None;
        until("a nimbus leads", || {
            leader = (0..self.nimbuses.len()).find(|number| self.leads(*number));
            leader.is_some()
        });
        leader.expect("just found")
    }

    /// Whether a nimbus leads, by its own word and with nobody else in the store.
    #[must_use]
    pub fn leads(&self, number: usize) -> bool {
        let cluster = self.document(number, "/api/v1/cluster");
        let id = format!("nimbus-{number}");
        cluster["standby"].is_null() && cluster["leader"]["id"] == id.as_str()
    }

    /// A status document of a nimbus; null where there is none.
    #[must_use]
    pub fn document(&self, number: usize, path: &str) -> Value {
        let found = get(&self.nimbuses[number].http, path).ok().filter(|(code, _)| *code == 200);
        found.and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default()
    }

    /// The status of a topology, by the leader's word; null where there is none.
    #[must_use]
    pub fn status(&self, name: &str) -> Value {
        self.document(self.leader(), &format!("/api/v1/topologies/{name}"))
    }

    /// The workers of a topology by their number: process id, epoch and restarts.
    #[must_use]
    pub fn workers(&self, name: &str) -> Vec<(u64, String, u64)> {
        let status = self.status(name);
        let mut workers = status["workers"].as_array().cloned().unwrap_or_default();
        workers.sort_by_key(|worker| worker["worker"].as_u64());
        let number = |worker: &Value, key: &str| worker[key].as_u64().unwrap_or(0);
        let epoch = |worker: &Value| worker["epoch"].as_str().unwrap_or_default().to_owned();
        let worker =
            |worker: &Value| (number(worker, "pid"), epoch(worker), number(worker, "restarts"));
        workers.iter().map(worker).collect()
    }

    /// The metrics of a nimbus.
    #[must_use]
    pub fn metrics(&self, number: usize) -> String {
        get(&self.nimbuses[number].http, "/metrics").map(|(_, page)| page).unwrap_or_default()
    }

    /// Where clients reach the nimbuses, as `--nimbus` wants it.
    #[must_use]
    pub fn all(&self) -> String {
        let addresses = self.nimbuses.iter().map(|nimbus| nimbus.address.as_str());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Runs a command of `squall` against this cluster, which is told of every nimbus.
    #[must_use]
    pub fn squall(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&[&["--nimbus", &self.all()], arguments].concat())
    }

    /// Runs a command of `squall` that is told of one nimbus.
    #[must_use]
    pub fn squall_at(&self, number: usize, arguments: &[&str]) -> Outcome {
        Outcome::of(&[&["--nimbus", &self.nimbuses[number].address], arguments].concat())
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

    /// Starts a command of `squall` and lets it run, with its outputs in a log.
    #[must_use]
    pub fn start_squall(&mut self, arguments: &[&str]) -> Process {
        let all = self.all();
        self.start_told(&all, arguments)
    }

    /// Starts a command of `squall` that is told of one nimbus.
    #[must_use]
    pub fn start_squall_at(&mut self, number: usize, arguments: &[&str]) -> Process {
        let address = self.nimbuses[number].address.clone();
        self.start_told(&address, arguments)
    }

    fn start_told(&mut self, nimbus: &str, arguments: &[&str]) -> Process {
        let mut command = squall();
        command.args(["--nimbus", nimbus]).args(arguments);
        let log = self.log("command");
        Process::start(command, &log)
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

impl Drop for Several {
    fn drop(&mut self) {
        let nimbuses = self.nimbuses.iter_mut().map(|nimbus| &mut nimbus.process);
        folder::end(self.folder.path(), nimbuses.chain(&mut self.supervisors));
    }
}
