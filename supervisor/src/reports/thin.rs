//! What may be left out of a report: the counts of tasks, where there are many, most of the time.
//!
//! Reports go out four times a second, for whoever is silent is soon taken for lost. What a thousand
//! tasks count is as good once a second, and a quarter of the work for nimbus. Each report has its part of
//! the workers, so that none is four times as large as it need be: while nimbus reads one, others wait.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proto::supervisor::{SlotReport, SupervisorReport, WorkerReport};

/// Up to so many tasks are told of in each report.
const TASKS_MAX: usize = 250;

/// With more, each worker's tasks are told of once in this time, or a report or two later.
const EVERY: Duration = Duration::from_millis(900);

/// Reports in a second, of which each has its part.
const PARTS: usize = 4;

/// A worker's epoch: revision, then restarts.
type Epoch = (u64, u64);

/// What was told on one stream.
#[derive(Debug, Default)]
pub(super) struct Thin {
    /// By slot: the incarnation whose tasks were told of, and when.
    told: BTreeMap<u32, (Epoch, Instant)>,
}

impl Thin {
    /// Leaves out the tasks of the workers that were told of just now.
    pub(super) fn thin(&mut self, report: &mut SupervisorReport, now: Instant) {
        let workers = report.slots.iter().filter_map(|slot| slot.report.as_ref());
        let tasks = workers.map(|worker| worker.tasks.len()).sum::<usize>();
        if tasks <= TASKS_MAX {
            self.told.clear();
            return;
        }
        let due = self.due(report, tasks.div_ceil(PARTS), now);
        for slot in &mut report.slots {
            let epoch = epoch(slot);
            let Some(worker) = &mut slot.report else { continue };
            if due.contains(&slot.slot) {
                self.told.insert(slot.slot, (epoch, now));
            } else {
                leave_out(worker);
            }
        }
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
            if worker.finished || worker.drained {
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

fn epoch(slot: &SlotReport) -> Epoch {
    slot.epoch.map_or((0, 0), |epoch| (epoch.revision, epoch.restarts))
}

fn leave_out(worker: &mut WorkerReport) {
    worker.tasks.clear();
    worker.components.clear();
    worker.executors.clear();
    worker.flows.clear();
    worker.tasks_left_out = true;
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
    fn sent(thin: &mut Thin, mut report: SupervisorReport, now: Instant) -> (usize, bool) {
        thin.thin(&mut report, now);
        let worker = report.slots.remove(0).report.expect("it is still there");
        (worker.tasks.len(), worker.tasks_left_out)
    }

    #[test]
    fn few_tasks_are_always_told_of_and_many_once_a_second() {
        let (mut thin, clock) = (Thin::default(), daemon::Clock::manual());
        let quarters: Vec<_> = (0..9)
            .map(|_| {
                clock.advance(Duration::from_millis(250));
                sent(&mut thin, report(1_000, 0, false), clock.now()).0
            })
            .collect();
        assert_eq!(quarters, [1_000, 0, 0, 0, 1_000, 0, 0, 0, 1_000]);
        assert_eq!(sent(&mut thin, report(250, 0, false), clock.now()), (250, false));
        assert_eq!(sent(&mut thin, report(1_000, 0, false), clock.now()), (1_000, false));
    }

    #[test]
    fn each_report_has_its_part_of_many_workers_and_each_worker_is_told_of_once_a_second() {
        let (mut thin, clock) = (Thin::default(), daemon::Clock::manual());
        let whole = || {
            let slots = (0..8).map(|at| {
                let slot = report(if at < 4 { 200 } else { 100 }, 0, false).slots.remove(0);
                SlotReport { slot: at, ..slot }
            });
            SupervisorReport { slots: slots.collect(), ..SupervisorReport::default() }
        };
        let quarters = (0..13).map(|_| {
            clock.advance(Duration::from_millis(250));
            let mut report = whole();
            thin.thin(&mut report, clock.now());
            let told = report
                .slots
                .iter()
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
        let (mut thin, now) = (Thin::default(), daemon::Clock::manual().now());
        assert_eq!(sent(&mut thin, report(300, 0, false), now), (300, false));
        assert_eq!(sent(&mut thin, report(300, 0, false), now), (0, true));
        assert_eq!(
            sent(&mut thin, report(300, 1, false), now),
            (300, false),
            "it was started again"
        );
        assert_eq!(sent(&mut thin, report(300, 1, true), now), (300, false), "its last counts");
    }
}
