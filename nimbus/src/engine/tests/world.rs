//! A world for the engine to decide about: a store that does as the plans say, supervisors that
//! report what they were assigned, and a clock moved by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use coordination::Key;
use daemon::Clock;
use proto::nimbus::WorkerNews;
use proto::store::{
    AssignmentRecord, ComponentSpec, Epoch, InputSpec, Released, StreamSpec, SupervisorRecord,
    TopologySpec, WorkerRecord,
};
use proto::supervisor::{SlotReport, SupervisorReport, WorkerReport};

use super::super::command::{Command, Plan, Refusal, Reply, Write};
use super::super::event::{Event, Fact, Now, Record, Request, Submission, Verb};
use super::super::liveness::Patience;
use super::super::view::{Versioned, epoch_revision};
use super::super::{Engine, lifecycle, view};

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    revision: u64,
    next_ticket: u64,
    /// Everything the engine wanted, except answers.
    pub(crate) plans: Vec<Plan>,
    pub(crate) removed: Vec<String>,
    answers: BTreeMap<u64, Result<Reply, Refusal>>,
}

impl World {
    /// A cluster whose nimbus leads and whose supervisors, with that many slots, have registered.
    pub(crate) fn new(supervisors: &[(&str, u32)]) -> Self {
        let clock = Clock::manual();
        let now = Now { at: clock.now(), wall_ms: 0 };
        let mut world = Self {
            engine: Engine::new(Patience::default(), now),
            clock,
            revision: 10,
            next_ticket: 0,
            plans: Vec::new(),
            removed: Vec::new(),
            answers: BTreeMap::new(),
        };
        world.tell(Event::Snapshot { facts: Vec::new(), revision: 10 });
        world.tell(Event::Leads { elected: 10 });
        for (id, slots) in supervisors {
            world.register(id, *slots);
        }
        world
    }

    pub(crate) fn now(&self) -> Now {
        Now { at: self.clock.now(), wall_ms: self.clock.wall_ms() }
    }

