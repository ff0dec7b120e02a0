//! What supervisors and their workers report: the newest of each, and what must outlive it.
//!
//! Totals of an incarnation that is gone are kept and added to those of the next one, so that
//! numbers never go down. Only topologies that the store knows are remembered, so nothing that is
//! reported can fill the memory.

pub mod executor;
pub mod incoming;
pub mod work;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use daemon::TurnedAway;
use proto::nimbus::WorkerNews;
use proto::store::TaskResult;
use proto::supervisor::{ErrorReport, SlotReport, SupervisorReport, WorkerReport};

use super::counters::Totals;
use super::view::{View, epoch_revision};
use incoming::{Incoming, Worker};
use work::{Names, Part, Work};

/// Errors that are kept for each topology.
const ERRORS_MAX: usize = 100;

/// Bytes of an error's text that are kept.
const ERROR_BYTES_MAX: usize = 4_096;

/// A worker's epoch, as it is compared: revision, then restarts.
pub type Epoch = (u64, u64);

/// The newest report of a supervisor; what its workers said is in [`Told`].
#[derive(Clone, Debug)]
pub struct Latest {
    /// When it arrived.
    pub at: Instant,
    /// The report, without those of the workers.
    pub report: SupervisorReport,
}

/// The newest report of a worker.
#[derive(Clone, Debug)]
pub struct Live {
    /// Which incarnation says so.
    pub epoch: Epoch,
    /// When it arrived.
    pub at: Instant,
    /// Its supervisor.
    pub supervisor: String,
    /// When what its tasks count arrived.
    pub counted: Instant,
    /// It came from the worker itself, because its supervisor is away.
    pub direct: bool,
    /// The stream of its own reports ended since.
    pub hung_up: bool,
    /// The report, without errors, results and what its tasks counted.
    pub report: WorkerReport,
    /// What its tasks counted.
    pub work: Work,
    /// The number of the newest error that was seen of it.
    error_seen: u64,
}

/// An error, and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The worker.
    pub worker: u32,
    /// What it said.
    pub error: ErrorReport,
}

/// What the workers of one topology have told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// By worker.
    pub live: BTreeMap<u32, Live>,
    /// The newest incarnation of each worker that was heard of: older ones are not listened to.
    newest: BTreeMap<u32, Epoch>,
    /// Totals of incarnations that are gone, by component.
    pub dead: BTreeMap<String, Part>,
    names: Names,
    /// The newest errors, oldest first.
    pub errors: VecDeque<Shown>,
    /// What tasks left, by task.
    pub results: BTreeMap<u32, TaskResult>,
}

/// Everything that was reported.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// By supervisor.
    pub supervisors: BTreeMap<String, Latest>,
    /// By topology.
    pub topologies: BTreeMap<String, Told>,
    /// Whose reports were not taken.
    pub turned_away: TurnedAway,
}

impl Reports {
    /// Tells whether a report comes from an older incarnation of its supervisor than is known, and
    /// counts it then: it says nothing, not even that the supervisor lives.
    pub fn is_outdated(&mut self, report: &SupervisorReport, view: &View) -> bool {
        let id = &report.supervisor;
        let heard = self.supervisors.get(id).map_or(0, |before| before.report.incarnation);
        let stored = view.supervisors.get(id).map_or(0, |record| record.incarnation);
        let outdated = heard.max(stored) > report.incarnation;
        if outdated {
            let epoch = report.incarnation.to_string();
            self.turned_away.note(&format!("supervisor {id}"), &epoch, "retired");
        }
        outdated
    }

    /// Counts a worker that reported by itself and is retired.
    pub fn turn_away(&mut self, news: &WorkerNews) {
        let WorkerNews { topology, worker, .. } = news;
        let epoch = news.epoch.unwrap_or_default();
        self.note_retired(topology, *worker, (epoch.revision, epoch.restarts));
    }

