//! Stories of an engine among several, and on a store in trouble.

use std::collections::BTreeSet;
use std::time::Duration;

use coordination::{Key, Watermark};
use proto::store::{
    AssignedRecord, AssignmentRecord, LeaderRecord, NimbusRecord, SupervisorRecord,
};

use super::super::command::RefusalKind;
use super::super::event::{Event, Health, Record, Stale, Verb, WriteFailure};
use super::named;
use super::world::{World, submission};

const SECOND: Duration = Duration::from_secs(1);

fn held(digests: &[String]) -> Event {
    Event::Holds(digests.iter().cloned().collect::<BTreeSet<_>>())
}

#[test]
fn a_topology_without_its_binary_is_left_alone_and_others_are_placed() {
    let mut world = World::new(&[]);
    let lacking = world.submit("clicks", 1);
    let record = world.engine.view().topologies[&lacking].record.clone();
    world.tell(held(&[]));
    let why = world.engine.quarantine(&record).expect("nobody has its binary");
    assert!(why.contains("missing or damaged"), "{why}");
    world.register("a", 2);
    assert_eq!(world.placed(&lacking).len(), 0, "it could not start anywhere");
    world.tell(held(std::slice::from_ref(&record.digest)));
    assert_eq!(world.engine.quarantine(&record), None);
    assert_eq!(world.placed(&lacking).len(), 1, "it is placed when its binary is back");
    world.tell(held(&[]));
    assert_eq!(world.placed(&lacking).len(), 1, "what runs goes on");
    world.kill("clicks", Duration::ZERO);
    world.pass(SECOND, &["a"]);
    assert_eq!(world.status(&lacking), "gone", "a kill needs no binary");
}

#[test]
fn a_binary_that_another_nimbus_has_is_not_missing() {
    let mut world = World::new(&[("a", 1)]);
    let id = world.submit("clicks", 1);
    let record = world.engine.view().topologies[&id].record.clone();
    world.tell(held(&[]));
    assert!(world.engine.quarantine(&record).is_some());
    let other = NimbusRecord { digests: vec![record.digest.clone()], ..NimbusRecord::default() };
    let key = Key::Nimbus { id: named("b") };
    world.change(key.clone(), Some(Record::Nimbus(other)));
    assert_eq!(world.engine.quarantine(&record), None);
    world.change(key, None);
    assert!(world.engine.quarantine(&record).is_some(), "that nimbus is gone");
}

#[test]
fn on_a_store_that_takes_no_writes_nothing_is_tried_and_changes_are_refused() {
    let mut world = World::new(&[]);
    let id = world.submit("clicks", 1);
    let writes = world.plans.len();
    world.tell(Event::StoreHealth(Health::ReadOnly(named("full"))));
    world.register("a", 1);
    world.pass(5 * SECOND, &["a"]);
    assert_eq!(world.plans.len(), writes, "no write that the store would refuse");
    let refusal = world.ask("", Verb::Activate(named("clicks"))).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::StoreSilent);
    assert_eq!(refusal.why, "read-only: full");
    world.tell(Event::StoreHealth(Health::Fine));
    assert_eq!(world.placed(&id).len(), 1, "it goes on where it stopped");
}

#[test]
fn on_a_store_that_went_back_nothing_is_done_until_people_accept_it() {
    let mut world = World::new(&[("a", 1)]);
    let id = world.submit("clicks", 1);
    let writes = world.plans.len();
    let at = |revision| Watermark { revision, recovery: 0, went_back: false };
    world.tell(Event::StoreWentBack { seen: at(100), found: at(3) });
    world.pass(60 * SECOND, &[]);
    assert_eq!(world.plans.len(), writes, "no machine is lost, no worker moved");
    assert_eq!(world.placed(&id).len(), 1, "what was decided still stands");
    assert!(world.removed.is_empty(), "no binary goes");
    let refusal = world.ask("", submission("views", 1)).unwrap_err();
    assert!(refusal.fix.contains("squall recover"), "{refusal:?}");
    world.tell(Event::Snapshot { facts: Vec::new(), revision: 4 });
    assert_eq!(world.status(&id), "gone", "people accepted that");
    assert_eq!(world.removed, ["d".repeat(64)]);
}

