//! What each task counts, and the board where loops post it for the reports.
//!
//! Counting is plain arithmetic on the executor's own numbers; a loop posts copies to the board
//! every 100 ms while there is something new, and at once when a task has ended.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use topology_api::format_duration;
use topology_api::runtime::{Metrics, Reporter, Watch};

use crate::engine::acking::FailReason;
use crate::executor::calls::{CallWatch, ThreadWatch, Watches, in_name_of};
use crate::executor::effort::EffortBoard;
use crate::executor::flows::FlowBoard;
use crate::executor::log_gate::LogGate;
use crate::executor::threads::ThreadClock;

/// Longest latency that is told apart, in nanoseconds: one hour.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// A histogram of latencies in nanoseconds, two significant digits.
#[must_use]
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 2).expect("the bounds are valid constants")
}

/// What one task counted since its worker started.
#[derive(Clone, Debug)]
pub struct TaskCounters {
    /// The task's number within the topology.
    pub task: u32,
    /// The index of its executor within the topology.
    pub executor: u16,
    /// Its component's name.
    pub component: String,
    /// Tuples emitted.
    pub emitted: u64,
    /// Tuples executed.
    pub executed: u64,
    /// Inputs acked, or for a spout trees.
    pub acked: u64,
    /// Inputs or trees failed, by reason.
    pub failed: BTreeMap<&'static str, u64>,
    /// Anything else, by name.
    pub counters: BTreeMap<&'static str, u64>,
    /// Newest values of its gauges.
    pub gauges: BTreeMap<&'static str, f64>,
    /// Buckets of its histograms: the highest value of each, and how many values.
    pub histograms: BTreeMap<&'static str, Vec<(u64, u64)>>,
    /// Open trees.
    pub pending: u64,
    /// Tuples in the mailbox of its executor.
    pub queued: u64,
    /// Nanoseconds of an `execute`.
    pub execute: Histogram<u64>,
    /// Nanoseconds from emit to ack.
    pub complete: Histogram<u64>,
    /// It has finished and closed.
    pub ended: bool,
    /// It is another worker's now; this is what it counted here.
    pub left: bool,
    /// It holds tuples or emitted ones that are not delivered.
    pub busy: bool,
}

impl TaskCounters {
    /// Starts at nothing.
    #[must_use]
    pub fn new(task: u32, executor: u16, component: &str) -> Self {
        Self {
            task,
            executor,
            component: component.to_owned(),
            emitted: 0,
            executed: 0,
            acked: 0,
            failed: BTreeMap::new(),
            counters: BTreeMap::new(),
            gauges: BTreeMap::new(),
            histograms: BTreeMap::new(),
            pending: 0,
            queued: 0,
            execute: latency_histogram(),
            complete: latency_histogram(),
            ended: false,
            left: false,
            busy: false,
        }
    }

    /// Counts a failure.
    pub fn fail(&mut self, reason: FailReason) {
        *self.failed.entry(reason.name()).or_default() += 1;
    }
}

/// An error a person should see.
#[derive(Clone, Debug)]
pub struct ShownError {
    /// Rises with each.
    pub sequence: u64,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: u64,
    /// The task it happened in.
    pub task: u32,
    /// `error`, `panic`, ...
    pub reason: &'static str,
    /// What happened.
    pub text: String,
}

/// Errors kept until they are reported; older ones give way.
const ERRORS_MAX: usize = 100;

