//! Stories of the engine: what happens, and what it wants done.

mod detection;
mod forecast;
mod insight;
mod log_level;
mod moves;
mod several;
pub(crate) mod world;

use std::time::Duration;

use coordination::Key;
use proto::store::TaskResult;
use proto::supervisor::{LinkReport, TaskReport};

use super::command::{Refusal, RefusalKind, Reply};
use super::event::{Event, Record, Request, Verb, WriteFailure};
use super::liveness::Verdict;
use world::{World, submission};

const SECOND: Duration = Duration::from_secs(1);

fn named(name: &str) -> String {
    name.to_owned()
}

#[test]
fn a_submission_with_nowhere_to_run_waits_and_says_why() {
    let mut world = World::new(&[]);
    let id = world.submit("clicks", 2);
    assert_eq!(world.engine.unplaced(&id), Some("waiting: no supervisor is up"));
    world.register("a", 0);
    assert_eq!(world.engine.unplaced(&id), Some("waiting: no slot is free"));
    world.register("b", 2);
    assert_eq!(world.placed(&id).len(), 2, "it is placed as soon as there are slots");
    assert_eq!(world.engine.unplaced(&id), None);
}

#[test]
fn with_too_few_slots_it_runs_on_fewer_workers_and_says_so() {
    let mut world = World::new(&[("a", 1)]);
    let id = world.submit("clicks", 2);
    assert_eq!(world.placed(&id).len(), 1);
    let reason = &world.engine.view().topologies[&id].record.reason;
    assert_eq!(reason, "runs on 1 of 2 workers: there are no more free slots");
}

#[test]
fn two_topologies_never_share_a_slot() {
    let mut world = World::new(&[("a", 2)]);
    let (first, second) = (world.submit("clicks", 1), world.submit("views", 1));
    let slot = |placed: &[String]| placed[0].split('#').next().map(str::to_owned);
    assert_ne!(slot(&world.placed(&first)), slot(&world.placed(&second)));
}

#[test]
fn a_repeated_request_gets_the_first_answer_and_changes_nothing() {
    let mut world = World::new(&[("a", 2)]);
    let first = world.ask("r-1", submission("clicks", 1));
    let writes = world.plans.len();
    assert_eq!(world.ask("r-1", submission("clicks", 1)), first);
    assert_eq!(world.plans.len(), writes, "nothing was written");
    let other = world.ask("r-1", Verb::Activate(named("clicks"))).unwrap_err();
    assert!(other.why.contains("used for `submit` before"), "{other:?}");
}

#[test]
fn refusals_say_what_why_and_what_to_do() {
    let mut world = World::new(&[("a", 2)]);
    world.submit("clicks", 1);
    let wait = Duration::ZERO;
    let rebalance = |component: &str, executors| Verb::Rebalance {
        name: named("clicks"),
        workers: 0,
        executors: [(named(component), executors)].into(),
    };
    let Verb::Submit(mut broken) = submission("../etc", 9_999) else { unreachable!() };
    broken.spec.components[1].inputs[0].component = named("line");
    let table = [
        (submission("clicks", 1), RefusalKind::AlreadyExists, "runs already"),
        (Verb::Activate(named("click")), RefusalKind::NotFound, "did you mean `clicks`?"),
        (Verb::Kill { name: named("x"), wait }, RefusalKind::NotFound, "no topology"),
        (Verb::Submit(broken), RefusalKind::Invalid, "9999 workers are more"),
        (rebalance("cont", 1), RefusalKind::Invalid, "did you mean `count`?"),
        (rebalance("count", 5), RefusalKind::Invalid, "it has 4 tasks"),
        (rebalance("count", 0), RefusalKind::Invalid, "cannot have 0 executors"),
    ];
    for (verb, kind, why) in table {
        let refusal = world.ask("", verb).unwrap_err();
        assert_eq!(refusal.kind, kind, "{refusal:?}");
        assert!(refusal.why.contains(why), "{refusal:?}");
        assert!(refusal.what.starts_with("failed to") && !refusal.fix.is_empty(), "{refusal:?}");
    }
}

