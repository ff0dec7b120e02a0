//! What has to happen by itself: placing what has no workers, replacing lost machines, ending what
//! is finished, and keeping the promises of a kill or a rebalance.
//!
//! Each look at the whole picture yields at most one decision, the most urgent one; the next look
//! is taken when the store shows it. Nothing here remembers what it was about to do, so a new
//! leader goes on where the old one stopped.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proto::nimbus::Done;
use proto::store::{
    AssignedRecord, AssignmentRecord, PendingAction, TopologyRecord, TopologyStatus,
};

use super::command::{Plan, Reply, Write};
use super::event::Now;
use super::lifecycle::{self, Move};
use super::liveness::Verdict;
use super::scheduler::Slot;
use super::view::{Versioned, epoch_revision, status};
use super::{Decision, Engine, Phase};

/// How long a generation that is no longer in force is kept, for supervisors that are behind.
const STALE_AFTER: Duration = Duration::from_secs(10);

impl Engine {
    /// Finds the next thing that has to happen by itself.
    pub(super) fn reconcile(&mut self, now: Now) -> Option<Decision> {
        let ids: Vec<String> = self.view.topologies.keys().cloned().collect();
        ids.iter().find_map(|id| {
            if self.quarantined.get(id).is_some_and(|(until, _)| now.at < *until) {
                return None;
            }
            let topology = self.view.topologies[id].clone();
            let phase = *self.phases.get(id)?;
            if self.quarantine(&topology.record).is_some() {
                // Nothing of it can be started; what runs may still end by itself.
                return self.finish(&topology, now).map(Decision::from);
            }
            let plan = match status(&topology.record) {
                TopologyStatus::Active | TopologyStatus::Inactive => {
                    self.keep_running(&topology, phase, now)
                }
                TopologyStatus::Rebalancing => self.rebalance(&topology, now),
                TopologyStatus::Finished => self.release(&topology),
                TopologyStatus::Killed => return self.kill(&topology, phase, now),
                TopologyStatus::Unspecified => None,
            };
            plan.map(Decision::from)
        })
    }

    fn keep_running(
        &mut self,
        topology: &Versioned<TopologyRecord>,
        phase: Phase,
        now: Now,
    ) -> Option<Plan> {
        let id = &topology.record.id;
        if phase.generation.is_none() {
            let placed = self.place_or_say_why(topology.record.clone(), false, now);
            return placed.or_else(|| self.drop_stale_generations(topology, phase, now));
        }
        if let Some(plan) = self.reinstate(topology) {
            return Some(plan);
        }
        if let Some(plan) = self.finish(topology, now) {
            return Some(plan);
        }
        if self.has_lost(id, now) {
            return self.place_or_say_why(topology.record.clone(), false, now);
        }
        self.unplaced.remove(id);
        self.settle_moves(topology, now)
            .or_else(|| self.drop_stale_generations(topology, phase, now))
    }

    /// Puts the newest generation in force again, if somebody put an older one there: a generation
    /// is written along with the record, so only a nimbus that leads no more, or a mistake, can.
    fn reinstate(&self, topology: &Versioned<TopologyRecord>) -> Option<Plan> {
        let TopologyRecord { id, generation, .. } = &topology.record;
        if self.view.assigned.get(id)?.generation >= *generation {
            return None;
        }
        let first = (id.clone(), *generation, 0);
        let range = self.view.assignments.range(first..=(id.clone(), *generation, u32::MAX));
        let workers = u32::try_from(range.count()).unwrap_or(u32::MAX);
        (workers > 0).then(|| {
            let assigned = AssignedRecord { generation: *generation, workers };
            Plan { decide: vec![Write::Assigned(assigned)], ..plan("reinstate", topology) }
        })
    }

    /// Plans a generation, or remembers why there can be none.
    fn place_or_say_why(
        &mut self,
        record: TopologyRecord,
        respread: bool,
        now: Now,
    ) -> Option<Plan> {
        let id = record.id.clone();
        match self.place(record, respread, now) {
            Ok(plan) => {
                if let Some(Write::Topology(record)) = plan.decide.first() {
                    self.attempted.insert(id.clone(), record.generation);
                }
                self.unplaced.remove(&id);
                Some(plan)
            }
            Err(reason) => {
                self.unplaced.insert(id, reason);
                None
            }
        }
    }