/// Longest text of an error, in bytes.
const ERROR_TEXT_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Posted {
    tasks: BTreeMap<u32, TaskCounters>,
    /// Metrics of their authors' own.
    metrics: BTreeMap<u32, Arc<Metrics>>,
    results: BTreeMap<u32, String>,
    errors: Vec<ShownError>,
    error_sequence: u64,
    log_gates: BTreeMap<(u32, &'static str), LogGate>,
    oldest: BTreeMap<usize, Option<Instant>>,
    idle: BTreeMap<usize, bool>,
    watches: Watches,
    /// Executors that have left: their loops and their places there.
    let_go: Vec<(usize, usize)>,
}

/// Where loops post what their tasks count, for the reports.
#[derive(Debug, Default)]
pub struct Board {
    posted: Mutex<Posted>,
    /// What executors do with their time.
    pub efforts: EffortBoard,
    /// How many tuples took which way.
    pub flows: FlowBoard,
    clock: daemon::Clock,
    /// Something changed that should be reported at once.
    pub changed: Notify,
}

/// A copy of the board.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By task number.
    pub tasks: Vec<TaskCounters>,
    /// JSON, by task.
    pub results: BTreeMap<u32, String>,
    /// Oldest first.
    pub errors: Vec<ShownError>,
}

impl Snapshot {
    /// Every task has finished and closed.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        let mut own = self.tasks.iter().filter(|task| !task.left).peekable();
        own.peek().is_some() && own.all(|task| task.ended)
    }

    /// No tree is open and nothing is on its way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.tasks.iter().all(|task| task.pending == 0 && task.queued == 0 && !task.busy)
    }
}

impl Board {
    /// Makes an empty board.
    #[must_use]
    pub fn new(clock: daemon::Clock) -> Self {
        Self { clock, ..Self::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts what the tasks of one loop counted, and since when its oldest tuple waits.
    pub fn post<'a>(
        &self,
        at_loop: usize,
        tasks: impl Iterator<Item = &'a TaskCounters>,
        oldest: Option<Instant>,
    ) {
        let mut posted = self.lock();
        let mut ended = false;
        for task in tasks {
            let before = posted.tasks.insert(task.task, task.clone());
            ended |= task.ended && before.is_some_and(|before| !before.ended);
        }
        posted.oldest.insert(at_loop, oldest);
        drop(posted);
        if ended {
            self.changed.notify_one();
        }
    }

    /// Notes which tasks are this worker's from now on: what they counted here before goes on. Others
    /// have left, but for those that are `leaving`.
    pub fn own(&self, tasks: &[TaskCounters], leaving: impl Fn(u32) -> bool) {
        let mut posted = self.lock();
        for task in posted.tasks.values_mut() {
            let is_own = tasks.iter().any(|own| own.task == task.task);
            if is_own && task.left {
                (task.left, task.ended) = (false, false);
            } else if !is_own && !leaving(task.task) {
                (task.left, task.pending, task.queued, task.busy) = (true, 0, 0, false);
            }
        }
        for task in tasks {
            posted.tasks.entry(task.task).or_insert_with(|| task.clone());
        }
    }

    /// The counters that a task of an executor begins with: `new`, and what an executor that had the
    /// task here before left on the board.
    #[must_use]
    pub fn resume(&self, new: &TaskCounters) -> TaskCounters {
        let known = self.lock().tasks.get(&new.task).cloned();
        known.map_or_else(
            || new.clone(),
            |known| TaskCounters {
                executor: new.executor,
                pending: 0,
                queued: 0,
                ended: false,
                left: false,
                busy: false,
                ..known
            },
        )
    }

    /// Posts the last words of an executor's tasks that are not this worker's any more.
    pub fn post_last<'a>(&self, tasks: impl Iterator<Item = &'a TaskCounters>) {
        let mut posted = self.lock();
        for task in tasks {
            let (pending, queued, busy) = (0, 0, false);
            posted.tasks.insert(task.task, TaskCounters { pending, queued, busy, ..task.clone() });
        }
    }

    /// Notes that an executor has left its place on a loop, and wakes who waits for it.
    pub fn let_go(&self, at: usize, place: usize) {
        self.lock().let_go.push((at, place));
        self.changed.notify_one();
    }

    /// The executors that have left since this was last asked: their loops and their places there.
    #[must_use]
    pub fn take_let_go(&self) -> Vec<(usize, usize)> {
        std::mem::take(&mut self.lock().let_go)
    }

