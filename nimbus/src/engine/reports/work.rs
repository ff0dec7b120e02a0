//! What the tasks of a worker have counted, as nimbus keeps it: in few bytes, for there are many tasks.
//!
//! Of each task the numbers are kept that are shown of it. What has a name, or is spread over a
//! histogram, is added up by component as it comes in, for it is shown by component only. Names are
//! kept once a topology.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::supervisor::{Percentiles, TaskReport, WorkerReport};

use super::super::counters::{Packed, Totals, add_to};
use super::executor::Executor;

/// The names of a topology, each kept once.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeSet<Arc<str>>);

impl Names {
    fn one(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.0.insert(Arc::clone(&new));
        new
    }

    /// Has a name be the one that is known, so that it is kept once.
    fn share(&mut self, name: &mut Arc<str>) {
        match self.0.get(name) {
            Some(known) => *name = Arc::clone(known),
            None => drop(self.0.insert(Arc::clone(name))),
        }
    }

    /// Forgets those that nobody has any more.
    pub(super) fn prune(&mut self) {
        self.0.retain(|name| Arc::strong_count(name) > 1);
    }
}

/// What the tasks of a worker have counted.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Its tasks.
    pub tasks: Box<[Task]>,
    /// What its executors did with their time.
    pub executors: Box<[Executor]>,
    /// Its tasks together, by component.
    pub components: Box<[Part]>,
    /// How many tuples took which way.
    pub flows: Box<[Flow]>,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// Its number.
    pub task: u32,
    /// The index of its executor.
    pub executor: u32,
    /// Which of the worker's components it is of.
    component: u32,
    /// Tuples in its executor's mailbox, and what that may hold.
    pub queue: (u32, u32),
    /// Open trees, or tuples held.
    pub pending: u32,
    /// Tuples emitted, executed, acked and failed.
    pub totals: [u64; 4],
    /// Time in `execute` in µs that 50, 95 and 99 of 100 calls did not pass; `None` if nothing was
    /// measured.
    pub execute_us: Option<[f32; 3]>,
    /// The same from emit to ack.
    pub complete_us: Option<[f32; 3]>,
}

/// The tasks of one component in one worker, or in those that are gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The component.
    pub component: Arc<str>,
    /// Tuples emitted.
    pub emitted: u64,
    /// Tuples executed.
    pub executed: u64,
    /// Tuples, or trees of a spout, that were acked.
    pub acked: u64,
    /// Those that failed, by reason.
    pub failed: Box<[(Arc<str>, u64)]>,
    /// Everything else that was counted.
    pub counters: Box<[(Arc<str>, u64)]>,
    /// Values of the author's own.
    pub gauges: Box<[(Arc<str>, Gauge)]>,
    /// How values of the author's own are spread.
    pub histograms: Box<[(Arc<str>, Packed)]>,
    /// Time in `execute`.
    pub execute: Packed,
    /// Time from emit to ack.
    pub complete: Packed,
    /// Open trees, or tuples held.
    pub pending: u64,
    /// How full the fullest mailbox is, from 0 to 1.
    pub fill: f64,
}

/// A gauge, over several tasks.
///
/// ```
/// use nimbus::engine::reports::work::Gauge;
///
/// let both = Gauge::of(1.5).with(Gauge::of(-2.0));
/// assert_eq!((both.min, both.max, both.sum), (-2.0, 1.5, -0.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauge {
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// All together.
    pub sum: f64,
}

/// Tuples that take one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Whose they are.
    pub component: Arc<str>,
    /// On which stream.
    pub stream: Arc<str>,
    /// The component they are sent to; empty: what was emitted, whoever reads it.
    pub consumer: Arc<str>,
    /// How many.
    pub tuples: u64,
}