#[test]
fn all_mistakes_of_a_submission_are_told_at_once() {
    let Verb::Submit(mut broken) = submission("../etc", 9_999) else { unreachable!() };
    broken.spec.components[1].inputs[0].component = named("line");
    let refusal = World::new(&[]).ask("", Verb::Submit(broken)).unwrap_err();
    for part in ["may not start with", "line", "9999 workers"] {
        assert!(refusal.why.contains(part), "{part} is missing in {}", refusal.why);
    }
}

#[test]
fn a_kill_waits_until_the_workers_have_drained_and_leaves_nothing() {
    let mut world = World::new(&[("a", 2), ("b", 2)]);
    let id = world.submit("clicks", 2);
    world.pass(SECOND, &["a", "b"]);
    world.kill("clicks", 60 * SECOND);
    world.pass(SECOND, &["a", "b"]);
    assert_eq!(world.placed(&id).len(), 2, "something is still pending");
    let busy = world.engine.reports().supervisors["b"].report.slots.clone();
    let drained = |slot: &mut proto::supervisor::SlotReport| {
        slot.report.as_mut().unwrap().drained = true;
    };
    world.report("a", drained);
    world.report("b", drained);
    assert_eq!(world.placed(&id).len(), 0, "the last word of the last worker is enough");
    world.clock.advance(SECOND / 10);
    world.report_slots("a", Vec::new());
    world.report_slots("b", busy);
    assert_eq!(world.status(&id), "killed", "one worker is still being stopped");
    assert_eq!(world.removed.len(), 0);
    world.report_slots("b", Vec::new());
    assert_eq!(world.status(&id), "gone");
    assert!(world.engine.view().names.is_empty(), "its name is free again");
    assert_eq!(world.removed, ["d".repeat(64)], "nobody uses its binary");
}

#[test]
fn a_kill_does_not_wait_longer_than_it_was_told_to() {
    let mut world = World::new(&[("a", 2)]);
    let id = world.submit("clicks", 1);
    world.kill("clicks", 3 * SECOND);
    world.pass(SECOND * 29 / 10, &["a"]);
    assert_eq!(world.placed(&id).len(), 1);
    world.pass(SECOND / 5, &["a"]);
    assert_eq!(world.placed(&id).len(), 0);
    world.pass(SECOND / 5, &["a"]);
    assert_eq!(world.status(&id), "gone");
}

#[test]
fn what_never_ran_is_gone_at_once_and_a_shared_binary_stays() {
    let mut world = World::new(&[]);
    let (first, second) = (world.submit("clicks", 1), world.submit("views", 1));
    world.kill("clicks", 60 * SECOND);
    assert_eq!(world.status(&first), "gone");
    assert!(world.removed.is_empty(), "the other topology uses it");
    world.kill("views", 60 * SECOND);
    assert_eq!((world.status(&second), world.removed.len()), ("gone", 1));
}

#[test]
fn a_topology_whose_workers_are_all_finished_keeps_its_results_until_it_is_killed() {
    let mut world = World::new(&[("a", 2), ("b", 2)]);
    let id = world.submit("clicks", 2);
    let finished = |slot: &mut proto::supervisor::SlotReport| {
        let report = slot.report.as_mut().unwrap();
        report.finished = true;
        let (task, json) = (slot.worker, format!("{}", slot.worker));
        report.results = vec![TaskResult { task, component: named("count"), json }];
        let component = named("lines");
        report.tasks = vec![TaskReport { component, acked: 5, ..TaskReport::default() }];
    };
    world.report("a", finished);
    assert_eq!(world.status(&id), "active", "one is not finished yet");
    world.report("b", finished);
    assert_eq!(world.status(&id), "finished");
    assert_eq!(world.placed(&id).len(), 0, "its workers are to stop");
    assert_eq!(world.engine.view().results.len(), 2);
    let told = &world.engine.reports().topologies[&id];
    assert_eq!(told.dead["lines"].acked, 10, "what they counted outlives them");
    let refusal = world.ask("", Verb::Activate(named("clicks"))).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NotNow);
    world.kill("clicks", 60 * SECOND);
    world.pass(SECOND, &["a", "b"]);
    assert_eq!((world.status(&id), world.engine.view().results.len()), ("gone", 0));
}

