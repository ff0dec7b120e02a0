//! Random histories of a supervisor: whatever happens, in whatever order, no epoch is given to
//! two processes, no worker runs twice, and in the end there is what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use daemon::Clock;
use proptest::prelude::{Strategy, any, prop, prop_oneof};
use proptest::{prop_assert, proptest};
use proto::store::{AssignedRecord, AssignmentRecord, TopologyRecord};

use super::*;

const SLOTS: u32 = 2;

/// One thing that happens; numbers choose among what is possible.
#[derive(Clone, Debug)]
enum Step {
    /// A new generation: the workers in these slots (`None`: not here), under new epochs or kept.
    Assign {
        slots: [Option<u32>; 2],
        fresh: bool,
    },
    /// The generation is taken back.
    Unassign,
    /// It comes into force again as it was.
    Reassign,
    /// The supervisor is stopped as it should be, and started again.
    Stop,
    /// The shell answers the oldest command it has not answered.
    Answer {
        well: bool,
    },
    Hello(u32),
    Exit(u32),
    Wait(u64),
    /// The supervisor is killed and started again.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let slot = || prop::option::of(0..SLOTS);
    prop_oneof![
        2 => (slot(), slot(), any::<bool>())
            .prop_map(|(a, b, fresh)| Step::Assign { slots: [a, b], fresh }),
        1 => any::<()>().prop_map(|()| Step::Unassign),
        1 => any::<()>().prop_map(|()| Step::Reassign),
        1 => any::<()>().prop_map(|()| Step::Stop),
        8 => any::<bool>().prop_map(|well| Step::Answer { well }),
        3 => (0..SLOTS).prop_map(Step::Hello),
        3 => (0..SLOTS).prop_map(Step::Exit),
        3 => (0..5_000_u64).prop_map(Step::Wait),
        1 => any::<()>().prop_map(|()| Step::Restart),
    ]
}

/// A worker: its number.
type Worker = u32;

/// The world around the engine: processes, what is on disk, what is in the store.
struct World {
    engine: Engine,
    clock: Clock,
    store: Vec<Fact>,
    revision: u64,
    generation: u64,
    /// Revision part of each worker's epoch, as nimbus has it.
    epochs: BTreeMap<Worker, u64>,
    unanswered: Vec<Command>,
    /// By slot: what runs there.
    processes: BTreeMap<u32, (Placement, Epoch)>,
    /// By worker: what its folder remembers.
    disk: BTreeMap<Worker, (Placement, Epoch)>,
    retired: BTreeMap<Worker, Epoch>,
    /// Every epoch that a process ever had.
    used: BTreeSet<(Worker, Epoch)>,
}

impl World {
    fn new() -> Self {
        let record = TopologyRecord { id: "t".into(), digest: "d".into(), ..Default::default() };
        let mut world = Self {
            engine: Engine::new("me", SLOTS, Timings::default()),
            clock: Clock::manual(),
            store: vec![Fact::Topology("t".into(), Some(Box::new(record)))],
            revision: 1,
            generation: 0,
            epochs: BTreeMap::new(),
            unanswered: Vec::new(),
            processes: BTreeMap::new(),
            disk: BTreeMap::new(),
            retired: BTreeMap::new(),
            used: BTreeSet::new(),
        };
        world.tell(Event::Snapshot(world.store.clone()));
        world
    }

    fn tell(&mut self, event: Event) {
        for command in self.engine.handle(event, self.clock.now()) {
            match command {
                Command::Signal { slot, signal: Signal::Kill, .. } => self.exit(slot),
                Command::Fetch { .. } | Command::Launch { .. } | Command::Clean { .. } => {
                    self.unanswered.push(command);
                }
                _ => {}
            }
        }
    }

    fn on(&mut self, slot: u32, event: SlotEvent) {
        self.tell(Event::Slot(slot, event));
    }

    fn exit(&mut self, slot: u32) {
        if let Some((_, epoch)) = self.processes.remove(&slot) {
            self.on(slot, SlotEvent::Exited { epoch, exit: Exit::default() });
        }
    }

    fn answer(&mut self, well: bool) {
        if self.unanswered.is_empty() {
            return;
        }
        match self.unanswered.remove(0) {
            Command::Fetch { slot, digest } => {
                let problem = (!well).then(|| "no nimbus leads".to_owned());
                self.on(slot, SlotEvent::Fetched { digest, problem });
            }
            Command::Launch { slot, placement, epoch } => {
                self.launch(slot, *placement, epoch, well);
            }
            Command::Clean { slot, worker, epoch, .. } => {
                self.retired.insert(worker, epoch);
                self.disk.remove(&worker);
                self.on(slot, SlotEvent::Cleaned);
            }
            _ => {}
        }
    }