    fn note_retired(&mut self, topology: &str, worker: u32, (revision, restarts): Epoch) {
        let (who, epoch) =
            (format!("worker {worker} of {topology}"), format!("{revision}.{restarts}"));
        self.turned_away.note(&who, &epoch, "retired");
    }

    /// Takes in what a worker reports by itself, and tells whether there is something to react to.
    pub fn take_news(&mut self, news: WorkerNews, view: &View, now: Instant) -> bool {
        let worker = news.report.map(Worker::of);
        let slot = SlotReport {
            topology: news.topology,
            worker: news.worker,
            epoch: news.epoch,
            ..SlotReport::default()
        };
        let mut in_force = view.in_force(&slot.topology);
        let held = in_force.find(|held| held.record.worker == slot.worker);
        let Some(held) = held.filter(|_| is_assigned(&slot, view)) else { return false };
        let told = self.topologies.entry(slot.topology.clone()).or_default();
        told.take((&held.record.supervisor, true), &slot, worker, now)
    }

    /// Notes that a stream of a worker's own reports ended. If it has dialled again already, its next
    /// report says so.
    pub fn worker_hung_up(&mut self, topology: &str, worker: u32) {
        let told = self.topologies.get_mut(topology);
        if let Some(live) = told.and_then(|told| told.live.get_mut(&worker)) {
            live.hung_up = true;
        }
    }

    /// Takes a report in and tells whether it shows more than new numbers: something to react to. One
    /// that goes on says no more than what the tasks of some workers counted.
    pub fn take(&mut self, report: impl Into<Incoming>, view: &View, now: Instant) -> bool {
        let (report, workers) = report.into().into_parts();
        let before = self.supervisors.get(&report.supervisor);
        let mut news = !report.goes_on
            && before.is_none_or(|before| gist(&before.report.slots) != gist(&report.slots));
        for (slot, worker) in report.slots.iter().zip(workers) {
            if is_assigned(slot, view) {
                let told = self.topologies.entry(slot.topology.clone()).or_default();
                news |= told.take((&report.supervisor, false), slot, worker, now);
            } else if !report.goes_on && is_retired(slot, view) {
                self.note_retired(&slot.topology, slot.worker, epoch(slot));
            }
        }
        if !report.goes_on {
            self.supervisors.insert(report.supervisor.clone(), Latest { at: now, report });
        }
        news
    }

    /// Forgets topologies that are gone, and retires workers that are no longer assigned.
    pub fn prune(&mut self, view: &View) {
        self.topologies.retain(|topology, _| view.topologies.contains_key(topology));
        for (topology, told) in &mut self.topologies {
            let assigned: Vec<u32> =
                view.in_force(topology).map(|assignment| assignment.record.worker).collect();
            told.retire(|worker| !assigned.contains(&worker));
            told.names.prune();
        }
    }

    /// Returns what `supervisor` says of a worker.
    #[must_use]
    pub fn slot(&self, supervisor: &str, topology: &str, worker: u32) -> Option<&SlotReport> {
        let slots = &self.supervisors.get(supervisor)?.report.slots;
        slots.iter().find(|slot| slot.topology == topology && slot.worker == worker)
    }

    /// Returns the newest report of a worker.
    #[must_use]
    pub fn worker(&self, topology: &str, worker: u32) -> Option<&Live> {
        self.topologies.get(topology)?.live.get(&worker)
    }
}

impl Live {
    /// What an incarnation reports through a supervisor.
    #[must_use]
    pub fn new(epoch: Epoch, at: Instant, report: WorkerReport) -> Self {
        let (supervisor, direct, hung_up) = (String::new(), false, false);
        let Worker { report, work } = Worker::of(report);
        Self { epoch, at, counted: at, supervisor, direct, hung_up, report, work, error_seen: 0 }
    }
}

