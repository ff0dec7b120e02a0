//! The engine as a whole: records in, what each slot is to do out.

use daemon::Clock;
use proto::store::{
    AssignedRecord, AssignmentRecord, LeaderRecord, LogFilter, NimbusRecord, TopologyRecord,
    TopologyStatus, WorkerRecord,
};

use super::*;

const ME: &str = "machine-1";

struct Bench {
    engine: Engine,
    now: Instant,
}

impl Bench {
    fn new(slots: u32) -> Self {
        let engine = Engine::new(ME, slots, Timings::default());
        Self { engine, now: Clock::manual().now() }
    }

    fn on(&mut self, event: Event) -> Vec<Command> {
        self.engine.handle(event, self.now)
    }

    fn slot(&mut self, slot: u32, event: SlotEvent) -> Vec<Command> {
        self.on(Event::Slot(slot, event))
    }

    /// Brings a slot that fetches to `running`.
    fn start(&mut self, slot: u32, epoch: Epoch) {
        self.slot(slot, SlotEvent::Fetched { digest: "d".into(), problem: None });
        self.slot(slot, SlotEvent::Launched { epoch, pid: 7, started_ms: 1 });
        self.slot(slot, SlotEvent::Attached { pid: 7, address: "h:1".into(), released: None });
        assert_eq!(self.state(slot), "running", "slot {slot}");
    }

    fn state(&self, slot: u32) -> &'static str {
        self.engine.slot(slot).unwrap().state().name()
    }
}

fn topology(status: TopologyStatus) -> Fact {
    let record = TopologyRecord {
        id: "t".into(),
        name: "t".into(),
        digest: "d".into(),
        status: status.into(),
        ..TopologyRecord::default()
    };
    Fact::Topology("t".into(), Some(Box::new(record)))
}

fn assigned(generation: u64, workers: u32, revision: u64) -> Fact {
    let record = AssignedRecord { generation, workers };
    Fact::Assigned("t".into(), Some(Stamped { record, revision }))
}

/// Worker `worker` of `generation` in slot `slot` of this supervisor.
fn assignment(generation: u64, worker: u32, slot: u32, revision: u64) -> Fact {
    let record = AssignmentRecord {
        topology: "t".into(),
        generation,
        worker,
        supervisor: ME.into(),
        slot,
        ..AssignmentRecord::default()
    };
    let record = Some(Stamped { record, revision });
    Fact::Assignment { topology: "t".into(), generation, worker, record }
}

/// The same, under an epoch that an earlier generation gave it.
fn kept(fact: Fact, epoch: u64) -> Fact {
    let Fact::Assignment { topology, generation, worker, record: Some(mut record) } = fact else {
        panic!("an assignment is kept");
    };
    record.record.epoch_revision = epoch;
    Fact::Assignment { topology, generation, worker, record: Some(record) }
}

fn one_worker() -> Vec<Fact> {
    vec![topology(TopologyStatus::Active), assignment(1, 0, 0, 5), assigned(1, 1, 6)]
}

fn running() -> Bench {
    let mut bench = Bench::new(2);
    bench.on(Event::Snapshot(one_worker()));
    bench.start(0, Epoch { revision: 5, restarts: 0 });
    bench
}

fn instructions(commands: &[Command]) -> Option<&Instructions> {
    commands.iter().rev().find_map(|command| match command {
        Command::Instruct { instructions, .. } => Some(instructions),
        _ => None,
    })
}

#[test]
fn an_assignment_counts_when_the_generation_is_in_force() {
    let mut bench = Bench::new(2);
    bench.on(Event::Snapshot(vec![topology(TopologyStatus::Active), assignment(1, 0, 0, 5)]));
    assert_eq!(bench.state(0), "empty", "written, but not in force");
    bench.on(Event::Store(vec![assigned(1, 1, 6)]));
    assert_eq!(bench.state(0), "fetching", "in force");
    assert_eq!(bench.state(1), "empty", "the other slot is not meant");
}

