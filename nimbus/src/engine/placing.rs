//! Placing a topology: from what the store shows and who is alive to a problem for the scheduler,
//! and from its answer to what is to be written.

use std::collections::{BTreeMap, BTreeSet};

use proto::store::{AssignedRecord, AssignmentRecord, ExecutorRecord, Former, TopologyRecord};
use topology_api::ExecutorDescription;

use super::Engine;
use super::command::{Plan, Write};
use super::event::Now;
use super::generation::Draft;
use super::liveness::Verdict;
use super::parallelism;
use super::reconcile::slot;
use super::scheduler::{Offer, Piece, Placement, Problem, schedule};
use super::view::Versioned;

impl Engine {
    /// Plans a new generation that places `record` as it asks for, which is written with it.
    ///
    /// # Errors
    ///
    /// Why it cannot be placed at all.
    pub(super) fn place(
        &self,
        mut record: TopologyRecord,
        respread: bool,
        now: Now,
    ) -> Result<Plan, String> {
        let id = record.id.clone();
        let spec = record.spec.clone().unwrap_or_default();
        let executors = parallelism::executors(&spec, &record.executors);
        let problem = self.problem(&record, &executors, respread, now);
        let answer = schedule(&problem);
        if answer.placements.is_empty() {
            return Err(answer.explanation + &self.held_back(now));
        }
        let before: Vec<_> = self.view.in_force(&id).collect();
        record.generation = self.next_generation(&record);
        record.reason = answer.explanation;
        let lost = before.iter().filter(|it| self.is_lost(&it.record, now));
        let draft = Draft {
            record: &record,
            generation: record.generation,
            executors: &executors,
            before: &before,
            restarts: &self.restarts(&id, &before),
            lost: &lost.map(|it| it.record.worker).collect(),
        };
        let holds =
            |former: &Former, executor: &ExecutorRecord| self.holds(&id, former, executor, now);
        let assignments = draft.assignments(&answer.placements, holds);
        let workers = u32::try_from(assignments.len()).expect("workers are numbered by u32");
        let assigned = AssignedRecord { generation: record.generation, workers };
        Ok(Plan {
            purpose: "place",
            expected: self.view.topologies.get(&id).map(|known| known.revision),
            topology: id,
            prepare: assignments.into_iter().map(Write::Assignment).collect(),
            decide: vec![Write::Topology(Box::new(record)), Write::Assigned(assigned)],
            request: None,
        })
    }

    fn problem(
        &self,
        record: &TopologyRecord,
        executors: &[ExecutorDescription],
        respread: bool,
        now: Now,
    ) -> Problem {
        let piece = |executor: &ExecutorDescription| Piece {
            executor: executor.index,
            component: u32::try_from(executor.component).unwrap_or(u32::MAX),
        };
        // An executor counts as running where its first task runs, so that a change of the number
        // of executors moves as few tasks as it must. First tasks rise with the executors.
        let from = |task: u32| executors.partition_point(|executor| executor.tasks.start < task);
        let placement = |assignment: &AssignmentRecord| {
            let old = assignment.executors.iter();
            let here = old.flat_map(|old| from(old.first_task)..from(old.end_task));
            let here: BTreeSet<u32> = here.map(|at| executors[at].index).collect();
            Placement {
                worker: assignment.worker,
                slot: slot(assignment),
                executors: here.into_iter().collect(),
            }
        };
        let (orphaned, current): (Vec<_>, Vec<_>) = self
            .view
            .in_force(&record.id)
            .map(|assignment| &assignment.record)
            // A worker that is being emptied takes nothing new.
            .filter(|assignment| !assignment.executors.is_empty())
            .partition(|assignment| self.is_lost(assignment, now));
        Problem {
            pieces: executors.iter().map(piece).collect(),
            workers: record.workers,
            offers: self.offers(&record.id, now),
            current: current.into_iter().map(placement).collect(),
            orphaned: orphaned.into_iter().map(placement).collect(),
            respread,
        }
    }

    /// Tells whether a worker cannot run any more where it is assigned: its slot is gone, or was
    /// given to another one later.
    pub(super) fn is_lost(&self, assignment: &AssignmentRecord, now: Now) -> bool {
        let AssignmentRecord { topology, worker, supervisor, slot, .. } = assignment;
        if !self.crowded.is_empty() && self.crowded.contains(&(topology.clone(), *worker)) {
            return true;
        }
        match self.verdict(supervisor, now) {
            // One that is forgotten has nothing that could come back.
            Verdict::Lost => {
                let known = self.supervisors.contains_key(supervisor);
                !known || self.caution.has_given_up(supervisor)
            }
            Verdict::Alive => {
                self.supervisors.get(supervisor).is_some_and(|there| *slot >= there.slots)
            }
            Verdict::Silent | Verdict::Away => false,
        }
    }