#[test]
fn a_lost_machine_is_replaced_and_nothing_else_moves() {
    let mut world = World::new(&[("a", 1), ("b", 1), ("c", 1)]);
    let id = world.submit("clicks", 2);
    world.pass(4 * SECOND, &["a", "b", "c"]);
    let before = world.placed(&id);
    let down = |slot: &mut proto::supervisor::SlotReport| {
        let link = LinkReport { peer: 0, connected: false, ..LinkReport::default() };
        slot.report.as_mut().unwrap().links = vec![link];
    };
    for _ in 0..16 {
        world.clock.advance(SECOND / 10);
        world.report("b", down);
        world.report("c", |_| {});
        world.tell(Event::Tick);
    }
    let after = world.placed(&id);
    assert_eq!(after[1], before[1], "the other worker keeps its place and its epoch");
    assert!(after[0].starts_with("0@c:0#"), "{after:?}");
    assert_ne!(after[0].split('#').nth(1), before[0].split('#').nth(1), "a new epoch");
    let held: Vec<_> = world.engine.view().in_force(&id).collect();
    assert!(held[0].record.executors.iter().all(|executor| executor.incarnation == 8));
}

#[test]
fn a_supervisor_that_is_away_while_its_workers_live_loses_nothing_for_30_seconds() {
    let mut world = World::new(&[("a", 1), ("b", 2)]);
    let id = world.submit("clicks", 2);
    let before = world.placed(&id);
    let up = |slot: &mut proto::supervisor::SlotReport| {
        let link = LinkReport { peer: 1, connected: true, ..LinkReport::default() };
        slot.report.as_mut().unwrap().links = vec![link];
    };
    let pass = |world: &mut World, seconds: u32| {
        for _ in 0..seconds * 10 {
            world.clock.advance(SECOND / 10);
            world.report("b", up);
            world.tell(Event::Tick);
        }
    };
    world.change(Key::Supervisor { id: named("a") }, None);
    pass(&mut world, 29);
    assert_eq!(world.placed(&id), before, "a key that vanished is no evidence");
    assert_eq!(world.engine.verdict("a", world.now()), Verdict::Away);
    pass(&mut world, 2);
    assert!(world.placed(&id)[1].starts_with("1@b:1#"), "{:?}", world.placed(&id));
}

#[test]
fn a_nimbus_that_stood_still_moves_nothing_whatever_wakes_it() {
    let mut world = World::new(&[("a", 1), ("b", 1)]);
    let id = world.submit("clicks", 1);
    world.pass(4 * SECOND, &["a", "b"]);
    let before = world.placed(&id);
    world.clock.advance(60 * SECOND);
    world.change(Key::Leader, None);
    assert_eq!(world.placed(&id), before, "a change of the store came before the tick");
    world.pass(4 * SECOND, &["a", "b"]);
    assert_eq!(world.placed(&id), before, "reports go on");
}

#[test]
fn a_supervisor_that_cannot_register_and_reports_loses_nothing() {
    let mut world = World::new(&[("a", 1), ("b", 1)]);
    let id = world.submit("clicks", 1);
    let before = world.placed(&id);
    world.change(Key::Supervisor { id: named("a") }, None);
    world.succeed();
    world.pass(20 * SECOND, &["a", "b"]);
    assert_eq!(world.placed(&id), before, "the store is full, and the worker runs");
    world.pass(20 * SECOND, &["b"]);
    assert_ne!(world.placed(&id), before, "now it is silent");
}

#[test]
fn a_slot_that_a_late_write_gave_away_twice_is_left_by_the_older_worker() {
    let mut world = World::new(&[("a", 2), ("b", 1)]);
    let (first, second) = (world.submit("clicks", 1), world.submit("views", 1));
    let view = world.engine.view();
    let (old, new) =
        (view.in_force(&first).next().unwrap(), view.in_force(&second).next().unwrap());
    let mut late = new.record.clone();
    (late.supervisor, late.slot) = (old.record.supervisor.clone(), old.record.slot);
    let (generation, worker) = (late.generation, late.worker);
    let key = Key::Assignment { topology: second.clone(), generation, worker };
    world.change(key, Some(Record::Assignment(late)));
    let slot = |placed: &[String]| placed[0].split('#').next().map(str::to_owned);
    let (left, stays) = (slot(&world.placed(&first)), slot(&world.placed(&second)));
    assert_ne!(left, stays, "the older one was moved");
    assert!(world.engine.view().crowded().is_empty());
}