#[test]
fn half_of_a_generation_changes_nothing() {
    let mut bench = running();
    let commands = bench.on(Event::Store(vec![assigned(2, 2, 20), assignment(2, 1, 1, 19)]));
    assert_eq!((bench.state(0), bench.state(1)), ("running", "empty"), "{commands:?}");
    bench.on(Event::Store(vec![kept(assignment(2, 0, 0, 18), 5)]));
    assert_eq!((bench.state(0), bench.state(1)), ("running", "fetching"), "now it is whole");
}

#[test]
fn old_generations_may_go_before_or_after_the_flip() {
    let mut bench = running();
    let gone = Fact::Assignment { topology: "t".into(), generation: 1, worker: 0, record: None };
    bench.on(Event::Store(vec![gone]));
    assert_eq!(bench.state(0), "running", "the flip was not seen yet");
    bench.on(Event::Store(vec![kept(assignment(2, 0, 0, 18), 5), assigned(2, 1, 19)]));
    assert_eq!(bench.state(0), "running", "same place, same epoch");
}

#[test]
fn a_worker_whose_epoch_changes_is_replaced() {
    let mut bench = running();
    let commands = bench.on(Event::Store(vec![assignment(2, 0, 0, 18), assigned(2, 1, 19)]));
    assert!(matches!(commands[0], Command::AskToStop { slot: 0, .. }), "{commands:?}");
    let exit = Exit::default();
    let epoch = Epoch { revision: 5, restarts: 0 };
    bench.slot(0, SlotEvent::Exited { epoch, exit });
    bench.start(0, Epoch { revision: 18, restarts: 0 });
}

#[test]
fn a_killed_topology_leaves_nothing() {
    let mut bench = running();
    bench.on(Event::Store(vec![
        Fact::Assignment { topology: "t".into(), generation: 1, worker: 0, record: None },
        Fact::Assigned("t".into(), None),
    ]));
    assert_eq!(bench.state(0), "stopping");
    let epoch = Epoch { revision: 5, restarts: 0 };
    let commands = bench.slot(0, SlotEvent::Exited { epoch, exit: Exit::default() });
    let clean = commands.iter().any(|c| matches!(c, Command::Clean { .. }));
    let withdraw = commands.iter().any(|c| matches!(c, Command::Withdraw { .. }));
    assert!(clean && withdraw, "{commands:?}");
    bench.slot(0, SlotEvent::Cleaned);
    assert_eq!(bench.state(0), "empty");
}

#[test]
fn a_worker_that_moves_between_slots_leaves_one_before_it_enters_the_other() {
    let mut bench = running();
    bench.on(Event::Store(vec![assignment(2, 0, 1, 18), assigned(2, 1, 19)]));
    assert_eq!((bench.state(0), bench.state(1)), ("stopping", "empty"), "they share a folder");
    let epoch = Epoch { revision: 5, restarts: 0 };
    bench.slot(0, SlotEvent::Exited { epoch, exit: Exit::default() });
    bench.slot(0, SlotEvent::Cleaned);
    assert_eq!((bench.state(0), bench.state(1)), ("empty", "fetching"), "now it may enter");
}

#[test]
fn a_worker_that_comes_back_under_the_same_assignment_counts_on() {
    let mut bench = running();
    bench.on(Event::Store(vec![Fact::Assigned("t".into(), None)]));
    let epoch = Epoch { revision: 5, restarts: 0 };
    bench.slot(0, SlotEvent::Exited { epoch, exit: Exit::default() });
    bench.slot(0, SlotEvent::Cleaned);
    bench.on(Event::Store(vec![assigned(1, 1, 20)]));
    assert_eq!(bench.engine.slot(0).unwrap().epoch().to_string(), "5.1", "within one life");

    let mut next = Bench::new(2);
    next.engine.retire("t", 0, Epoch { revision: 5, restarts: 3 });
    next.engine.retire("gone", 0, Epoch { revision: 5, restarts: 3 });
    next.on(Event::Snapshot(one_worker()));
    assert_eq!(next.engine.slot(0).unwrap().epoch().to_string(), "5.4", "and over lives");
    assert_eq!(next.engine.retired.len(), 1, "what is of no topology is forgotten");
}