impl Told {
    /// Takes in what a supervisor says of one slot; tells whether there is something to react to.
    fn take(
        &mut self,
        (supervisor, direct): (&str, bool),
        slot: &SlotReport,
        worker: Option<Worker>,
        now: Instant,
    ) -> bool {
        let epoch = epoch(slot);
        let known = self.newest.insert(slot.worker, epoch).unwrap_or(epoch);
        if known > epoch {
            self.newest.insert(slot.worker, known);
            return false;
        }
        if known < epoch {
            self.retire(|worker| worker == slot.worker);
        }
        let Some(Worker { mut report, mut work }) = worker else { return false };
        let before = self.live.get_mut(&slot.worker);
        let flags = |report: &WorkerReport| (report.finished, report.drained);
        let news = before.as_ref().is_none_or(|it| flags(&it.report) != flags(&report));
        let seen = before.as_ref().map_or(0, |before| before.error_seen);
        let (counted, work) = match before.filter(|_| report.tasks_left_out) {
            Some(before) => (before.counted, std::mem::take(&mut before.work)),
            None => {
                work.share(&mut self.names);
                (now, work)
            }
        };
        let errors = std::mem::take(&mut report.errors);
        for result in std::mem::take(&mut report.results) {
            self.results.insert(result.task, result);
        }
        let error_seen = self.note(slot.worker, errors, seen);
        let (at, supervisor, hung_up) = (now, supervisor.to_owned(), false);
        let live =
            Live { epoch, at, counted, supervisor, direct, hung_up, report, work, error_seen };
        self.live.insert(slot.worker, live);
        news
    }

    /// Keeps errors newer than `seen` and returns the number of the newest.
    fn note(&mut self, worker: u32, errors: Vec<ErrorReport>, seen: u64) -> u64 {
        let mut newest = seen;
        for mut error in errors {
            if error.sequence <= seen {
                continue;
            }
            newest = newest.max(error.sequence);
            truncate(&mut error.text);
            if self.errors.len() == ERRORS_MAX {
                self.errors.pop_front();
            }
            self.errors.push_back(Shown { worker, error });
        }
        newest
    }

    /// Moves the totals of the workers that `which` names to those of the dead.
    fn retire(&mut self, which: impl Fn(u32) -> bool) {
        for (_, live) in self.live.extract_if(.., |worker, _| which(*worker)) {
            for part in &live.work.components {
                let mut totals = Totals::default();
                let before = self.dead.get(&*part.component);
                before.into_iter().chain([part]).for_each(|part| part.add_to(&mut totals));
                let sum = Part::of(&part.component, &totals, &mut self.names);
                self.dead.insert(part.component.to_string(), sum);
            }
        }
    }
}

fn epoch(slot: &SlotReport) -> Epoch {
    slot.epoch.as_ref().map_or((0, 0), |epoch| (epoch.revision, epoch.restarts))
}

/// Tells whether the worker in this slot is what the store assigned, and not what was there before
/// and is still to be stopped: its totals are counted already.
fn is_assigned(slot: &SlotReport, view: &View) -> bool {
    let mut in_force = view.in_force(&slot.topology);
    in_force.any(|assignment| {
        assignment.record.worker == slot.worker && epoch_revision(assignment) == epoch(slot).0
    })
}

/// Tells whether the store shows a newer incarnation of this worker.
fn is_retired(slot: &SlotReport, view: &View) -> bool {
    let mut in_force = view.in_force(&slot.topology);
    in_force.any(|assignment| {
        assignment.record.worker == slot.worker && epoch_revision(assignment) > epoch(slot).0
    })
}

/// What is worth reacting to: which workers are in which state.
fn gist(slots: &[SlotReport]) -> Vec<(u32, &str, u32, &str)> {
    slots
        .iter()
        .map(|slot| (slot.slot, slot.topology.as_str(), slot.worker, slot.state.as_str()))
        .collect()
}

fn truncate(text: &mut String) {
    if text.len() > ERROR_BYTES_MAX {
        let cut = (0..=ERROR_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(cut.unwrap_or(0));
        text.push('…');
    }
}

#[cfg(test)]
mod tests;