    /// Notes whether a loop has nothing left to do.
    pub fn post_idle(&self, at_loop: usize, idle: bool) {
        let before = self.lock().idle.insert(at_loop, idle);
        if idle && before != Some(true) {
            self.changed.notify_one();
        }
    }

    /// Since when a tuple of this worker waits before or behind an executor. Posted ten times a
    /// second, and true for longer while its loop is in a call and posts nothing.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.lock().oldest.values().copied().flatten().min()
    }

    /// Makes the watch of a loop.
    pub fn watch(&self, epoch: Instant) -> Arc<CallWatch> {
        self.lock().watches.watch(epoch)
    }

    /// The threads that tasks have of their own.
    pub fn threads(&self) -> Vec<(u32, ThreadClock)> {
        self.lock().watches.threads()
    }

    /// Shows the calls that have been going on for longer than `limit`.
    pub fn show_stuck(&self, limit: Duration) {
        let now = self.clock.now();
        let stuck = self.lock().watches.stuck(now, limit);
        for (task, took) in stuck {
            let text = format!(
                "one call has not returned for {}; its thread can do nothing else meanwhile",
                format_duration(took)
            );
            self.show(task, "stuck", text);
        }
    }

    /// Notes what changes with each call of a task.
    pub fn watch_progress(&self, task: u32, progress: Option<Arc<AtomicU32>>) {
        self.lock().watches.watch_progress(task, progress);
    }

    /// The task whose call gets on with nothing for the longest time, if that is longer than `limit`.
    pub fn hung(&self, limit: Duration) -> Option<(u32, Duration)> {
        let now = self.clock.now();
        self.lock().watches.stalled(now).filter(|(_, took)| *took >= limit)
    }

    /// Shows an error; the log has at most one a second of each task and reason.
    pub fn show(&self, task: u32, reason: &'static str, mut text: String) {
        if text.len() > ERROR_TEXT_MAX {
            let mut end = ERROR_TEXT_MAX;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        let (at_ms, now) = (self.clock.wall_ms(), self.clock.now());
        let mut posted = self.lock();
        let unlogged = posted.log_gates.entry((task, reason)).or_default().pass(now);
        in_name_of(task, || match unlogged {
            None => {}
            Some(0) => tracing::warn!(task, reason, error = %text, "component failed"),
            Some(unlogged) => {
                tracing::warn!(task, reason, unlogged, error = %text, "component failed");
            }
        });
        posted.error_sequence += 1;
        let sequence = posted.error_sequence;
        posted.errors.push(ShownError { sequence, at_ms, task, reason, text });
        if posted.errors.len() > ERRORS_MAX {
            posted.errors.remove(0);
        }
    }

    /// Adds to a counter of a task.
    pub fn count(&self, task: u32, counter: &'static str, by: u64) {
        self.metrics(task).counter(counter).add(by);
    }

    /// Copies the board.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let posted = self.lock();
        let mut tasks: Vec<TaskCounters> = posted.tasks.values().cloned().collect();
        for task in &mut tasks {
            if let Some(metrics) = posted.metrics.get(&task.task) {
                let values = metrics.values();
                for (name, count) in values.counters {
                    *task.counters.entry(name).or_default() += count;
                }
                task.gauges.extend(values.gauges);
                task.histograms.extend(values.histograms);
            }
        }
        Snapshot { tasks, results: posted.results.clone(), errors: posted.errors.clone() }
    }
}

impl Reporter for Board {
    fn result(&self, task: u32, json: String) {
        self.lock().results.insert(task, json);
    }

    fn metrics(&self, task: u32) -> Arc<Metrics> {
        Arc::clone(self.lock().metrics.entry(task).or_default())
    }

    fn error(&self, task: u32, text: String) {
        self.show(task, "reported", text);
    }

    fn watch(&self) -> Option<Arc<dyn Watch>> {
        let (calls, clock) = (Self::watch(self, self.clock.now()), self.clock.clone());
        Some(Arc::new(ThreadWatch { calls, clock }))
    }
}