#[test]
fn a_generation_older_than_the_one_in_force_is_refused_and_counted() {
    let mut bench = running();
    let second = vec![kept(assignment(2, 0, 0, 18), 5), assigned(2, 1, 19)];
    bench.on(Event::Store(second.clone()));
    assert_eq!(bench.engine.refused_generations(), 0);
    let moved = assignment(1, 0, 1, 30);
    bench.on(Event::Store(vec![moved.clone(), assigned(1, 1, 31)]));
    assert_eq!((bench.state(0), bench.state(1)), ("running", "empty"), "nothing moves");
    let all = [vec![topology(TopologyStatus::Active), moved, assigned(1, 1, 31)], second].concat();
    bench.on(Event::Snapshot(all[..all.len() - 1].to_vec()));
    assert_eq!((bench.state(0), bench.state(1)), ("running", "empty"), "nor by a listing");
    assert_eq!(bench.engine.refused_generations(), 2);
    bench.on(Event::Store(vec![Fact::Assigned("t".into(), None)]));
    assert_eq!(bench.state(0), "stopping", "what is taken back is taken back");
}

#[test]
fn after_a_restore_everything_is_ended_before_what_the_store_wants_is_started() {
    let mut bench = running();
    bench.on(Event::Restored(one_worker()));
    assert_eq!(bench.state(0), "stopping", "the same assignment, but of another history");
    let exit = Exit { reason: "asked to".into(), last_words: String::new(), at_ms: 1 };
    bench.slot(0, SlotEvent::Exited { epoch: Epoch { revision: 5, restarts: 0 }, exit });
    bench.slot(0, SlotEvent::Cleaned);
    assert_eq!(bench.state(0), "fetching", "it begins anew");
    let epoch = bench.engine.slot(0).unwrap().epoch();
    assert_eq!((epoch.revision, epoch.restarts), (5, 1), "as another incarnation");
}

#[test]
fn a_binary_is_fetched_from_whoever_has_it_and_the_leader_last() {
    let mut bench = Bench::new(1);
    let nimbus = |id: &str, digests: &[&str]| {
        let digests = digests.iter().map(|it| (*it).to_owned()).collect();
        let address = format!("{id}:1");
        let record = NimbusRecord { address, digests, ..NimbusRecord::default() };
        Fact::Nimbus(id.into(), Some(record))
    };
    let leader = LeaderRecord { address: "b:1".into(), ..LeaderRecord::default() };
    let leader = Fact::Leader(Some(Stamped { record: leader, revision: 3 }));
    let nimbuses = [nimbus("a", &["d"]), nimbus("b", &["d"]), nimbus("c", &["other"])];
    bench.on(Event::Snapshot([vec![leader], nimbuses.to_vec()].concat()));
    assert_eq!(bench.engine.holders("d"), ["a:1", "b:1"]);
    assert_eq!(bench.engine.holders("unheard-of"), ["b:1"], "it may have come just now");
}

#[test]
fn an_empty_snapshot_stops_everything_and_no_snapshot_nothing() {
    let placement = running().engine.slot(0).unwrap().placement().unwrap().clone();
    let found = Remembered { placement, restarts: 1, pid: Some(7), started_ms: 1, now_ms: 2 };
    let mut bench = Bench::new(2);
    let commands = bench.on(Event::Remembered(Box::new(found)));
    let told = instructions(&commands).unwrap();
    assert_eq!((told.state, &told.table), (None, &None), "an adopted worker goes on as it was");
    assert_eq!(bench.state(0), "starting", "the store was not seen");
    bench.on(Event::Snapshot(Vec::new()));
    assert_eq!(bench.state(0), "stopping", "the store wants nothing here");
}

