//! In which portions a report goes out, and what may be left out of it: the counts of tasks, where there
//! are many, most of the time.
//!
//! Reports go out four times a second, for whoever is silent is soon taken for lost. What a thousand
//! tasks count is as good once a second, and a quarter of the work for nimbus. Each report has its part of
//! the workers, so that none is four times as large as it need be; and it goes out in messages of few
//! workers each, for whoever takes messages in keeps as much room as the largest took.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proto::supervisor::{SlotReport, SupervisorReport, WorkerReport};

/// Up to so many tasks are told of in each message, or one worker's.
const TASKS_MAX: usize = 250;

/// With more, each worker's tasks are told of once in this time, or a report or two later.
const EVERY: Duration = Duration::from_millis(900);

/// Reports in a second, of which each has its part.
const PARTS: usize = 4;

/// A worker's epoch: revision, then restarts.
type Epoch = (u64, u64);

/// What was told on one stream.
///
/// ```
/// use proto::supervisor::{SlotReport, SupervisorReport, TaskReport, WorkerReport};
/// use supervisor::Portions;
///
/// let tasks = vec![TaskReport::default(); 200];
/// let slots = (0..20).map(|slot| {
///     let report = WorkerReport { tasks: tasks.clone(), ..WorkerReport::default() };
///     SlotReport { slot, report: Some(report), ..SlotReport::default() }
/// });
/// let report = SupervisorReport { slots: slots.collect(), ..SupervisorReport::default() };
/// let portions = Portions::default().of(report, std::time::Instant::now());
/// assert_eq!(portions.len(), 5, "a quarter of the workers, one a message");
/// assert_eq!((portions[0].slots.len(), portions[1].slots.len()), (20, 1));
/// ```
#[derive(Debug, Default)]
pub struct Portions {
    /// By slot: the incarnation whose tasks were told of, and when.
    told: BTreeMap<u32, (Epoch, Instant)>,
}

impl Portions {
    /// Returns what goes out of a report, in this order: all of it but the tasks of most workers, and
    /// then the tasks of some of these. What ends is told of in the first.
    pub fn of(&mut self, mut report: SupervisorReport, now: Instant) -> Vec<SupervisorReport> {
        let tasks = report.slots.iter().map(tasks_of).sum::<usize>();
        if tasks <= TASKS_MAX {
            self.told.clear();
            return vec![report];
        }
        let due = self.due(&report, tasks.div_ceil(PARTS), now);
        let (mut later, mut taken): (Vec<Vec<SlotReport>>, usize) = (Vec::new(), 0);
        for slot in &mut report.slots {
            let (tasks, epoch) = (tasks_of(slot), epoch(slot));
            let Some(worker) = &mut slot.report else { continue };
            if !due.contains(&slot.slot) {
                drop(take_counts(worker));
                continue;
            }
            self.told.insert(slot.slot, (epoch, now));
            if ends(worker) {
                continue;
            }
            if taken > 0 && taken + tasks > TASKS_MAX {
                later.push(Vec::new());
                taken = 0;
            }
            taken += tasks;
            if let Some(message) = later.last_mut() {
                let counts = take_counts(worker);
                message.push(SlotReport { report: Some(counts), ..slot.clone() });
            }
        }
        let SupervisorReport { incarnation, sequence, leader_term, .. } = report;
        let supervisor = report.supervisor.clone();
        let goes_on = later.into_iter().map(|slots| SupervisorReport {
            supervisor: supervisor.clone(),
            incarnation,
            sequence,
            leader_term,
            slots,
            goes_on: true,
            ..SupervisorReport::default()
        });
        std::iter::once(report).chain(goes_on).collect()
    }

    /// The slots to tell of: all that end, and then those that are new or were told of longest ago, until
    /// there are so many tasks. The first report has its part like any other: whoever reads it needs no
    /// more room for it.
    fn due(&self, report: &SupervisorReport, tasks: usize, now: Instant) -> BTreeSet<u32> {
        let (mut due, mut later) = (BTreeSet::new(), Vec::new());
        for slot in &report.slots {
            let Some(worker) = &slot.report else { continue };
            let told = self.told.get(&slot.slot).filter(|(of, _)| *of == epoch(slot));
            let at = told.map(|(_, at)| *at);
            if ends(worker) {
                due.insert(slot.slot);
            } else if at.is_none_or(|at| now.saturating_duration_since(at) >= EVERY) {
                // None comes first.
                later.push((at, slot.slot, worker.tasks.len()));
            }
        }
        later.sort_unstable();
        let mut room = tasks;
        for (_, slot, tasks) in later {
            if room == 0 {
                break;
            }
            due.insert(slot);
            room = room.saturating_sub(tasks);
        }
        due
    }
}

fn tasks_of(slot: &SlotReport) -> usize {
    slot.report.as_ref().map_or(0, |worker| worker.tasks.len())
}

fn epoch(slot: &SlotReport) -> Epoch {
    slot.epoch.map_or((0, 0), |epoch| (epoch.revision, epoch.restarts))
}

