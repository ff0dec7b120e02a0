//! A topology in figures: what its components, tasks, executors and workers did of late.
//!
//! Plain data, made of what was reported and of the history: the tables of the status show it, and the
//! findings are drawn from it.

mod gather;

use std::collections::BTreeMap;

use super::reports::work::fill;

pub use gather::gather;

/// How executors spent the last ten seconds, as shares of them.
///
/// ```
/// use nimbus::engine::figures::Shares;
///
/// let shares = Shares { executing: 0.5, ready: 0.25, blocked: 0.125, ..Shares::default() };
/// assert_eq!((shares.busy(), shares.idle()), (0.75, 0.125));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// They were called.
    pub executing: f64,
    /// They had something to do, but their loop was at others, or all calls that may be were under
    /// way.
    pub ready: f64,
    /// They had no room ahead.
    pub blocked: f64,
    /// They waited for acks.
    pub throttled: f64,
    /// Of `executing` and `ready`: nothing was computed, since calls waited for input or output, in a
    /// sleep or for a lock.
    pub waiting: f64,
}

impl Shares {
    /// They could not have done more.
    #[must_use]
    pub fn busy(&self) -> f64 {
        (self.executing + self.ready).min(1.0)
    }

    /// The part of their busy time in which their calls only waited, from 0 to 1.
    #[must_use]
    pub fn waits(&self) -> f64 {
        if self.busy() > 0.0 { (self.waiting / self.busy()).min(1.0) } else { 0.0 }
    }

    /// Their calls outlast the turns in which they are begun, as those of async and of blocking
    /// components do: what waits in a turn is executing.
    #[must_use]
    pub fn waits_aside(&self) -> bool {
        self.waiting > self.executing
    }

    /// They had nothing to do.
    #[must_use]
    pub fn idle(&self) -> f64 {
        (1.0 - self.executing - self.ready - self.blocked - self.throttled).clamp(0.0, 1.0)
    }

    /// The mean of several.
    #[must_use]
    pub fn mean(all: &[Self]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "there are at most 2^14 executors")]
        let count = all.len().max(1) as f64;
        let mean = |of: fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / count;
        Self {
            executing: mean(|it| it.executing),
            ready: mean(|it| it.ready),
            blocked: mean(|it| it.blocked),
            throttled: mean(|it| it.throttled),
            waiting: mean(|it| it.waiting),
        }
    }
}

/// Tuples a second: emitted, executed, acked and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Emitted.
    pub emitted: f64,
    /// Executed.
    pub executed: f64,
    /// Acked; of spouts, tuple trees.
    pub acked: f64,
    /// Failed; of spouts, tuple trees.
    pub failed: f64,
}

impl Rates {
    fn of([emitted, executed, acked, failed]: [f64; 4]) -> Self {
        Self { emitted, executed, acked, failed }
    }

    fn add(&mut self, other: &Self) {
        self.emitted += other.emitted;
        self.executed += other.executed;
        self.acked += other.acked;
        self.failed += other.failed;
    }
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// Its number.
    pub task: u32,
    /// The index of its executor.
    pub executor: u32,
    /// Its worker.
    pub worker: u32,
    /// What it counted since its worker started: emitted, executed, acked, failed.
    pub totals: [u64; 4],
    /// Of the last ten seconds; nothing in the first five.
    pub ten_seconds: Option<Rates>,
    /// Of the last minute.
    pub minute: Option<Rates>,
    /// Open trees, or tuples held.
    pub pending: u64,
    /// Tuples in its executor's mailbox, and what that may hold.
    pub queue: (u64, u64),
    /// Time in `execute` in µs since its worker started: half took no longer; then 95 and 99 of 100.
    pub execute_us: Option<[f64; 3]>,
    /// The same from emit to ack.
    pub complete_us: Option<[f64; 3]>,
}

impl Task {
    /// How full its executor's mailbox is, from 0 to 1.
    #[must_use]
    pub fn fill(&self) -> f64 {
        fill(self.queue.0, self.queue.1)
    }
}

/// An executor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Executor {
    /// Its index.
    pub index: u32,
    /// Its worker.
    pub worker: u32,
    /// Its loop there.
    pub at_loop: u32,
    /// How it spent the last ten seconds; nothing in the first five.
    pub shares: Option<Shares>,
}

/// A stream that a component reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// Who emits it.
    pub component: String,
    /// Which.
    pub stream: String,
    /// How it is split.
    pub grouping: String,
    /// Tuples a second that come this way, each copy counted.
    pub rate: Option<f64>,
}