    /// Lists the supervisors that are up but get nothing new because they come and go. If no other
    /// is up there are none: a machine that may go is better than no machine.
    fn flapping(&self, now: Now) -> BTreeSet<&String> {
        let up = self.supervisors.keys().filter(|id| self.verdict(id, now) == Verdict::Alive);
        let (held, free): (BTreeSet<_>, BTreeSet<_>) =
            up.partition(|id| self.flapping.is_held_back(id, now.at));
        if free.is_empty() { BTreeSet::new() } else { held }
    }

    /// Says which supervisors are held back, as the end of a sentence.
    fn held_back(&self, now: Now) -> String {
        let held: Vec<&str> = self.flapping(now).into_iter().map(String::as_str).collect();
        let mut text = match held.as_slice() {
            [] => String::new(),
            held => format!("; held back for a while, since they come and go: {}", held.join(", ")),
        };
        let foreign = self.supervisors.values().filter(|it| !speaks_ours(&it.version));
        let foreign: Vec<_> = foreign.map(|it| format!("{} ({})", it.id, it.version)).collect();
        if !foreign.is_empty() {
            let (ours, foreign) = (crate::VERSION, foreign.join(", "));
            text += &format!("; not of our version {ours}, so they get nothing: {foreign}");
        }
        text
    }

    /// Lists the supervisors that take new workers, and their slots that are free.
    fn offers(&self, topology: &str, now: Now) -> Vec<Offer> {
        let mut used: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        let mut busy: BTreeMap<&str, u32> = BTreeMap::new();
        for assignment in self.view.all_in_force() {
            let record = &assignment.record;
            used.entry(&record.supervisor).or_default().insert(record.slot);
            *busy.entry(&record.supervisor).or_default() += u32::from(record.topology != topology);
        }
        // What still runs in a slot that nothing is assigned to is being stopped.
        for (supervisor, latest) in &self.reports.supervisors {
            let running = latest.report.slots.iter().filter(|slot| !slot.topology.is_empty());
            used.entry(supervisor).or_default().extend(running.map(|slot| slot.slot));
        }
        let flapping = self.flapping(now);
        self.supervisors
            .iter()
            .filter(|(id, _)| self.verdict(id, now) == Verdict::Alive && !flapping.contains(id))
            .filter(|(_, record)| speaks_ours(&record.version))
            .map(|(id, record)| {
                let used = used.get(id.as_str());
                let is_free = |slot: &u32| used.is_none_or(|used| !used.contains(slot));
                Offer {
                    supervisor: id.clone(),
                    free: (0..record.slots).filter(is_free).collect(),
                    busy: busy.get(id.as_str()).copied().unwrap_or(0),
                }
            })
            .collect()
    }

    /// Returns a generation that was never written, nor may yet be written by a lost request.
    pub(super) fn next_generation(&self, record: &TopologyRecord) -> u64 {
        let shown = self.view.stale_generations(&record.id).into_iter().max().unwrap_or(0);
        let attempted = self.attempted.get(&record.id).copied().unwrap_or(0);
        record.generation.max(shown).max(attempted) + 1
    }

    /// Collects how often each worker was restarted under its epoch.
    fn restarts(
        &self,
        topology: &str,
        before: &[&Versioned<AssignmentRecord>],
    ) -> BTreeMap<u32, u64> {
        let known = |assignment: &&Versioned<AssignmentRecord>| {
            let AssignmentRecord { worker, supervisor, .. } = &assignment.record;
            let key = (topology.to_owned(), *worker);
            let stored = self.view.workers.get(&key).and_then(|record| record.epoch.as_ref());
            let reported = self.reports.slot(supervisor, topology, *worker);
            let restarts = stored
                .map_or(0, |epoch| epoch.restarts)
                .max(reported.map_or(0, |slot| slot.restarts));
            (*worker, restarts)
        };
        before.iter().map(known).collect()
    }
}

/// Tells whether daemons of this version understand ours: only the first number must be the same.
fn speaks_ours(version: &str) -> bool {
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    version.is_empty() || major(version) == major(crate::VERSION)
}
