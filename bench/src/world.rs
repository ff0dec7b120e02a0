//! The engine of a nimbus that leads, on a store that does what its plans say.
//!
//! Nothing is started and nothing is written to disk, and its clock is moved by hand.

use coordination::Key;
use daemon::Clock;
use nimbus::engine::Engine;
use nimbus::engine::command::{Command, Plan, Write};
use nimbus::engine::event::{Event, Fact, Now, Record};
use nimbus::engine::liveness::Patience;
use proto::store::SupervisorRecord;

use crate::figures::as_f64;
use crate::meter::now_ns;

/// An engine that leads, and what its store shows.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    revision: u64,
    /// Topology, generation and number of every worker that the store has.
    assignments: Vec<(String, u64, u32)>,
}

/// A plan, and how long it took to decide it.
pub(crate) struct Planned {
    pub(crate) ms: f64,
    pub(crate) plan: Plan,
}

impl World {
    /// Begins with supervisors of that many slots.
    pub(crate) fn new(supervisors: &[String], slots: u32, patience: Patience) -> Self {
        let clock = Clock::manual();
        let now = Now { at: clock.now(), wall_ms: 0 };
        let engine = Engine::new(patience, now);
        let mut world = Self { engine, clock, revision: 1, assignments: Vec::new() };
        let facts = supervisors.iter().map(|id| {
            let record = SupervisorRecord { id: id.clone(), slots, ..SupervisorRecord::default() };
            let key = Key::Supervisor { id: id.clone() };
            Fact { key, record: Some(Record::Supervisor(record)), revision: 1 }
        });
        let facts = facts.collect();
        world.tell(Event::Snapshot { facts, revision: 1 });
        world.tell(Event::Leads { elected: 1 });
        world
    }

    /// What the engine is told of the time.
    pub(crate) fn now(&self) -> Now {
        Now { at: self.clock.now(), wall_ms: self.clock.wall_ms() }
    }

    /// Tells the engine, and does what it wants until it wants nothing more; returns what that was.
    pub(crate) fn tell(&mut self, event: Event) -> Vec<Planned> {
        let (mut events, mut planned) = (vec![event], Vec::new());
        while let Some(event) = events.pop() {
            let now = self.now();
            let begun = now_ns();
            let commands = self.engine.handle(event, now);
            let ms = as_f64(now_ns() - begun) / 1e6;
            for command in commands {
                let Command::Write(plan) = command else { continue };
                let facts = self.facts(&plan);
                events.push(Event::Changes(facts));
                events.push(Event::Written { revision: self.revision });
                planned.push(Planned { ms, plan: *plan });
            }
        }
        planned
    }

    /// What the store shows once a plan was carried out.
    fn facts(&mut self, plan: &Plan) -> Vec<Fact> {
        self.revision += 1;
        let mut shown = Vec::new();
        for write in plan.prepare.iter().chain(&plan.decide) {
            let topology = plan.topology.clone();
            match write {
                Write::Topology(record) => {
                    let record = Record::Topology(record.clone());
                    shown.push((Key::Topology { id: topology }, Some(record)));
                }
                Write::Name(name) => {
                    shown.push((Key::Name { name: name.clone() }, Some(Record::Name(topology))));
                }
                Write::Assignment(record) => {
                    let (generation, worker) = (record.generation, record.worker);
                    self.assignments.push((topology.clone(), generation, worker));
                    let key = Key::Assignment { topology, generation, worker };
                    shown.push((key, Some(Record::Assignment(record.clone()))));
                }
                Write::Assigned(record) => {
                    shown.push((Key::Assigned { topology }, Some(Record::Assigned(*record))));
                }
                Write::DropGeneration(dropped) => {
                    let is_dropped =
                        |it: &mut (String, u64, u32)| it.0 == topology && it.1 == *dropped;
                    let gone = self.assignments.extract_if(.., is_dropped);
                    shown.extend(gone.map(|(topology, generation, worker)| {
                        (Key::Assignment { topology, generation, worker }, None)
                    }));
                }
                // Nothing here finishes or is killed.
                Write::Release | Write::Result(_) | Write::Forget(_) => {}
            }
        }
        let revision = self.revision;
        shown.into_iter().map(|(key, record)| Fact { key, record, revision }).collect()
    }
}