fn ends(worker: &WorkerReport) -> bool {
    worker.finished || worker.drained
}

/// Takes what tasks counted out of a report, and returns it as one of its own.
fn take_counts(worker: &mut WorkerReport) -> WorkerReport {
    let tasks = std::mem::take(&mut worker.tasks);
    let components = std::mem::take(&mut worker.components);
    let executors = std::mem::take(&mut worker.executors);
    let flows = std::mem::take(&mut worker.flows);
    let (errors, results) = (Vec::new(), Vec::new());
    let counts =
        WorkerReport { tasks, components, executors, flows, errors, results, ..worker.clone() };
    worker.tasks_left_out = true;
    counts
}

#[cfg(test)]
mod tests {
    use proto::store::Epoch as WireEpoch;
    use proto::supervisor::TaskReport;

    use super::*;

    fn report(tasks: usize, restarts: u64, finished: bool) -> SupervisorReport {
        let worker = WorkerReport {
            tasks: vec![TaskReport::default(); tasks],
            finished,
            ..WorkerReport::default()
        };
        let slot = SlotReport {
            epoch: Some(WireEpoch { revision: 5, restarts }),
            report: Some(worker),
            ..SlotReport::default()
        };
        SupervisorReport { slots: vec![slot], ..SupervisorReport::default() }
    }

    /// How many tasks go out, and whether the report says that some are left out.
    fn sent(portions: &mut Portions, report: SupervisorReport, now: Instant) -> (usize, bool) {
        let [mut report] = portions.of(report, now).try_into().expect("one message");
        let worker = report.slots.remove(0).report.expect("it is still there");
        (worker.tasks.len(), worker.tasks_left_out)
    }

    #[test]
    fn few_tasks_are_always_told_of_and_many_once_a_second() {
        let (mut portions, clock) = (Portions::default(), daemon::Clock::manual());
        let quarters: Vec<_> = (0..9)
            .map(|_| {
                clock.advance(Duration::from_millis(250));
                sent(&mut portions, report(1_000, 0, false), clock.now()).0
            })
            .collect();
        assert_eq!(quarters, [1_000, 0, 0, 0, 1_000, 0, 0, 0, 1_000]);
        assert_eq!(sent(&mut portions, report(250, 0, false), clock.now()), (250, false));
        assert_eq!(sent(&mut portions, report(1_000, 0, false), clock.now()), (1_000, false));
    }

    #[test]
    fn each_report_has_its_part_of_many_workers_and_each_worker_is_told_of_once_a_second() {
        let (mut portions, clock) = (Portions::default(), daemon::Clock::manual());
        let whole = || {
            let slots = (0..8).map(|at| {
                let slot = report(if at < 4 { 200 } else { 100 }, 0, false).slots.remove(0);
                SlotReport { slot: at, ..slot }
            });
            let slots = slots.collect();
            SupervisorReport { incarnation: 3, slots, ..SupervisorReport::default() }
        };
        let quarters = (0..13).map(|_| {
            clock.advance(Duration::from_millis(250));
            let sent = portions.of(whole(), clock.now());
            let (first, later) = sent.split_first().expect("there is one");
            assert_eq!((first.slots.len(), first.goes_on), (8, false), "it says what all do");
            assert!(later.iter().all(|it| it.goes_on && it.incarnation == 3));
            assert!(sent.iter().all(|it| it.slots.iter().map(tasks_of).sum::<usize>() <= 250));
            let told = sent
                .iter()
                .flat_map(|it| &it.slots)
                .filter(|slot| slot.report.as_ref().is_some_and(|worker| !worker.tasks_left_out));
            told.map(|slot| slot.slot).collect::<Vec<_>>()
        });
        let quarters: Vec<_> = quarters.collect();
        let parts = [vec![0, 1], vec![2, 3], vec![4, 5, 6], vec![7]];
        assert_eq!(quarters[..4], parts, "also the first time");
        assert_eq!(quarters[4..8], parts);
        assert_eq!(quarters[8..12], parts, "each again after a second");
    }

    #[test]
    fn a_new_incarnation_and_an_end_are_told_of_in_full() {
        let (mut portions, now) = (Portions::default(), daemon::Clock::manual().now());
        assert_eq!(sent(&mut portions, report(300, 0, false), now), (300, false));
        assert_eq!(sent(&mut portions, report(300, 0, false), now), (0, true));
        assert_eq!(
            sent(&mut portions, report(300, 1, false), now),
            (300, false),
            "it was started again"
        );
        assert_eq!(sent(&mut portions, report(300, 1, true), now), (300, false), "its last counts");
        let slot = |slot, finished| SlotReport { slot, ..report(200, 2, finished).slots.remove(0) };
        let slots = vec![slot(0, false), slot(1, false), slot(2, true)];
        let report = SupervisorReport { slots, ..SupervisorReport::default() };
        let first = Portions::default().of(report, now).remove(0);
        assert_eq!(first.slots.iter().map(tasks_of).collect::<Vec<_>>(), [200, 0, 200]);
    }
}