#[test]
fn a_write_that_the_store_refused_as_stale_is_counted() {
    let mut world = World::new(&[]);
    let now = world.now();
    let request = super::Request { id: String::new(), verb: submission("clicks", 1) };
    let asked = world.engine.handle(Event::Asked { ticket: 77, request }, now);
    assert_eq!(asked.len(), 1, "it is being written");
    let answers = world.engine.handle(Event::NotWritten(WriteFailure::Fenced), now);
    assert_eq!(answers.len(), 1, "the client may ask the new leader: {answers:?}");
    world.tell(Event::Refused(Stale::Keep));
    let refused = world.engine.refused();
    assert_eq!(refused["stale-leader-write"], 1);
    assert_eq!(refused["stale-leader-binary"], 1);
}

#[test]
fn an_old_generation_that_somebody_put_in_force_is_replaced_by_the_newest() {
    let mut world = World::new(&[("a", 2)]);
    let id = world.submit("clicks", 1);
    world
        .ask("", Verb::Rebalance { name: named("clicks"), workers: 2, executors: [].into() })
        .unwrap();
    world.clock.advance(SECOND);
    world.report("a", |slot| slot.report.as_mut().unwrap().tasks.clear());
    world.pass(SECOND, &["a"]);
    let before = world.placed(&id);
    assert_eq!((before.len(), world.engine.view().assigned[&id].generation), (2, 2));
    let stale = AssignedRecord { generation: 1, workers: 1 };
    world.change(Key::Assigned { topology: id.clone() }, Some(Record::Assigned(stale)));
    assert_eq!(world.engine.view().assigned[&id].generation, 2, "it is put right at once");
    assert_eq!(world.placed(&id), before, "and nothing moved");
}

#[test]
fn who_drops_a_generation_has_what_would_still_put_it_in_force_refused() {
    let mut world = World::new(&[("a", 2)]);
    let id = world.submit("clicks", 1);
    // It was prepared, and the answer to its decision was never heard.
    let key = Key::Assignment { topology: id.clone(), generation: 2, worker: 0 };
    let prepared = AssignmentRecord { topology: id.clone(), generation: 2, ..Default::default() };
    world.change(key, Some(Record::Assignment(prepared)));
    let known = world.engine.view().topologies[&id].revision;
    world.pass(12 * SECOND, &["a"]);
    assert_eq!(world.plans.last().map(|plan| plan.purpose), Some("tidy up"));
    assert!(world.engine.view().stale_generations(&id).is_empty(), "it is gone");
    let now = world.engine.view().topologies[&id].revision;
    assert!(now > known, "what was decided on the record of before meets another one");
    let tidied = world.plans.len();
    world.pass(12 * SECOND, &["a"]);
    assert_eq!(world.plans.len(), tidied, "once is enough");
}

#[test]
fn a_supervisor_of_another_major_version_gets_nothing_and_one_of_another_minor_does() {
    let mut world = World::new(&[]);
    let register = |world: &mut World, version: &str| {
        let (id, version) = (named("a"), version.to_owned());
        let record = SupervisorRecord { id, version, slots: 1, ..SupervisorRecord::default() };
        world.change(Key::Supervisor { id: named("a") }, Some(Record::Supervisor(record)));
        world.pass(SECOND, &["a"]);
    };
    let id = world.submit("clicks", 1);
    register(&mut world, "7000.1.0");
    assert_eq!(world.placed(&id), [""; 0]);
    let why = world.engine.unplaced(&id).unwrap_or_default().to_owned();
    assert!(why.contains("not of our version") && why.contains("a (7000.1.0)"), "{why}");
    let (major, _) = crate::VERSION.split_once('.').unwrap();
    register(&mut world, &format!("{major}.7000.0"));
    assert_eq!(world.placed(&id).len(), 1, "it understands us");
}

#[test]
fn a_standby_says_what_it_does_not_know_and_who_leads() {
    let mut world = World::new(&[]);
    assert_eq!(world.engine.standby(), None, "it leads");
    let leader = LeaderRecord { address: named("b:1"), ..LeaderRecord::default() };
    world.change(Key::Leader, Some(Record::Leader(leader)));
    world.tell(Event::Follows);
    let said = world.engine.standby().expect("it does not lead");
    assert_eq!(said.leader, "b:1");
    assert!(said.unknown.contains("counters"), "{said:?}");
}