#[test]
fn a_worker_in_a_slot_that_is_no_more_is_stopped() {
    let mut placement = running().engine.slot(0).unwrap().placement().unwrap().clone();
    placement.slot = 9;
    let found = Remembered { placement, restarts: 1, pid: Some(7), started_ms: 1, now_ms: 2 };
    let mut bench = Bench::new(2);
    bench.on(Event::Remembered(Box::new(found)));
    bench.on(Event::Snapshot(vec![
        topology(TopologyStatus::Active),
        assignment(1, 0, 9, 5),
        assigned(1, 1, 6),
    ]));
    assert_eq!(bench.state(9), "stopping", "there are two slots now");
}

#[test]
fn status_becomes_what_the_spouts_may_do() {
    let table = [
        (TopologyStatus::Active, DesiredState::Active),
        (TopologyStatus::Inactive, DesiredState::Inactive),
        (TopologyStatus::Rebalancing, DesiredState::Active),
        (TopologyStatus::Killed, DesiredState::Draining),
        (TopologyStatus::Finished, DesiredState::Draining),
    ];
    for (status, state) in table {
        let mut bench = Bench::new(1);
        bench.on(Event::Snapshot(one_worker()));
        let inactive = bench.on(Event::Store(vec![topology(TopologyStatus::Unspecified)]));
        assert_eq!(instructions(&inactive), None, "a status we do not know changes nothing");
        let commands = bench.on(Event::Store(vec![topology(status)]));
        let told = instructions(&commands).map_or(Some(DesiredState::Active), |told| told.state);
        assert_eq!(told, Some(state), "{status:?}");
    }
}

#[test]
fn workers_hear_of_a_death_elsewhere() {
    let mut bench = running();
    let record = WorkerRecord {
        topology: "t".into(),
        worker: 0,
        epoch: Some(Epoch { revision: 5, restarts: 1 }.into()),
        ..WorkerRecord::default()
    };
    let record = Some(Stamped { record, revision: 30 });
    let fact = Fact::Worker { topology: "t".into(), worker: 0, record };
    let commands = bench.on(Event::Store(vec![fact]));
    let table = instructions(&commands).unwrap().table.clone().unwrap();
    assert_eq!((table.version, table.workers[0].since_version), (30, 30), "{table:?}");
    let vanished = Fact::Worker { topology: "t".into(), worker: 0, record: None };
    let commands = bench.on(Event::Store(vec![vanished]));
    assert_eq!(instructions(&commands), None, "a vanished key changes no route");
}

#[test]
fn a_supervisor_that_stops_is_over_when_every_slot_is_empty() {
    let mut bench = running();
    let commands = bench.on(Event::Shutdown);
    assert_eq!(instructions(&commands).unwrap().state, Some(DesiredState::Draining));
    bench.slot(0, SlotEvent::Heard { drained: true, released: None });
    let epoch = Epoch { revision: 5, restarts: 0 };
    bench.slot(0, SlotEvent::Exited { epoch, exit: Exit::default() });
    assert!(!bench.engine.is_over(), "its folder is still there");
    bench.slot(0, SlotEvent::Cleaned);
    assert!(bench.engine.is_over(), "{:?}", bench.engine);
}

#[test]
fn a_supervisor_that_stood_still_kills_nobody() {
    let mut bench = running();
    bench.on(Event::Tick);
    bench.now += Duration::from_mins(5);
    let commands = bench.on(Event::Tick);
    assert_eq!(commands, [], "nobody could have been heard");
    bench.now += Duration::from_millis(900);
    assert_eq!(bench.on(Event::Tick), [], "not yet quiet");
}

#[test]
fn a_worker_is_told_what_it_logs_whenever_that_changes() {
    let mut bench = running();
    let filter = LogFilter { filter: "debug".into(), until_ms: 9 };
    let Fact::Topology(id, Some(mut record)) = topology(TopologyStatus::Active) else {
        panic!("a topology is there");
    };
    record.log_filter = Some(filter.clone());
    let commands = bench.on(Event::Store(vec![Fact::Topology(id, Some(record))]));
    assert_eq!(instructions(&commands).and_then(|it| it.log.clone()), Some(filter));
    let commands = bench.on(Event::Store(vec![topology(TopologyStatus::Active)]));
    assert_eq!(instructions(&commands).map(|it| it.log.clone()), Some(None), "as at first");
}
