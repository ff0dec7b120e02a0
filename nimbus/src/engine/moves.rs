//! Executors on their way from one live worker to another, and workers on their way out.
//!
//! What moves is seen in the records alone: executors name those who may have their tasks still, and
//! workers say what they have let go of. So a new leader goes on where the old one stopped.

use std::collections::BTreeSet;

use proto::store::{AssignedRecord, AssignmentRecord, ExecutorRecord, Former, TopologyRecord};

use super::Engine;
use super::command::{Plan, Write};
use super::event::Now;
use super::reconcile::plan;
use super::view::{Versioned, epoch_revision};

impl Engine {
    /// Tells whether a former owner may still have tasks of an executor.
    pub(super) fn holds(
        &self,
        topology: &str,
        former: &Former,
        executor: &ExecutorRecord,
        now: Now,
    ) -> bool {
        let holder = self.holder(topology, former, executor);
        holder.is_some_and(|holder| !self.is_lost(&holder.record, now))
    }

    /// Finds a former owner of an executor that has not said that it let go of its tasks.
    fn holder(
        &self,
        topology: &str,
        former: &Former,
        executor: &ExecutorRecord,
    ) -> Option<&Versioned<AssignmentRecord>> {
        let generation = self.view.assigned.get(topology)?.generation;
        let key = (topology.to_owned(), generation, former.worker);
        let concerns =
            |first: u32, end: u32| first < executor.end_task && executor.first_task < end;
        self.view.assignments.get(&key).filter(|assignment| {
            epoch_revision(assignment) == former.epoch_revision
                && !self.has_let_go(assignment, former.generation, concerns)
        })
    }

    /// Tells whether a worker says that it goes by a generation, or a newer one, and has nothing of
    /// before that `concerns` us (by first task and end).
    fn has_let_go(
        &self,
        assignment: &Versioned<AssignmentRecord>,
        generation: u64,
        concerns: impl Fn(u32, u32) -> bool,
    ) -> bool {
        let key = (assignment.record.topology.clone(), assignment.record.worker);
        self.view.workers.get(&key).is_some_and(|record| {
            let is_it =
                record.epoch.is_some_and(|epoch| epoch.revision == epoch_revision(assignment));
            let released = record.released.as_ref().filter(|_| is_it);
            released.is_some_and(|released| {
                let mut holding = released.holding.iter();
                released.generation >= generation
                    && !holding.any(|held| concerns(held.first_task, held.end_task))
            })
        })
    }

    /// Tells whether executors of a topology wait for others to let go of their tasks, or workers are
    /// still to be emptied.
    pub(super) fn is_moving(&self, topology: &str, now: Now) -> bool {
        self.view.in_force(topology).any(|assignment| {
            let executors = &assignment.record.executors;
            executors.is_empty()
                || executors.iter().any(|executor| {
                    let mut formers = executor.formers.iter();
                    formers.any(|former| self.holds(topology, former, executor, now))
                })
        })
    }

    /// Says which workers have not let go yet of what is another's now; `None` if nothing moves.
    #[must_use]
    pub fn moving(&self, topology: &str) -> Option<String> {
        let mut holding = BTreeSet::new();
        for assignment in self.view.in_force(topology) {
            let AssignmentRecord { worker, generation, executors, .. } = &assignment.record;
            if executors.is_empty() && !self.has_let_go(assignment, *generation, |_, _| true) {
                holding.insert(*worker);
            }
            for executor in executors {
                let formers = executor.formers.iter();
                let holders = formers.filter_map(|it| self.holder(topology, it, executor));
                holding.extend(holders.map(|holder| holder.record.worker));
            }
        }
        let workers: Vec<String> = holding.iter().map(u32::to_string).collect();
        let text = || format!("moving: worker {} has to finish its part", workers.join(", "));
        (!workers.is_empty()).then(text)
    }

    /// Leaves out the workers that were to be emptied and are, and formers when nobody waits for any:
    /// who starts again later need not ask what they have let go of.
    pub(super) fn settle_moves(
        &mut self,
        topology: &Versioned<TopologyRecord>,
        now: Now,
    ) -> Option<Plan> {
        let id = &topology.record.id;
        let in_force = self.view.assigned.get(id)?.generation;
        let (gone, stay): (Vec<_>, Vec<_>) = self.view.in_force(id).partition(|assignment| {
            assignment.record.executors.is_empty()
                && (self.has_let_go(assignment, in_force, |_, _| true)
                    || self.is_lost(&assignment.record, now))
        });
        let formers = || {
            let executors = stay.iter().flat_map(|assignment| &assignment.record.executors);
            executors.flat_map(|executor| executor.formers.iter().map(move |it| (it, executor)))
        };
        let is_awaited = |(it, executor)| self.holds(id, it, executor, now);
        if gone.is_empty() && (formers().next().is_none() || formers().any(is_awaited)) {
            return None;
        }
        let mut record = topology.record.clone();
        record.generation = self.next_generation(&record);
        let assignments = stay.iter().map(|assignment| {
            let epoch_revision = epoch_revision(assignment);
            let mut next = AssignmentRecord {
                generation: record.generation,
                epoch_revision,
                ..assignment.record.clone()
            };
            for executor in &mut next.executors {
                let formers = std::mem::take(&mut executor.formers);
                let formers = formers.into_iter().filter(|it| self.holds(id, it, executor, now));
                executor.formers = formers.collect();
            }
            Write::Assignment(next)
        });
        let prepare: Vec<_> = assignments.collect();
        let workers = u32::try_from(stay.len()).expect("workers are numbered by u32");
        let assigned = AssignedRecord { generation: record.generation, workers };
        self.attempted.insert(id.clone(), record.generation);
        let decide = vec![Write::Topology(Box::new(record)), Write::Assigned(assigned)];
        Some(Plan { prepare, decide, ..plan("settle", topology) })
    }
}