impl Work {
    /// Takes it out of a report.
    pub(super) fn of(report: &mut WorkerReport, names: &mut Names) -> Self {
        let reports = std::mem::take(&mut report.tasks);
        let together = std::mem::take(&mut report.components);
        let mut all: Vec<&str> = reports.iter().map(|task| task.component.as_str()).collect();
        all.extend(together.iter().map(|it| it.component.as_str()));
        all.sort_unstable();
        all.dedup();
        let mut sums: Vec<Sum> = all.iter().map(|_| Sum::default()).collect();
        let mut take = |report: &TaskReport| {
            let at = all.binary_search(&report.component.as_str()).unwrap_or_default();
            sums[at].add(report);
            Task::of(report, at)
        };
        let tasks = reports.iter().map(&mut take).collect();
        for it in &together {
            let at = all.binary_search(&it.component.as_str()).unwrap_or_default();
            sums[at].totals.add_together(it);
        }
        let sums = all.iter().zip(&mut sums);
        let components = sums.map(|(name, sum)| sum.part(name, names)).collect();
        let flows = std::mem::take(&mut report.flows).into_iter().map(|flow| Flow {
            component: names.one(&flow.component),
            stream: names.one(&flow.stream),
            consumer: names.one(&flow.consumer),
            tuples: flow.tuples,
        });
        let flows = flows.collect();
        let executors = std::mem::take(&mut report.executors).iter().map(Executor::from).collect();
        Self { tasks, executors, components, flows }
    }

    /// Has its names be those of its topology.
    pub(super) fn share(&mut self, names: &mut Names) {
        for part in &mut self.components {
            names.share(&mut part.component);
            let counts = part.failed.iter_mut().chain(&mut part.counters);
            counts.for_each(|(name, _)| names.share(name));
            part.gauges.iter_mut().for_each(|(name, _)| names.share(name));
            part.histograms.iter_mut().for_each(|(name, _)| names.share(name));
        }
        for flow in &mut self.flows {
            let Flow { component, stream, consumer, .. } = flow;
            [component, stream, consumer].into_iter().for_each(|name| names.share(name));
        }
    }

    /// The name of a task's component.
    #[must_use]
    pub fn component(&self, task: &Task) -> &str {
        self.components.get(task.component as usize).map_or("", |part| &part.component)
    }
}

impl Task {
    fn of(report: &TaskReport, component: usize) -> Self {
        let low = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let failed = report.failed.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        Self {
            task: report.task,
            executor: report.executor,
            component: low(component as u64),
            queue: (low(report.queued), low(report.queue_capacity)),
            pending: low(report.pending),
            totals: [report.emitted, report.executed, report.acked, failed],
            execute_us: percentiles_us(report.execute),
            complete_us: percentiles_us(report.complete),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "seven digits are more than were measured"
)]
fn percentiles_us(percentiles: Option<Percentiles>) -> Option<[f32; 3]> {
    let Percentiles { p50, p95, p99 } = percentiles?;
    Some([p50, p95, p99].map(|bound| (bound as f64 / 1_000.0) as f32))
}

impl Part {
    /// Packs what was counted of a component.
    #[must_use]
    pub(super) fn of(name: &str, totals: &Totals, names: &mut Names) -> Self {
        let mut named = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(name, count)| (names.one(name), *count)).collect()
        };
        let (failed, counters) = (named(&totals.failed), named(&totals.counters));
        let spread = totals.histograms.iter();
        Self {
            emitted: totals.emitted,
            executed: totals.executed,
            acked: totals.acked,
            failed,
            counters,
            gauges: Box::default(),
            histograms: spread.map(|(name, it)| (names.one(name), Packed::of(it))).collect(),
            execute: Packed::of(&totals.execute),
            complete: Packed::of(&totals.complete),
            pending: 0,
            fill: 0.0,
            component: names.one(name),
        }
    }

    /// Adds what it has counted to others.
    pub fn add_to(&self, totals: &mut Totals) {
        totals.emitted = totals.emitted.saturating_add(self.emitted);
        totals.executed = totals.executed.saturating_add(self.executed);
        totals.acked = totals.acked.saturating_add(self.acked);
        self.failed.iter().for_each(|(name, count)| add_to(&mut totals.failed, name, *count));
        self.counters.iter().for_each(|(name, count)| add_to(&mut totals.counters, name, *count));
        for (name, packed) in &self.histograms {
            totals.histograms.entry(name.to_string()).or_default().add_packed(packed);
        }
        totals.execute.add_packed(&self.execute);
        totals.complete.add_packed(&self.complete);
    }
}