    /// Tells the engine, and does what it wants until it wants nothing more.
    pub(crate) fn tell(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for command in self.engine.handle(event, self.now()) {
                match command {
                    Command::Write(plan) => {
                        let facts = self.facts(&plan);
                        events.push(Event::Changes(facts));
                        events.push(Event::Written { revision: self.revision });
                        self.plans.push(*plan);
                    }
                    Command::Answer { ticket, answer } => {
                        self.answers.insert(ticket, answer);
                    }
                    Command::RemoveBinary { digest } => self.removed.push(digest),
                    Command::FetchBinary { .. } => {}
                }
            }
        }
    }

    pub(crate) fn register(&mut self, id: &str, slots: u32) {
        let record = SupervisorRecord { id: id.to_owned(), slots, ..SupervisorRecord::default() };
        let key = Key::Supervisor { id: id.to_owned() };
        self.change(key, Some(Record::Supervisor(record)));
    }

    pub(crate) fn change(&mut self, key: Key, record: Option<Record>) {
        self.revision += 1;
        let fact = Fact { key, record, revision: self.revision };
        self.tell(Event::Changes(vec![fact]));
    }

    pub(crate) fn ask(&mut self, id: &str, verb: Verb) -> Result<Reply, Refusal> {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        let request = Request { id: id.to_owned(), verb };
        self.tell(Event::Asked { ticket, request });
        self.answers.remove(&ticket).expect("every request is answered")
    }

    pub(crate) fn submit(&mut self, name: &str, workers: u32) -> String {
        match self.ask("", submission(name, workers)).expect("the submission is taken") {
            Reply::Submitted(reply) => reply.topology_id,
            Reply::Done(done) => panic!("another answer: {done:?}"),
        }
    }

    pub(crate) fn kill(&mut self, name: &str, wait: Duration) {
        self.ask("", Verb::Kill { name: name.to_owned(), wait }).expect("the kill is taken");
    }

    pub(crate) fn status(&self, id: &str) -> &'static str {
        let known = self.engine.view().topologies.get(id);
        known.map_or("gone", |known| lifecycle::word(view::status(&known.record)))
    }

    /// What is assigned, as `worker@supervisor:slot#epoch`.
    pub(crate) fn placed(&self, id: &str) -> Vec<String> {
        let text = |held: &Versioned<AssignmentRecord>| {
            let AssignmentRecord { worker, supervisor, slot, .. } = &held.record;
            format!("{worker}@{supervisor}:{slot}#{}", epoch_revision(held))
        };
        self.engine.view().in_force(id).map(text).collect()
    }

    /// Lets time pass in steps; only `reporting` supervisors are heard of.
    pub(crate) fn pass(&mut self, time: Duration, reporting: &[&str]) {
        let step = Duration::from_millis(100);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.clock.advance(step);
            self.tell(Event::Tick);
            for supervisor in reporting {
                self.report(supervisor, |_| {});
            }
        }
    }

    /// A supervisor reports that everything that is assigned to it runs, changed by `edit`.
    pub(crate) fn report(&mut self, supervisor: &str, edit: impl Fn(&mut SlotReport)) {
        let here = self.engine.view().all_in_force();
        let here = here.filter(|held| held.record.supervisor == supervisor);
        let slot = |held: &Versioned<AssignmentRecord>| {
            let mut slot = SlotReport {
                slot: held.record.slot,
                topology: held.record.topology.clone(),
                worker: held.record.worker,
                state: "running".to_owned(),
                epoch: Some(Epoch { revision: epoch_revision(held), restarts: 0 }),
                report: Some(WorkerReport::default()),
                ..SlotReport::default()
            };
            edit(&mut slot);
            slot
        };
        let slots = here.map(slot).collect();
        self.report_slots(supervisor, slots);
    }

    /// The workers on a supervisor that run say that they have let go of all that the generation in
    /// force does not give them.
    pub(crate) fn let_go(&mut self, supervisor: &str) {
        let here = self.engine.view().all_in_force();
        let here = here.filter(|held| held.record.supervisor == supervisor);
        let record = |held: &Versioned<AssignmentRecord>| {
            let AssignmentRecord { topology, worker, generation, .. } = held.record.clone();
            let epoch = Epoch { revision: epoch_revision(held), restarts: 0 };
            let released = Some(Released { generation, holding: Vec::new() });
            let epoch = Some(epoch);
            WorkerRecord { topology, worker, epoch, released, ..WorkerRecord::default() }
        };
        for record in here.map(record).collect::<Vec<_>>() {
            let key = Key::Worker { topology: record.topology.clone(), worker: record.worker };
            self.change(key, Some(Record::Worker(record)));
        }
    }

    pub(crate) fn report_slots(&mut self, supervisor: &str, slots: Vec<SlotReport>) {
        let supervisor = supervisor.to_owned();
        let report = SupervisorReport { supervisor, slots, ..SupervisorReport::default() };
        self.tell(Event::Report(Box::new(report.into())));
    }

    /// A worker reports by itself, as the incarnation it is assigned as.
    pub(crate) fn news(&mut self, topology: &str, worker: u32) {
        let revision = {
            let mut in_force = self.engine.view().in_force(topology);
            let held = in_force.find(|held| held.record.worker == worker);
            epoch_revision(held.expect("it is assigned"))
        };
        let epoch = Epoch { revision, restarts: 0 };
        self.news_of(topology, worker, epoch);
    }

    pub(crate) fn news_of(&mut self, topology: &str, worker: u32, epoch: Epoch) {
        let news = news(topology, worker, epoch);
        self.tell(Event::News(Box::new(news)));
    }

    /// Another nimbus takes over: it knows what the store says and nothing else.
    pub(crate) fn succeed(&mut self) {
        self.clock.advance(Duration::from_secs(60));
        let facts = self.everything();
        self.engine = Engine::new(Patience::default(), self.now());
        self.plans.clear();
        self.tell(Event::Snapshot { facts, revision: self.revision });
        self.tell(Event::Leads { elected: self.revision });
    }

    fn everything(&self) -> Vec<Fact> {
        let view = self.engine.view();
        let mut facts = Vec::new();
        let mut add = |key, record, revision| {
            facts.push(Fact { key, record: Some(record), revision });
        };
        for (id, record) in &view.supervisors {
            add(Key::Supervisor { id: id.clone() }, Record::Supervisor(record.clone()), 1);
        }
        for (id, known) in &view.topologies {
            let record = Record::Topology(Box::new(known.record.clone()));
            add(Key::Topology { id: id.clone() }, record, known.revision);
        }
        for (name, id) in &view.names {
            add(Key::Name { name: name.clone() }, Record::Name(id.clone()), 1);
        }
        for (topology, record) in &view.assigned {
            let key = Key::Assigned { topology: topology.clone() };
            add(key, Record::Assigned(*record), 1);
        }
        for ((topology, worker), record) in &view.workers {
            let key = Key::Worker { topology: topology.clone(), worker: *worker };
            add(key, Record::Worker(record.clone()), 1);
        }
        for ((topology, generation, worker), held) in &view.assignments {
            let (topology, generation, worker) = (topology.clone(), *generation, *worker);
            let key = Key::Assignment { topology, generation, worker };
            add(key, Record::Assignment(held.record.clone()), held.revision);
        }
        facts
    }

    /// What the store shows once a plan was carried out.
    fn facts(&mut self, plan: &Plan) -> Vec<Fact> {
        self.revision += 1;
        let (id, view) = (&plan.topology, self.engine.view());
        let expected = view.topologies.get(id).map(|known| known.revision);
        assert_eq!(plan.expected, expected, "every plan is guarded by what it was decided on");
        let mut changes: Vec<(Key, Option<Record>)> = Vec::new();
        for write in plan.prepare.iter().chain(&plan.decide).cloned() {
            let topology = id.clone();
            match write {
                Write::Topology(record) => {
                    changes.push((Key::Topology { id: topology }, Some(Record::Topology(record))));
                }
                Write::Name(name) => {
                    changes.push((Key::Name { name }, Some(Record::Name(topology))));
                }
                Write::Assignment(record) => {
                    let (generation, worker) = (record.generation, record.worker);
                    let key = Key::Assignment { topology, generation, worker };
                    changes.push((key, Some(Record::Assignment(record))));
                }
                Write::Assigned(record) => {
                    changes.push((Key::Assigned { topology }, Some(Record::Assigned(record))));
                }
                Write::Result(result) => {
                    let key = Key::Result { topology, task: result.task };
                    changes.push((key, Some(Record::Result(result))));
                }
                Write::DropGeneration(generation) => {
                    let stale = |at: &u64| *at == generation;
                    changes.extend(assignments(view, id, stale).map(|key| (key, None)));
                }
                Write::Release => {
                    changes.extend(assignments(view, id, |_| true).map(|key| (key, None)));
                    changes.push((Key::Assigned { topology }, None));
                }
                Write::Forget(name) => {
                    let results = view.results.keys().filter(|(of, _)| of == id).cloned();
                    let gone = results.map(|(topology, task)| Key::Result { topology, task });
                    changes.extend(gone.map(|key| (key, None)));
                    changes.push((Key::Name { name }, None));
                    changes.push((Key::Topology { id: topology }, None));
                }
            }
        }
        if let Some((id, record)) = &plan.request {
            let key = Key::Request { id: id.clone() };
            changes.push((key, Some(Record::Request(record.clone()))));
        }
        let revision = self.revision;
        changes.into_iter().map(|(key, record)| Fact { key, record, revision }).collect()
    }
}

