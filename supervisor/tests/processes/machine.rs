//! One machine: a store, a nimbus, a data folder, and supervisors that come and go.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use coordination::{
    Change, Entry, Keys, MemoryStore, Operation, Store, Transaction, Watch, decode, put,
};
use daemon::{Clock, Shutdown};
use futures::StreamExt;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use proto::store::{
    AssignedRecord, AssignmentRecord, LeaderRecord, TopologyRecord, TopologySpec, TopologyStatus,
    WorkerRecord,
};
use proto::supervisor::supervisor_client::SupervisorClient;
use proto::supervisor::{LettersReport, LogChunk, LogsRequest, SlotReport};
use sha2::{Digest, Sha256};
use supervisor::{Config, Error};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::child;
use crate::nimbus::Nimbus;

/// Id of the topology that is run.
pub(crate) const TOPOLOGY: &str = "word-count-1-ab2c";

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(40);

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("waited {PATIENCE:?} until {what}"))
}

/// This test's own binary, and its digest.
fn binary() -> &'static (String, Vec<u8>) {
    static BINARY: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    BINARY.get_or_init(|| {
        let binary = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let digest = Sha256::digest(&binary).iter().map(|byte| format!("{byte:02x}")).collect();
        (digest, binary)
    })
}

pub(crate) struct Machine {
    pub(crate) store: MemoryStore,
    pub(crate) keys: Keys,
    pub(crate) nimbus: Nimbus,
    config: Mutex<BTreeMap<String, String>>,
    folder: tempfile::TempDir,
    shutdown: Shutdown,
}

impl Machine {
    pub(crate) async fn new() -> Self {
        let (digest, bytes) = binary();
        let shutdown = Shutdown::new();
        let nimbus = Nimbus::start(digest.clone(), bytes.clone(), &shutdown).await;
        let store = MemoryStore::new(Clock::system());
        let keys = Keys::new("test").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = Mutex::default();
        let machine = Self { store, keys, nimbus, config, folder, shutdown };
        let address = machine.nimbus.address.clone();
        let leader = LeaderRecord { address, ..LeaderRecord::default() };
        machine.commit(vec![put(machine.keys.leader(), &leader, None)]).await;
        machine
    }

