//! What a supervisor tells the nimbus that leads: a stand-in for its `reports` and `daemon::report`.

use proto::supervisor::{SlotReport, SupervisorReport};
use supervisor::engine::{Slot, State};

use super::env::{Env, Node};
use super::events::Event;
use super::plan::MS;
use super::supervisor::Supervisor;

impl Supervisor {
    /// Reports to the nimbus that leads; what does not get through is lost.
    pub(super) fn report(&mut self, env: &mut Env) {
        self.sequence += 1;
        let Some(leader) = self.leader else { return };
        let report = SupervisorReport {
            supervisor: format!("m{}", self.machine),
            incarnation: self.life.number,
            slots: self.engine.slots().map(|slot| self.slot_report(slot)).collect(),
            sequence: self.sequence,
            ..SupervisorReport::default()
        };
        let (from, to) = (self.life.node, Node::Nimbus(leader));
        match env.travel(from, to) {
            // One stream keeps its order.
            Some(at) => {
                self.stream = self.stream.max(at);
                let at = self.stream;
                env.schedule(at, Event::Report { to: leader, report: Box::new(report) });
            }
            // It broke: what comes next may overtake what is on its way.
            None => {
                self.stream = env.now;
                self.hang_up(env);
            }
        }
    }

    /// Its stream of reports ends, and the nimbus that leads sees it, now or some reports later.
    pub(super) fn hang_up(&self, env: &mut Env) {
        let Some(to) = self.leader else { return };
        let late = self.sequence % 4 * 100 * MS;
        let supervisor = format!("m{}", self.machine);
        env.schedule(env.now + late, Event::HungUp { to, supervisor });
    }

    fn slot_report(&self, slot: &Slot) -> SlotReport {
        let state = slot.state().name().to_owned();
        let Some(placement) = slot.placement() else {
            return SlotReport { slot: slot.number(), state, ..SlotReport::default() };
        };
        let running = !matches!(slot.state(), State::Fetching { .. } | State::BackingOff { .. });
        let incarnation = self.incarnations.get(&slot.number());
        SlotReport {
            slot: slot.number(),
            topology: placement.topology.clone(),
            worker: placement.worker,
            state,
            epoch: Some(slot.epoch().into()),
            address: slot.address().to_owned(),
            restarts: slot.epoch().restarts,
            report: incarnation
                .filter(|incarnation| running && incarnation.epoch == slot.epoch())
                .and_then(|incarnation| incarnation.report.clone()),
            ..SlotReport::default()
        }
    }
}