/// What a worker says by itself.
pub(crate) fn news(topology: &str, worker: u32, epoch: Epoch) -> WorkerNews {
    WorkerNews {
        topology: topology.to_owned(),
        worker,
        epoch: Some(epoch),
        report: Some(WorkerReport::default()),
        ..WorkerNews::default()
    }
}

fn assignments(
    view: &view::View,
    topology: &str,
    wanted: impl Fn(&u64) -> bool,
) -> impl Iterator<Item = Key> {
    let keys = view.assignments.keys().filter(|(of, at, _)| of == topology && wanted(at));
    let keys: Vec<_> = keys.cloned().collect();
    keys.into_iter().map(|(topology, generation, worker)| Key::Assignment {
        topology,
        generation,
        worker,
    })
}

/// A spout and a bolt with two executors each.
pub(crate) fn submission(name: &str, workers: u32) -> Verb {
    let stream =
        StreamSpec { name: "default".to_owned(), tuple: "Line".to_owned(), fields: Vec::new() };
    let component = |name: &str, spout| ComponentSpec {
        name: name.to_owned(),
        spout,
        executors: 2,
        tasks: 4,
        ..ComponentSpec::default()
    };
    let input = InputSpec {
        component: "lines".to_owned(),
        stream: "default".to_owned(),
        grouping: "shuffle".to_owned(),
        fields: Vec::new(),
    };
    let lines = ComponentSpec { outputs: vec![stream], ..component("lines", true) };
    let count = ComponentSpec { inputs: vec![input], ..component("count", false) };
    let spec = TopologySpec {
        name: name.to_owned(),
        components: vec![lines, count],
        key_groups: 720,
        ..TopologySpec::default()
    };
    let digest = "d".repeat(64);
    Verb::Submit(Box::new(Submission { spec, digest, workers, ..Submission::default() }))
}