    /// Starts a supervisor, once the one before has let go of the folder.
    pub(crate) async fn supervise(&self) -> Supervisor {
        let config =
            Config { slots: 2, ..Config::new("test", self.folder.path().join("supervisor")) };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let shutdown = Shutdown::new();
        within("the folder is free", async {
            loop {
                let store: Arc<dyn Store> = Arc::new(self.store.clone());
                let (config, shutdown) = (config.clone(), shutdown.clone());
                let start = supervisor::start(config, store, Clock::system(), shutdown.clone());
                match runtime.spawn(start).await.unwrap() {
                    Ok(running) => {
                        let address = format!("http://{}", running.address);
                        let (id, runtime) = (running.id, Some(runtime));
                        return Supervisor { id, address, runtime, shutdown };
                    }
                    Err(Error::InUse { .. }) => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        })
        .await
    }

    /// How the next worker behaves.
    pub(crate) fn configure(&self, behaviour: &str) {
        self.set("behave", behaviour);
    }

    /// A setting of the next worker.
    pub(crate) fn set(&self, key: &str, value: &str) {
        self.config.lock().unwrap().insert(key.to_owned(), value.to_owned());
    }

    async fn commit(&self, operations: Vec<Operation>) {
        self.store.commit(Transaction { guards: Vec::new(), operations }).await.unwrap();
    }

    /// Assigns worker 0 to slot 0 of the supervisor, as nimbus does.
    pub(crate) async fn assign(&self, generation: u64, epoch_revision: u64) {
        self.set_status(TopologyStatus::Active).await;
        let id = std::fs::read_to_string(self.folder.path().join("supervisor/id")).unwrap();
        let assignment = AssignmentRecord {
            topology: TOPOLOGY.to_owned(),
            generation,
            supervisor: id,
            epoch_revision,
            ..AssignmentRecord::default()
        };
        let key = self.keys.assignment(TOPOLOGY, generation, 0);
        self.commit(vec![put(key, &assignment, None)]).await;
        let assigned = AssignedRecord { generation, workers: 1 };
        self.commit(vec![put(self.keys.assigned(TOPOLOGY), &assigned, None)]).await;
    }

    /// Takes the topology out of the store, as nimbus does when nothing of it is left.
    pub(crate) async fn forget(&self) {
        self.commit(vec![Operation::Delete(self.keys.topology(TOPOLOGY))]).await;
    }

    /// Waits until the letters of the topology were reported like this.
    pub(crate) async fn letters_reported(&self, fits: impl Fn(Option<&LettersReport>) -> bool) {
        let mut reports = self.nimbus.reports.clone();
        let fits = |report: &proto::supervisor::SupervisorReport| fits(report.letters.first());
        let reported = async { drop(reports.wait_for(fits).await.unwrap()) };
        within("the letters are reported like this", reported).await;
    }

    /// The files of dead letters.
    pub(crate) fn letters(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("supervisor/letters")).unwrap().count()
    }

    /// Takes the assignment back, as nimbus does at a kill.
    pub(crate) async fn unassign(&self) {
        self.commit(vec![
            Operation::Delete(self.keys.assigned(TOPOLOGY)),
            Operation::DeletePrefix(self.keys.assignments_of(TOPOLOGY)),
        ])
        .await;
    }

    pub(crate) async fn set_status(&self, status: TopologyStatus) {
        let config = self.config.lock().unwrap().clone().into_iter().collect();
        let record = TopologyRecord {
            id: TOPOLOGY.to_owned(),
            name: "word-count".to_owned(),
            status: status.into(),
            digest: binary().0.clone(),
            arguments: child::ARGUMENTS.map(str::to_owned).into(),
            spec: Some(TopologySpec { config, ..TopologySpec::default() }),
            ..TopologyRecord::default()
        };
        self.commit(vec![put(self.keys.topology(TOPOLOGY), &record, None)]).await;
    }

    /// The worker's record.
    pub(crate) async fn worker(&self) -> Option<WorkerRecord> {
        let entry = self.store.get(&self.keys.worker(TOPOLOGY, 0)).await.unwrap()?;
        Some(decode(&entry).unwrap())
    }

    /// Waits until the worker listens.
    pub(crate) async fn running(&self) -> WorkerRecord {
        self.running_where(|_| true).await
    }

    pub(crate) async fn running_where(&self, fits: impl Fn(&WorkerRecord) -> bool) -> WorkerRecord {
        within("the worker listens", async {
            loop {
                match self.worker().await {
                    Some(worker) if !worker.address.is_empty() && fits(&worker) => return worker,
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await
    }

    /// Shows every change of the worker's record from now on.
    pub(crate) async fn follow_worker(&self) -> History {
        let key = self.keys.worker(TOPOLOGY, 0);
        let now = self.store.list(&key).await.unwrap().revision;
        let changes = self.store.watch(&key, now + 1).await.unwrap();
        History { changes, ready: Vec::new() }
    }

    /// Waits until slot 0 was reported like this.
    pub(crate) async fn reported(&self, fits: impl Fn(&SlotReport) -> bool) -> SlotReport {
        let mut reports = self.nimbus.reports.clone();
        let slot = within("the slot is reported like this", async {
            let fits = |report: &proto::supervisor::SupervisorReport| {
                report.slots.first().is_some_and(&fits)
            };
            reports.wait_for(fits).await.unwrap().slots[0].clone()
        });
        slot.await
    }

    fn workers(&self) -> PathBuf {
        self.folder.path().join("supervisor/workers")
    }

    /// Tells whether any worker has a folder.
    pub(crate) fn has_folders(&self) -> bool {
        std::fs::read_dir(self.workers()).unwrap().next().is_some()
    }

    /// What the supervisor has written down of the worker.
    pub(crate) fn facts(&self) -> String {
        std::fs::read_to_string(self.workers().join(TOPOLOGY).join("0/.facts")).unwrap()
    }

    /// Flips a bit of that.
    pub(crate) fn damage_facts(&self) {
        let mut facts = self.facts().into_bytes();
        facts[100] ^= 1;
        std::fs::write(self.workers().join(TOPOLOGY).join("0/.facts"), facts).unwrap();
    }

    /// Where workers dial.
    pub(crate) fn socket(&self) -> String {
        self.folder.path().join("supervisor/s/control.sock").to_str().unwrap().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.shutdown.ask();
    }
}

/// A supervisor on its own runtime.
pub(crate) struct Supervisor {
    pub(crate) id: String,
    address: String,
    runtime: Option<tokio::runtime::Runtime>,
    shutdown: Shutdown,
}

impl Supervisor {
    /// Ends it as `kill -9` does: between two of its steps, without a farewell.
    pub(crate) fn die(mut self) {
        self.end_runtime();
    }

    fn end_runtime(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Stops it as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.ask();
        self.shutdown.wait(supervisor::STOP_MAX).await.unwrap();
        self.end_runtime();
    }

    /// What the worker has written.
    pub(crate) async fn log(&self) -> String {
        let request = request(TOPOLOGY, false);
        let mut client = self.client().await;
        let Ok(answer) = client.logs(request).await else { return String::new() };
        let mut chunks = answer.into_inner();
        let mut log = String::new();
        while let Some(chunk) = chunks.message().await.unwrap() {
            log += &String::from_utf8_lossy(&chunk.data);
        }
        log
    }

    /// A way to what it serves.
    pub(crate) async fn client(&self) -> SupervisorClient<Channel> {
        SupervisorClient::connect(self.address.clone()).await.unwrap()
    }

    /// What the worker writes from now on.
    pub(crate) async fn follow_log(&self, topology: &str) -> Result<Streaming<LogChunk>, Status> {
        let mut client = self.client().await;
        Ok(client.logs(request(topology, true)).await?.into_inner())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end_runtime();
    }
}

fn request(topology: &str, follow: bool) -> LogsRequest {
    LogsRequest {
        topology: topology.to_owned(),
        worker: 0,
        follow,
        tail_bytes: 1 << 20,
        ..LogsRequest::default()
    }
}

/// Changes of a worker's record, one by one.
pub(crate) struct History {
    changes: Watch,
    ready: Vec<Entry>,
}

impl History {
    pub(crate) async fn next(&mut self) -> WorkerRecord {
        within("the worker's record changes", async {
            while self.ready.is_empty() {
                for change in self.changes.next().await.unwrap().unwrap() {
                    match change {
                        Change::Put(entry) => self.ready.push(entry),
                        Change::Deleted { .. } => panic!("the record must not vanish"),
                    }
                }
            }
            decode(&self.ready.remove(0)).unwrap()
        })
        .await
    }
}

fn id(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap())
}

/// `kill -9`.
pub(crate) fn kill(pid: u32) {
    signal::kill(id(pid), Signal::SIGKILL).unwrap();
}

/// Stops a process without ending it.
pub(crate) fn stop(pid: u32) {
    signal::kill(id(pid), Signal::SIGSTOP).unwrap();
}

/// Tells whether a process exists, be it a zombie.
pub(crate) fn exists(pid: u32) -> bool {
    signal::kill(id(pid), None).is_ok()
}

/// Tells whether a process runs.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
