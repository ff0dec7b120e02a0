//! Noticing what happened: what the engine sees now, against what it saw.

use proto::store::TopologyRecord;

use super::{Events, Machines, Seen, Timeline, Worker};
use crate::engine::event::Now;
use crate::engine::view::{self, Versioned, epoch_revision};
use crate::engine::{Engine, command::Plan};

impl Events {
    /// Notes what is being written, and why.
    pub fn note(&mut self, plan: &Plan) {
        self.purposes.insert(plan.topology.clone(), plan.purpose);
    }
}

impl Engine {
    /// Notices what happened since it last looked.
    pub(in crate::engine) fn notice(&mut self, now: Now) {
        let mut events = std::mem::take(&mut self.insight.events);
        let known = &self.view.topologies;
        events.topologies.retain(|topology, _| known.contains_key(topology));
        events.purposes.retain(|topology, _| known.contains_key(topology));
        for (id, topology) in known {
            let purpose = events.purposes.get(id).copied().unwrap_or("");
            let seen = self.see(&topology.record, purpose);
            match events.topologies.get_mut(id) {
                Some((before, _)) if *before == seen => {}
                Some((before, timeline)) => {
                    timeline.extend(seen.since(Some(before), now.wall_ms));
                    *before = seen;
                }
                None => {
                    let mut timeline = Timeline::default();
                    timeline.extend(seen.since(None, now.wall_ms));
                    events.topologies.insert(id.clone(), (seen, timeline));
                }
            }
        }
        let machines = Machines {
            leader: self.view.leader.as_ref().map(|it| it.nimbus_id.clone()).unwrap_or_default(),
            store: self.store_problem().unwrap_or_default(),
            supervisors: self
                .supervisors
                .keys()
                .map(|id| (id.clone(), self.verdict(id, now).word()))
                .collect(),
        };
        if events.machines.as_ref() != Some(&machines) {
            events.cluster.extend(machines.since(events.machines.as_ref(), now.wall_ms));
            events.machines = Some(machines);
        }
        self.insight.events = events;
    }

    fn see(&self, record: &TopologyRecord, purpose: &'static str) -> Seen {
        let told = self.reports.topologies.get(&record.id);
        let errors = told.iter().flat_map(|told| &told.errors);
        let errors =
            errors.map(|it| (it.error.component.clone(), (it.error.at_ms, it.error.text.clone())));
        let workers = self.view.in_force(&record.id);
        let assigned = self.view.assigned.get(&record.id);
        Seen {
            status: view::status(record),
            reason: record.reason.clone(),
            submitted_ms: record.submitted_ms,
            generation: assigned.map(|it| (it.generation, purpose)),
            unplaced: self.unplaced.get(&record.id).cloned().unwrap_or_default(),
            workers: workers.map(|held| (held.record.worker, self.see_worker(held))).collect(),
            errors: errors.collect(),
        }
    }

    fn see_worker(&self, held: &Versioned<proto::store::AssignmentRecord>) -> Worker {
        let (topology, number) = (&held.record.topology, held.record.worker);
        let stored = self.view.workers.get(&(topology.clone(), number));
        // One of an earlier incarnation says nothing of this one.
        let stored = stored
            .filter(|it| it.epoch.is_some_and(|epoch| epoch.revision == epoch_revision(held)));
        let running = stored.filter(|it| !it.address.is_empty());
        let slot = self.reports.slot(&held.record.supervisor, topology, number);
        let exit = slot.map(|slot| (slot.last_exit.clone(), slot.last_exit_ms));
        Worker {
            supervisor: held.record.supervisor.clone(),
            epoch: running.and_then(|it| it.epoch).map(|it| (it.revision, it.restarts)),
            started_ms: running.map_or(0, |it| it.started_ms),
            exit: exit.unwrap_or_default(),
        }
    }
}
