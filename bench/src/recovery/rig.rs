//! The cluster that faults are done to, and the waits for it to be as before.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::ledger::{History, Task, now_ns};
use tests::{Cluster, Etcd, Process, Proxy, program, squall};

use super::{Fault, Injected, Recovery};
use crate::problem::{EX_OSERR, INTERRUPTED, Problem};

/// Machines: one can be lost, and the others have room for what ran there.
pub(super) const SUPERVISORS: usize = 3;

/// Slots of each.
const SLOTS: usize = 2;

/// Workers of the topology. Each has a relay and a sink, two have a spout.
const WORKERS: u32 = 4;

/// Spouts: the loss of one leaves half of the load.
const SPOUTS: u32 = 2;

/// Tasks of all components.
const TASKS: usize = 2 + 4 + 4;

/// Name of the topology.
pub(super) const NAME: &str = "ledger";

/// How long the cluster may take to be as before.
const PATIENCE_NS: u64 = 90_000_000_000;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// It must have been as before for so long: two seconds before each fault are held against it.
const STEADY_NS: u64 = 2_200_000_000;

/// Nothing was open for so long: then the spouts have ended.
const ENDED_NS: u64 = 1_000_000_000;

/// What counts as recent.
const RECENT_NS: u64 = 500_000_000;

/// How long the throughput without faults is measured.
const FAULT_FREE_NS: u64 = 3_000_000_000;

const SECOND_NS: u64 = 1_000_000_000;

/// A cluster with a topology on it.
pub(super) struct Rig {
    pub(super) cluster: Cluster,
    pub(super) fault: Fault,
    pub(super) history: History,
    pub(super) proxies: Vec<Vec<Proxy>>,
    /// A nimbus beside that of the cluster, for faults of the leader.
    pub(super) second: Option<Process>,
    /// Where clients look for a nimbus.
    pub(super) nimbuses: String,
    folder: PathBuf,
    rate: u64,
    interrupted: Arc<AtomicBool>,
}

impl Rig {
    /// Starts the cluster and submits the topology.
    pub(super) fn start(recovery: &Recovery) -> Result<Self, Problem> {
        let interrupted = watch_signals()?;
        let mut proxies = Vec::new();
        let mut flags = vec![Vec::new(); SUPERVISORS];
        if recovery.fault == Fault::LinkCut {
            for (number, flags) in (0..).zip(&mut flags) {
                let (between, needed) = Proxy::before_workers(number, SLOTS as u16);
                *flags = needed;
                proxies.push(between);
            }
        }
        let members = if recovery.fault == Fault::EtcdLeader { 3 } else { 1 };
        let cluster = Cluster::start_with(|| Etcd::start_members(members), SLOTS, flags);
        let folder = cluster.scratch("ledgers");
        let mut rig = Self {
            fault: recovery.fault,
            history: History::of(&folder),
            proxies,
            second: None,
            nimbuses: cluster.addresses()[0].to_owned(),
            folder,
            rate: u64::from(recovery.rate),
            interrupted,
            cluster,
        };
        rig.submit();
        if recovery.fault == Fault::NimbusLeader {
            rig.start_second(None);
        }
        Ok(rig)
    }

    fn submit(&self) {
        let binary = program("audit");
        let binary = binary.to_string_lossy();
        let (folder, rate) = (format!("--folder={}", self.folder.display()), self.rate);
        let rate = format!("--rate={rate}");
        let [workers, spouts] = [WORKERS.to_string(), format!("--spouts={SPOUTS}")];
        let submit = ["submit", &binary, "--name", NAME, "--workers", &workers, "--"];
        let tasks = [spouts.as_str(), "--relays=4", "--sinks=4"];
        self.cluster.does(&[&submit[..], &[&folder, &rate], &tasks].concat());
    }

    /// Starts a second nimbus, at its old address if it had one.
    pub(super) fn start_second(&mut self, address: Option<&str>) {
        let mut command = squall();
        let any = "127.0.0.1:0";
        let etcd = self.cluster.etcd_url();
        command.args(["nimbus", "--etcd", &etcd, "--http", any, "--data-dir"]);
        command.arg(self.cluster.folder().join("nimbus-second"));
        command.args(["--listen", address.unwrap_or(any)]);
        let log = format!("nimbus-second-{}.log", now_ns());
        let mut second = Process::start(command, &self.cluster.folder().join(log));
        let line = second.line("nimbus listens on ");
        let address = line.split(',').next().unwrap_or_default().to_owned();
        if self.second.is_none() {
            self.nimbuses = format!("{},{address}", self.nimbuses);
        }
        self.second = Some(second);
    }