    fn launch(&mut self, slot: u32, placement: Placement, epoch: Epoch, well: bool) {
        let worker = placement.worker;
        self.disk.insert(worker, (placement.clone(), epoch));
        if !well {
            self.on(slot, SlotEvent::Exited { epoch, exit: Exit::default() });
            return;
        }
        assert!(self.used.insert((worker, epoch)), "epoch {epoch} of {worker} was used before");
        let newest = self.used.range((worker, Epoch::default())..).take_while(|u| u.0 == worker);
        assert_eq!(newest.last(), Some(&(worker, epoch)), "an epoch went back");
        let twice = self.processes.values().any(|(running, _)| running.worker == worker);
        assert!(!twice, "worker {worker} runs twice");
        assert!(self.processes.insert(slot, (placement, epoch)).is_none(), "slot {slot} is taken");
        self.on(slot, SlotEvent::Launched { epoch, pid: 7, started_ms: 1 });
    }

    fn write(&mut self, fact: Fact) {
        let flip = matches!(fact, Fact::Assigned(..));
        self.store.retain(|old| !(flip && matches!(old, Fact::Assigned(..))));
        self.store.push(fact.clone());
        self.tell(Event::Store(vec![fact]));
    }

    fn assign(&mut self, slots: [Option<u32>; 2], fresh: bool) {
        self.generation += 1;
        self.store.retain(|old| !matches!(old, Fact::Assignment { .. }));
        for (worker, slot) in (0..).zip(slots) {
            self.revision += 1;
            // As nimbus: a worker that moves, or comes back, gets a new epoch.
            let place = self.engine.slots().find(|s| Some(s.number()) == slot);
            let stays = place.and_then(Slot::placement).is_some_and(|p| p.worker == worker);
            if fresh || !stays || !self.epochs.contains_key(&worker) {
                self.epochs.insert(worker, self.revision);
            }
            let record = AssignmentRecord {
                topology: "t".into(),
                generation: self.generation,
                worker,
                supervisor: if slot.is_some() { "me" } else { "other" }.into(),
                slot: slot.unwrap_or(0),
                epoch_revision: self.epochs[&worker],
                ..AssignmentRecord::default()
            };
            let record = Some(Stamped { record, revision: self.revision });
            let (topology, generation) = ("t".to_owned(), self.generation);
            self.write(Fact::Assignment { topology, generation, worker, record });
        }
        self.flip();
    }

    /// Puts the newest generation in force.
    fn flip(&mut self) {
        self.revision += 1;
        let record = AssignedRecord { generation: self.generation, workers: 2 };
        let record = Some(Stamped { record, revision: self.revision });
        self.write(Fact::Assigned("t".into(), record));
    }

    fn stop(&mut self) {
        self.tell(Event::Shutdown);
        while !self.engine.is_over() {
            self.answer(true);
            (0..SLOTS).for_each(|slot| self.exit(slot));
        }
        assert!(self.disk.is_empty() && self.processes.is_empty(), "something is left");
    }

    fn restart(&mut self) {
        self.engine = Engine::new("me", SLOTS, Timings::default());
        self.unanswered.clear();
        for (worker, epoch) in &self.retired {
            self.engine.retire("t", *worker, *epoch);
        }
        for (placement, epoch) in self.disk.clone().into_values() {
            let alive = self.processes.values().any(|running| running.1 == epoch);
            let found = Remembered {
                placement,
                restarts: epoch.restarts,
                pid: alive.then_some(7),
                started_ms: 1,
                now_ms: 2,
            };
            self.tell(Event::Remembered(Box::new(found)));
        }
        self.tell(Event::Snapshot(self.store.clone()));
    }

    fn happen(&mut self, step: Step) {
        match step {
            Step::Assign { slots, fresh } => self.assign(slots, fresh),
            Step::Unassign => self.write(Fact::Assigned("t".into(), None)),
            Step::Reassign => self.flip(),
            Step::Stop => {
                self.stop();
                self.restart();
            }
            Step::Answer { well } => self.answer(well),
            Step::Hello(slot) if self.processes.contains_key(&slot) => {
                self.on(
                    slot,
                    SlotEvent::Attached { pid: 7, address: "h:1".into(), released: None },
                );
            }
            Step::Hello(_) => {}
            Step::Exit(slot) => self.exit(slot),
            Step::Wait(ms) => {
                self.clock.advance(Duration::from_millis(ms));
                self.tell(Event::Tick);
            }
            Step::Restart => self.restart(),
        }
    }

    /// Lets everything go well until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            self.happen(Step::Wait(100));
            self.answer(true);
            for slot in 0..SLOTS {
                self.happen(Step::Hello(slot));
                self.on(slot, SlotEvent::Heard { drained: false, released: None });
            }
        }
    }
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn in_every_history_epochs_rise_and_the_plan_is_reached(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.happen(step);
        }
        world.settle();
        let wanted = world.engine.view.plan("me").wanted;
        let running: BTreeMap<u32, u32> =
            world.processes.iter().map(|(slot, (p, _))| (*slot, p.worker)).collect();
        let expected: BTreeMap<u32, u32> =
            wanted.iter().map(|(slot, placement)| (*slot, placement.worker)).collect();
        prop_assert!(running == expected, "runs {running:?}, wanted {expected:?}");
        for (slot, (_, epoch)) in &world.processes {
            prop_assert!(world.engine.slot(*slot).unwrap().epoch() == *epoch, "slot {slot}");
        }
    }
}