impl Gauge {
    /// The gauge of one task.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self { min: value, max: value, sum: value }
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let (min, max) = (self.min.min(other.min), self.max.max(other.max));
        Self { min, max, sum: self.sum + other.sum }
    }
}

/// What is added up of a component before it is packed.
#[derive(Default)]
struct Sum {
    totals: Totals,
    gauges: BTreeMap<String, Gauge>,
    pending: u64,
    fill: f64,
}

impl Sum {
    fn add(&mut self, report: &TaskReport) {
        self.totals.add(report);
        for (name, value) in &report.gauges {
            let gauge = Gauge::of(*value);
            let known = self.gauges.get(name).map_or(gauge, |known| known.with(gauge));
            self.gauges.insert(name.clone(), known);
        }
        self.pending = self.pending.saturating_add(report.pending);
        self.fill = self.fill.max(fill(report.queued, report.queue_capacity));
    }

    fn part(&mut self, name: &str, names: &mut Names) -> Part {
        let part = Part::of(name, &self.totals, names);
        let gauges = self.gauges.iter().map(|(name, gauge)| (names.one(name), *gauge));
        Part { gauges: gauges.collect(), pending: self.pending, fill: self.fill, ..part }
    }
}

/// How full a mailbox is, from 0 to 1.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a mailbox holds far fewer than 2^53 tuples")]
pub fn fill(queued: u64, capacity: u64) -> f64 {
    if capacity == 0 { 0.0 } else { (queued as f64 / capacity as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use proto::supervisor::{ComponentReport, Latency};

    use super::*;

    fn report(task: u32, component: &str) -> TaskReport {
        TaskReport {
            task,
            component: component.to_owned(),
            emitted: 10,
            failed: [("timeout".to_owned(), 2), ("error".to_owned(), 1)].into(),
            gauges: [("depth".to_owned(), f64::from(task))].into(),
            execute: Some(Percentiles { p50: 1_023, p95: 2_047, p99: 2_047 }),
            pending: 3,
            queued: u64::from(task),
            queue_capacity: 8,
            ..TaskReport::default()
        }
    }

    #[test]
    fn tasks_keep_their_numbers_and_components_what_has_a_name() {
        let tasks = vec![report(1, "split"), report(2, "lines"), report(4, "split")];
        let components = vec![ComponentReport {
            component: "split".to_owned(),
            execute: Some(Latency { bounds_ns: vec![1_023, 2_047], counts: vec![18, 2] }),
            ..ComponentReport::default()
        }];
        let mut whole = WorkerReport { tasks, components, ..WorkerReport::default() };
        let mut names = Names::default();
        let work = Work::of(&mut whole, &mut names);
        assert!(whole.tasks.is_empty(), "they are taken out");
        let shown: Vec<_> = work.tasks.iter().map(|it| (it.task, work.component(it))).collect();
        assert_eq!(shown, [(1, "split"), (2, "lines"), (4, "split")]);
        assert_eq!(work.tasks[0].totals, [10, 0, 0, 3]);
        assert_eq!(work.tasks[0].execute_us, Some([1.023, 2.047, 2.047]));
        let split = &work.components[1];
        assert_eq!((split.emitted, split.pending, split.fill), (20, 6, 0.5));
        assert_eq!(split.gauges[0].1, Gauge { min: 1.0, max: 4.0, sum: 5.0 });
        let mut totals = Totals::default();
        work.components.iter().for_each(|part| part.add_to(&mut totals));
        assert_eq!((totals.failed["timeout"], totals.execute.count()), (6, 20));
    }

    #[test]
    fn names_are_kept_once_and_no_longer_than_they_are_needed() {
        let mut names = Names::default();
        let of = |task| WorkerReport { tasks: vec![report(task, "split")], ..Default::default() };
        let (mut one, mut other) = (of(1), of(2));
        let (one, other) = (Work::of(&mut one, &mut names), Work::of(&mut other, &mut names));
        assert!(Arc::ptr_eq(&one.components[0].component, &other.components[0].component));
        drop(one);
        names.prune();
        assert_eq!(names.0.len(), 4, "the component, two reasons and a gauge: {names:?}");
        drop(other);
        names.prune();
        assert!(names.0.is_empty());
    }
}