    /// Waits until tuples flow as they should; returns how long after the cluster's start the first
    /// one arrived.
    pub(super) fn until_steady(&mut self) -> Result<u64, Problem> {
        let begun_ns = now_ns() - u64::try_from(self.cluster.age().as_nanos()).unwrap_or(0);
        self.until("tuples flow at their rate", |rig| rig.is_steady())?;
        let first = self.history.executed().iter().map(|it| it.at_ns).min().unwrap_or(begun_ns);
        Ok(first.saturating_sub(begun_ns))
    }

    /// Measures the throughput without faults, in tuples a second. Too little of it and a fault
    /// would show nothing.
    pub(super) fn fault_free(&mut self) -> Result<u64, Problem> {
        let begun = now_ns();
        self.until("the measurement without faults", |_| now_ns() - begun >= FAULT_FREE_NS)?;
        let (count, _) = self.history.recent(FAULT_FREE_NS);
        let flowed = count * SECOND_NS / FAULT_FREE_NS;
        if flowed * 2 < self.rate {
            let why = format!("{flowed} tuples/s flowed before the first fault, not {}", self.rate);
            return Err(Problem::failed("the run is void", why));
        }
        Ok(flowed)
    }

    /// Waits until tuples flow through everything that was hit, and all is as before.
    pub(super) fn until_over(&mut self, injected: &Injected) -> Result<(), Problem> {
        let gone = |rig: &Self| {
            let current = rig.history.current();
            injected.healed_ns.is_some() || !current.values().any(|pid| injected.hit.contains(pid))
        };
        let mut since = None;
        self.until("everything is as before", |rig| {
            if !gone(rig) || !rig.is_steady() {
                since = None;
                return false;
            }
            let now = now_ns();
            now - *since.get_or_insert(now) >= STEADY_NS
        })
    }

    /// Lets the spouts end, and waits until every number is acked and written down.
    pub(super) fn end(&mut self) -> Result<(), Problem> {
        self.history.let_end().map_err(|error| unreadable(&error))?;
        let mut since = None;
        self.until("the spouts end and all is acked", |rig| {
            if rig.history.open() > 0 {
                since = None;
                return false;
            }
            let now = now_ns();
            now - *since.get_or_insert(now) >= ENDED_NS
        })
    }

    fn is_steady(&self) -> bool {
        let (count, tasks) = self.history.recent(RECENT_NS);
        let due = self.rate * RECENT_NS / SECOND_NS;
        let open = u64::try_from(self.history.open()).unwrap_or(u64::MAX);
        count * 10 >= due * 9 && tasks.len() == TASKS && open * 4 <= self.rate
    }

    /// Waits for a condition of the ledgers.
    pub(super) fn until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result<(), Problem> {
        let deadline = now_ns() + PATIENCE_NS;
        loop {
            self.history.refresh().map_err(|error| unreadable(&error))?;
            if holds(self) {
                return Ok(());
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Problem::new(INTERRUPTED, "ended early", "asked to", ""));
            }
            if now_ns() >= deadline {
                let (count, tasks) = self.history.recent(RECENT_NS);
                let count = count * SECOND_NS / RECENT_NS;
                let why = format!(
                    "not within {} s: {count} tuples/s flow through {} of {TASKS} tasks, {} are open",
                    PATIENCE_NS / SECOND_NS,
                    tasks.len(),
                    self.history.open()
                );
                return Err(Problem::failed(format!("never: {what}"), why));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The worker processes of the topology, those of the first tasks first.
    pub(super) fn workers(&self) -> Vec<u32> {
        let mut workers: Vec<u32> = Vec::new();
        let current = self.history.current();
        for (_, pid) in current.into_iter().filter(|(task, _)| matches!(task, Task::Sink(_))) {
            if !workers.contains(&pid) {
                workers.push(pid);
            }
        }
        workers
    }
}

fn unreadable(error: &std::io::Error) -> Problem {
    Problem::new(EX_OSERR, "cannot read the ledgers", error, "see what the machine is short of")
}

/// Notes a request to end, so that no process is left behind.
fn watch_signals() -> Result<Arc<AtomicBool>, Problem> {
    let asked = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unreadable(&error))?;
    let noted = Arc::clone(&asked);
    std::thread::spawn(move || {
        runtime.block_on(async { daemon::signals::terminate().await });
        noted.store(true, Ordering::Relaxed);
    });
    Ok(asked)
}