#[test]
fn a_new_leader_shows_nothing_before_it_has_seen_what_others_wrote() {
    let mut world = World::new(&[("a", 1)]);
    world.submit("clicks", 1);
    let elected = world.engine.view().revision + 1;
    world.tell(Event::Leads { elected });
    assert!(!world.engine.is_current(), "it was elected at a revision that it has not seen");
    world.change(Key::Leader, None);
    assert!(world.engine.is_current());
}

#[test]
fn a_new_leader_moves_nothing_and_keeps_the_promises_of_the_old_one() {
    let mut world = World::new(&[("a", 1), ("b", 1)]);
    let (id, other) = (world.submit("clicks", 1), world.submit("views", 1));
    world.kill("clicks", 60 * SECOND);
    let before = (world.placed(&id), world.placed(&other));
    world.succeed();
    world.pass(2 * SECOND, &["b"]);
    world.pass(SECOND * 9 / 10, &[]);
    assert_eq!((world.placed(&id), world.placed(&other)), before);
    assert!(world.plans.is_empty(), "nothing was written: {:?}", world.plans);
    world.report("a", |slot| slot.report.as_mut().unwrap().drained = true);
    world.pass(SECOND / 5, &["a", "b"]);
    assert_eq!(world.status(&id), "gone", "the kill was finished");
    assert_eq!(world.placed(&other), before.1);
}

#[test]
fn a_decision_waits_until_the_store_shows_the_one_before() {
    let mut world = World::new(&[("a", 4)]);
    world.submit("clicks", 1);
    let ask = |ticket, name: &str| Event::Asked {
        ticket,
        request: Request { id: String::new(), verb: submission(name, 1) },
    };
    let now = world.now();
    assert_eq!(world.engine.handle(ask(101, "views"), now).len(), 1, "it is being written");
    assert_eq!(world.engine.handle(ask(102, "views"), now).len(), 0, "this one waits");
    let written = world.engine.handle(Event::Written { revision: 1_000 }, now);
    assert_eq!(written, [], "written, but not shown");
}

#[test]
fn a_write_that_failed_is_said_to_be_unknown_and_tried_again_with_a_new_generation() {
    let mut world = World::new(&[]);
    let id = world.submit("clicks", 1);
    let now = world.now();
    let record = proto::store::SupervisorRecord { slots: 1, ..Default::default() };
    let fact = super::event::Fact {
        key: Key::Supervisor { id: named("a") },
        record: Some(Record::Supervisor(record)),
        revision: 99,
    };
    assert_eq!(world.engine.handle(Event::Changes(vec![fact]), now).len(), 1, "it is placed");
    let failure = WriteFailure::Unavailable(named("no answer"));
    assert_eq!(world.engine.handle(Event::NotWritten(failure), now), [], "not at once");
    world.clock.advance(SECOND);
    world.tell(Event::Tick);
    let generation = world.engine.view().assigned[&id].generation;
    assert_eq!(generation, 2, "the first one may still be written by the lost request");
}

#[test]
fn who_does_not_lead_sends_people_to_who_does() {
    let mut world = World::new(&[]);
    let leader = proto::store::LeaderRecord { address: named("b:1"), ..Default::default() };
    world.change(Key::Leader, Some(Record::Leader(leader)));
    world.tell(Event::Follows);
    let refusal: Result<Reply, Refusal> = world.ask("", submission("clicks", 1));
    assert_eq!(refusal.unwrap_err().kind, RefusalKind::NotLeader(Some(named("b:1"))));
    world.tell(Event::Leads { elected: 11 });
    world.tell(Event::StoreSilent(named("it is down")));
    let refusal = world.ask("", submission("clicks", 1)).unwrap_err();
    assert_eq!((refusal.kind, refusal.why.as_str()), (RefusalKind::StoreSilent, "it is down"));
}