    fn drop_stale_generations(
        &self,
        topology: &Versioned<TopologyRecord>,
        phase: Phase,
        now: Now,
    ) -> Option<Plan> {
        let stale = self.view.stale_generations(&topology.record.id);
        let late = now.at.saturating_duration_since(phase.since) >= STALE_AFTER;
        (late && !stale.is_empty()).then(|| {
            let mut decide: Vec<_> =
                stale.into_iter().map(Write::DropGeneration).take(100).collect();
            // The record changes its revision: what was to put one of them in force, got no answer,
            // and may still be on its way is refused from now on.
            decide.push(Write::Topology(Box::new(topology.record.clone())));
            Plan { decide, ..plan("tidy up", topology) }
        })
    }

    /// Ends a topology whose workers all say that they are finished, and keeps their results.
    fn finish(&self, topology: &Versioned<TopologyRecord>, now: Now) -> Option<Plan> {
        let id = &topology.record.id;
        let finished = |assignment: &Versioned<AssignmentRecord>| {
            self.reports.worker(id, assignment.record.worker).is_some_and(|live| {
                live.report.finished && live.epoch.0 == epoch_revision(assignment)
            })
        };
        let mut assignments = self.view.in_force(id).peekable();
        assignments.peek()?;
        if !assignments.all(finished) {
            return None;
        }
        let mut record = topology.record.clone();
        let resume = TopologyStatus::Active;
        record.status =
            lifecycle::next(status(&record), Move::Finish, resume).ok().map(i32::from)?;
        record.finished_ms = now.wall_ms;
        record.pending = None;
        record.reason = "every spout is done and every tuple tree has ended".to_owned();
        let told = self.reports.topologies.get(id);
        let results = told.into_iter().flat_map(|told| told.results.values().cloned());
        Some(Plan {
            prepare: results.map(Write::Result).collect(),
            decide: vec![Write::Topology(Box::new(record)), Write::Release],
            ..plan("finish", topology)
        })
    }

    /// Stops the workers of a topology that has finished but still has some.
    fn release(&self, topology: &Versioned<TopologyRecord>) -> Option<Plan> {
        let id = &topology.record.id;
        let left =
            self.view.assigned.contains_key(id) || !self.view.stale_generations(id).is_empty();
        left.then(|| Plan { decide: vec![Write::Release], ..plan("release", topology) })
    }

    /// Places a topology anew, and is done when all that moves has moved. What is asked for while
    /// something moves waits until then; a lost machine is replaced at once.
    fn rebalance(&mut self, topology: &Versioned<TopologyRecord>, now: Now) -> Option<Plan> {
        let id = &topology.record.id;
        if let Some(plan) = self.finish(topology, now) {
            return Some(plan);
        }
        if self.has_lost(id, now) {
            return self.place_or_say_why(topology.record.clone(), false, now);
        }
        if let Some(plan) = self.settle_moves(topology, now) {
            return Some(plan);
        }
        if self.is_moving(id, now) {
            return None;
        }
        let mut record = topology.record.clone();
        let pending = record.pending.get_or_insert_default();
        if !std::mem::replace(&mut pending.placed, true) {
            let workers = std::mem::take(&mut pending.workers);
            let executors = std::mem::take(&mut pending.executors);
            if workers > 0 {
                record.workers = workers;
            }
            record.executors.extend(executors);
            if let Some(plan) = self.place_or_say_why(record.clone(), true, now) {
                return Some(Plan { purpose: "rebalance", ..plan });
            }
            // There is no slot at all: what was asked for is noted and done when there is one.
        }
        let resume = record.pending.take().unwrap_or_default().resume();
        record.status =
            lifecycle::next(status(&record), Move::Rebalanced, resume).ok().map(i32::from)?;
        let decide = vec![Write::Topology(Box::new(record))];
        Some(Plan { decide, ..plan("rebalance", topology) })
    }