/// A component.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Whether it is a spout.
    pub spout: bool,
    /// How many tasks it is declared with.
    pub declared: u32,
    /// How many executors it is to have.
    pub executors_wanted: u32,
    /// Its tasks, as far as they are heard of.
    pub tasks: Vec<Task>,
    /// Its executors, likewise.
    pub executors: Vec<Executor>,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// Its streams, with the tuples emitted a second.
    pub outputs: Vec<(String, Option<f64>)>,
    /// All its tasks, over ten seconds.
    pub ten_seconds: Rates,
    /// All its tasks, over a minute.
    pub minute: Rates,
    /// Failures a second by reason, over a minute.
    pub failing: BTreeMap<String, f64>,
    /// What else it counted a second, over a minute.
    pub counting: BTreeMap<String, f64>,
    /// Its newest errors, newest first.
    pub errors: Vec<Error>,
}

/// An error of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Error {
    /// How long ago, in ms.
    pub ago_ms: u64,
    /// In which task.
    pub task: u32,
    /// In which worker.
    pub worker: u32,
    /// `error`, `panic`, `stuck`, ...
    pub reason: String,
    /// What it said.
    pub text: String,
}

impl Component {
    /// How its executors spent the last ten seconds, in the mean; `None` if that is not known yet.
    #[must_use]
    pub fn shares(&self) -> Option<Shares> {
        let all: Vec<Shares> = self.executors.iter().filter_map(|it| it.shares).collect();
        (!all.is_empty()).then(|| Shares::mean(&all))
    }

    /// The executor that was busy for longest.
    #[must_use]
    pub fn busiest(&self) -> Option<&Executor> {
        let busy = |it: &&Executor| it.shares.map_or(0.0, |shares| shares.busy());
        self.executors.iter().max_by(|one, other| busy(one).total_cmp(&busy(other)))
    }

    /// How full the fullest mailbox is, from 0 to 1.
    #[must_use]
    pub fn fill(&self) -> f64 {
        self.tasks.iter().map(Task::fill).fold(0.0, f64::max)
    }

    /// What its tasks have taken in over a minute, in the mean, and a task's share of that: 1 is even.
    #[must_use]
    pub fn skew(&self, task: &Task) -> Option<f64> {
        let taken = |rates: &Rates| if self.spout { rates.emitted } else { rates.executed };
        #[expect(clippy::cast_precision_loss, reason = "there are at most 2^20 tasks")]
        let even = taken(&self.minute) / self.tasks.len().max(1) as f64;
        let own = taken(task.minute.as_ref()?);
        (even > 0.0).then(|| own / even)
    }

    /// An executor of it.
    #[must_use]
    pub fn executor(&self, task: &Task) -> Option<&Executor> {
        let mut all = self.executors.iter();
        all.find(|it| it.index == task.executor && it.worker == task.worker)
    }
}

/// A worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worker {
    /// Its number.
    pub worker: u32,
    /// Its supervisor.
    pub supervisor: String,
    /// Its host.
    pub host: String,
    /// What its slot is doing.
    pub state: String,
    /// Which incarnation it is.
    pub epoch: (u64, u64),
    /// How often it was restarted.
    pub restarts: u64,
    /// How its last incarnation ended; empty if this is the first.
    pub last_exit: String,
    /// How long ago that was, in ms.
    pub last_exit_ago_ms: Option<u64>,
    /// The last lines of its log, if it keeps ending.
    pub last_words: String,
    /// Why it is to be replaced; empty while it is not.
    pub hung: String,
    /// What waits in it, and what may, in bytes.
    pub held: (u64, u64),
    /// How long its oldest tuple waits.
    pub waiting_ms: u64,
    /// Workers it has a link to that is down.
    pub links_down: Vec<u32>,
    /// Whether it is heard of.
    pub heard: bool,
}

/// A topology.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Its name.
    pub name: String,
    /// Its spouts may emit.
    pub active: bool,
    /// How long it is there.
    pub age_ms: u64,
    /// `max_pending`.
    pub max_pending: u64,
    /// `message_timeout`.
    pub timeout_ms: u64,
    /// How many workers were asked for.
    pub workers_wanted: u32,
    /// Why it has no workers; nothing if it has.
    pub unplaced: Option<String>,
    /// Why it is left alone; nothing if it is not.
    pub quarantined: Option<String>,
    /// Its components, in the order of its specification.
    pub components: Vec<Component>,
    /// Its workers.
    pub workers: Vec<Worker>,
}

impl Figures {
    /// A component of it.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }

    /// The components that read one.
    pub fn readers<'a>(&'a self, of: &'a Component) -> impl Iterator<Item = &'a Component> {
        let reads = |it: &&Component| it.inputs.iter().any(|input| input.component == of.name);
        self.components.iter().filter(reads)
    }

    /// How long a loop was at its executors, as a share.
    #[must_use]
    pub fn load(&self, worker: u32, at_loop: u32) -> f64 {
        let executors = self.components.iter().flat_map(|component| &component.executors);
        let here = executors.filter(|it| (it.worker, it.at_loop) == (worker, at_loop));
        here.filter_map(|it| it.shares).map(|shares| shares.executing).sum::<f64>().min(1.0)
    }
}