    /// Tells whether a worker of a topology is where none can run any more.
    fn has_lost(&self, topology: &str, now: Now) -> bool {
        self.view.in_force(topology).any(|it| self.is_lost(&it.record, now))
    }

    /// Stops a topology once its trees have ended or had their time; then, when nobody runs any of
    /// it, forgets it.
    fn kill(
        &self,
        topology: &Versioned<TopologyRecord>,
        phase: Phase,
        now: Now,
    ) -> Option<Decision> {
        let pending = topology.record.pending.clone().unwrap_or_default();
        if phase.generation.is_some() {
            let go = self.is_over(&pending, phase, now) || self.is_quiet(topology, phase, now);
            return go.then(|| {
                let decide = vec![Write::Release];
                Decision::from(Plan { decide, ..plan("stop", topology) })
            });
        }
        self.runs_nowhere(topology, phase, now).then(|| {
            let decide = vec![Write::Forget(topology.record.name.clone())];
            Decision::from(Plan { decide, ..plan("forget", topology) })
        })
    }

    fn is_over(&self, pending: &PendingAction, phase: Phase, now: Now) -> bool {
        let waited = now.at.saturating_duration_since(phase.since);
        waited >= Duration::from_millis(pending.wait_ms)
    }

    /// Tells whether nothing is pending in any worker of the topology, by reports that came after
    /// it was told to stop.
    fn is_quiet(&self, topology: &Versioned<TopologyRecord>, phase: Phase, now: Now) -> bool {
        let mut assignments = self.view.in_force(&topology.record.id);
        assignments.all(|assignment| self.is_worker_quiet(assignment, phase, now))
    }

    fn is_worker_quiet(
        &self,
        assignment: &Versioned<AssignmentRecord>,
        phase: Phase,
        now: Now,
    ) -> bool {
        let AssignmentRecord { topology, worker, supervisor, .. } = &assignment.record;
        if self.verdict(supervisor, now) == Verdict::Lost {
            return true;
        }
        let since = |at: Instant| at > phase.since;
        let latest = self.reports.supervisors.get(supervisor);
        if !latest.is_some_and(|latest| since(latest.at)) {
            return false;
        }
        let Some(slot) = self.reports.slot(supervisor, topology, *worker) else { return true };
        if !matches!(slot.state.as_str(), "running" | "stopping") {
            return true;
        }
        let Some(live) = self.reports.worker(topology, *worker) else { return false };
        since(live.at) && (live.report.drained || live.report.finished)
    }

    /// Tells whether no supervisor runs anything of a topology that is assigned to nobody, by
    /// reports that came after that was so.
    fn runs_nowhere(&self, topology: &Versioned<TopologyRecord>, phase: Phase, now: Now) -> bool {
        if topology.record.generation == 0 {
            return true;
        }
        self.supervisors.keys().all(|id| {
            let latest = self.reports.supervisors.get(id);
            let told = latest.filter(|latest| latest.at > phase.since).is_some_and(|latest| {
                let slots: BTreeSet<&str> =
                    latest.report.slots.iter().map(|slot| slot.topology.as_str()).collect();
                !slots.contains(topology.record.id.as_str())
            });
            told || self.verdict(id, now) == Verdict::Lost
        })
    }
}

impl From<Plan> for Decision {
    fn from(plan: Plan) -> Self {
        Self { plan, reply: None }
    }
}

/// Starts a plan for a topology that the store has.
pub(super) fn plan(purpose: &'static str, topology: &Versioned<TopologyRecord>) -> Plan {
    Plan {
        purpose,
        topology: topology.record.id.clone(),
        expected: Some(topology.revision),
        ..Plan::default()
    }
}

/// Answers a request in words.
pub(super) fn done(text: String) -> Reply {
    Reply::Done(Done { text })
}

/// Where an assignment is.
pub(super) fn slot(assignment: &AssignmentRecord) -> Slot {
    Slot { supervisor: assignment.supervisor.clone(), slot: assignment.slot }
}
