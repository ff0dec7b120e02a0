//! Who is taken for lost, and who is not: stories and random histories.

use std::collections::BTreeSet;
use std::time::Duration;

use coordination::Key;
use proptest::prelude::*;
use proto::store::{Epoch, SupervisorRecord};
use proto::supervisor::{LinkReport, SupervisorReport, WorkerReport};

use super::super::event::{Event, Record};
use super::super::liveness::Verdict;
use super::world::{World, news};

const STEP: Duration = Duration::from_millis(100);

/// Lets time pass in steps; who is to be heard of is, in each of them.
fn pass(world: &mut World, time: Duration, heard: impl Fn(&mut World)) {
    for _ in 0..time.as_millis() / STEP.as_millis() {
        world.clock.advance(STEP);
        world.tell(Event::Tick);
        heard(world);
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Two machines with a worker of one topology each, calm and heard of.
fn two_machines() -> (World, String) {
    let mut world = World::new(&[("a", 2), ("b", 2)]);
    let id = world.submit("clicks", 2);
    world.pass(seconds(40), &["a", "b"]);
    (world, id)
}

#[test]
fn a_supervisor_is_away_while_one_of_its_workers_reports_by_itself() {
    let (mut world, id) = two_machines();
    let before = world.placed(&id);
    pass(&mut world, seconds(29), |world| {
        world.report("b", |_| {});
        world.news(&id, 0);
    });
    assert_eq!(world.engine.verdict("a", world.now()), Verdict::Away);
    assert_eq!(world.placed(&id), before, "nothing moves");
    assert!(world.engine.reports().worker(&id, 0).is_some_and(|live| live.direct), "it is shown");

    world.report("a", |_| {});
    assert_eq!(world.engine.verdict("a", world.now()), Verdict::Alive, "its next life reports");
    world.pass(seconds(5), &["a", "b"]);
    assert_eq!(world.placed(&id), before, "and nothing has moved");
    let live = world.engine.reports().worker(&id, 0).expect("it is heard of");
    assert!(!live.direct, "through its supervisor again");
}

#[test]
fn a_machine_of_which_nothing_is_heard_is_given_up_within_three_seconds() {
    let (mut world, id) = two_machines();
    world.pass(ms(2_300), &["b"]);
    assert_eq!(world.engine.verdict("a", world.now()), Verdict::Silent);
    assert!(world.placed(&id)[0].starts_with("0@a"), "its workers have time to reach nimbus");
    world.pass(ms(500), &["b"]);
    assert!(world.placed(&id)[0].starts_with("0@b"), "{:?}", world.placed(&id));
}

/// "b" reports, and of its link to the worker on "a".
fn report_of_link(world: &mut World, connected: bool) {
    world.report("b", |slot| {
        let link = LinkReport { peer: 0, connected, ..LinkReport::default() };
        slot.report = Some(WorkerReport { links: vec![link], ..WorkerReport::default() });
    });
}

#[test]
fn a_machine_whose_connections_all_ended_is_given_up_within_a_second() {
    let (mut world, id) = two_machines();
    world.tell(Event::HungUp("a".to_owned()));
    pass(&mut world, ms(600), |world| report_of_link(world, false));
    assert!(world.placed(&id)[0].starts_with("0@a"), "who lives has time to dial again");
    pass(&mut world, ms(300), |world| report_of_link(world, false));
    assert!(world.placed(&id)[0].starts_with("0@b"), "{:?}", world.placed(&id));
}

#[test]
fn a_worker_that_reported_by_itself_and_hung_up_is_no_sign_of_life() {
    let (mut world, id) = two_machines();
    world.tell(Event::HungUp("a".to_owned()));
    world.news(&id, 0);
    pass(&mut world, ms(700), |world| report_of_link(world, false));
    assert_eq!(world.engine.verdict("a", world.now()), Verdict::Alive, "not in question yet");
    pass(&mut world, ms(200), |world| report_of_link(world, false));
    assert_eq!(
        world.engine.verdict("a", world.now()),
        Verdict::Away,
        "its worker has just reported"
    );
    world.tell(Event::WorkerHungUp(id.clone(), 0));
    pass(&mut world, ms(200), |world| report_of_link(world, false));
    assert!(world.placed(&id)[0].starts_with("0@b"), "{:?}", world.placed(&id));
}

#[test]
fn a_stream_of_reports_that_ended_proves_nothing_while_a_link_is_up_or_another_stream_came() {
    let (mut world, id) = two_machines();
    let before = world.placed(&id);
    world.tell(Event::HungUp("a".to_owned()));
    pass(&mut world, seconds(20), |world| report_of_link(world, true));
    assert_eq!(world.engine.verdict("a", world.now()), Verdict::Away, "its workers live");
    world.report("a", |_| {});
    pass(&mut world, ms(1_300), |world| report_of_link(world, false));
    assert_eq!(world.engine.verdict("a", world.now()), Verdict::Alive, "this stream has not ended");
    assert_eq!(world.placed(&id), before);
}

#[test]
fn a_nimbus_that_hears_nobody_blames_nobody() {
    let (mut world, id) = two_machines();
    let before = world.placed(&id);
    world.pass(seconds(20), &[]);
    let verdicts = ["a", "b"].map(|it| world.engine.verdict(it, world.now()));
    assert_eq!(verdicts, [Verdict::Silent, Verdict::Silent], "it may be nimbus that is cut off");
    world.pass(seconds(5), &["a", "b"]);
    assert_eq!(world.placed(&id), before, "nothing has moved");
}

#[test]
fn a_nimbus_that_stood_still_takes_old_news_for_what_they_are() {
    let (mut world, id) = two_machines();
    let before = world.placed(&id);
    world.clock.advance(seconds(600));
    // The report of one supervisor is the first thing that it reads; that of the other comes next.
    world.report("b", |_| {});
    assert_eq!(world.placed(&id), before, "the other is not blamed");
    world.pass(seconds(5), &["a", "b"]);
    assert_eq!(world.placed(&id), before);
}

#[test]
fn after_a_standstill_machines_are_given_up_one_at_a_time() {
    let names = ["a", "b", "c", "d"];
    let mut world = World::new(&names.map(|name| (name, 1)));
    let id = world.submit("clicks", 3);
    world.register("e", 4);
    world.pass(seconds(40), &["a", "b", "c", "d", "e"]);
    world.clock.advance(seconds(5));
    let moved = |world: &World| world.placed(&id).iter().filter(|it| it.contains("@e")).count();
    let mut seen = BTreeSet::new();
    for _ in 0..150 {
        world.pass(STEP, &["e"]);
        seen.insert(moved(&world));
    }
    assert!(seen.contains(&1) && seen.contains(&2), "all at once: {seen:?}");
    assert_eq!(moved(&world), 3, "in the end all have moved");
}

#[test]
fn a_machine_that_comes_and_goes_keeps_its_work_and_gets_no_more() {
    let (mut world, id) = two_machines();
    for incarnation in 1..=3 {
        let record =
            SupervisorRecord { id: "a".to_owned(), slots: 2, incarnation, ..Default::default() };
        world.change(Key::Supervisor { id: "a".to_owned() }, Some(Record::Supervisor(record)));
        let reports = |world: &mut World| {
            let slots = world.engine.reports().supervisors["a"].report.slots.clone();
            let supervisor = "a".to_owned();
            let report = SupervisorReport { supervisor, slots, incarnation, ..Default::default() };
            world.tell(Event::Report(Box::new(report.into())));
            world.report("b", |_| {});
        };
        pass(&mut world, seconds(2), reports);
    }
    assert!(world.engine.is_held_back("a", world.now()), "three restarts within seconds");
    let before = world.placed(&id);
    let other = world.submit("views", 1);
    assert!(world.placed(&other)[0].contains("@b"), "{:?}", world.placed(&other));
    let third = world.submit("likes", 1);
    let why = world.engine.unplaced(&third).unwrap_or_default().to_owned();
    assert!(why.contains("held back") && why.ends_with(": a"), "{why}");
    assert_eq!(world.placed(&id), before, "what runs there stays");
}

#[test]
fn a_report_of_an_older_life_of_a_supervisor_says_nothing_and_is_counted() {
    let (mut world, _) = two_machines();
    let record =
        SupervisorRecord { id: "a".to_owned(), slots: 2, incarnation: 7, ..Default::default() };
    world.change(Key::Supervisor { id: "a".to_owned() }, Some(Record::Supervisor(record)));
    pass(&mut world, ms(1_600), |world| {
        let (supervisor, incarnation) = ("a".to_owned(), 6);
        let report = SupervisorReport { supervisor, incarnation, ..Default::default() };
        world.tell(Event::Report(Box::new(report.into())));
        world.report("b", |_| {});
    });
    assert_ne!(world.engine.verdict("a", world.now()), Verdict::Alive, "it proves nothing");
    let turned = world.engine.reports().turned_away.clone();
    let all: Vec<_> = turned.iter().collect();
    assert_eq!(all, [("supervisor a", "6", "retired", 16)]);
}

#[test]
fn a_worker_that_reports_by_itself_is_told_when_it_is_retired() {
    let (mut world, id) = two_machines();
    let revision = world.engine.view().revision;
    let epoch = |revision, restarts| Epoch { revision, restarts };
    let retired = |world: &World, topology: &str, worker, epoch| {
        let retired = world.engine.retired(&news(topology, worker, epoch));
        retired.map(|it| (it.reason, it.table_version))
    };
    let assigned = world.placed(&id)[0].rsplit('#').next().unwrap().parse().unwrap();
    assert_eq!(retired(&world, &id, 0, epoch(assigned, 0)), None, "the one that is meant");
    assert_eq!(retired(&world, &id, 0, epoch(assigned, 9)), None, "a newer one of it");
    assert_eq!(retired(&world, &id, 0, epoch(revision + 5, 0)), None, "our view is behind");
    let newer = Some(("a newer incarnation has taken its place".to_owned(), revision));
    assert_eq!(retired(&world, &id, 0, epoch(assigned - 1, 9)), newer);
    let gone = Some(("its topology is gone".to_owned(), revision));
    assert_eq!(retired(&world, "other", 0, epoch(1, 0)), gone);
    let unassigned = Some(("it is not assigned any more".to_owned(), revision));
    assert_eq!(retired(&world, &id, 7, epoch(1, 0)), unassigned);

    world.news_of(&id, 0, epoch(assigned - 1, 9));
    let turned = world.engine.reports().turned_away.clone();
    assert_eq!(turned.iter().map(|it| (it.2, it.3)).collect::<Vec<_>>(), [("retired", 1)]);
    world.tell(Event::StoreSilent("it is down".to_owned()));
    assert_eq!(retired(&world, &id, 0, epoch(1, 0)), None, "what it knows may be old");
}

/// Who is heard of in a stretch of time: the machines, and their workers by themselves.
#[derive(Clone, Debug)]
struct Stretch {
    tenths: u64,
    machines: [bool; 3],
    workers: [bool; 3],
    /// Nimbus stands still for so long afterwards.
    still: u64,
}

fn stretch() -> impl Strategy<Value = Stretch> {
    let three = || any::<(bool, bool, bool)>().prop_map(|(a, b, c)| [a, b, c]);
    let still = prop_oneof![5 => Just(0), 1 => 2_u64..60];
    (1_u64..80, three(), three(), still).prop_map(|(tenths, machines, workers, still)| Stretch {
        tenths,
        machines,
        workers,
        still,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_machine_is_given_up_that_was_heard_of_and_none_for_what_nimbus_did_not_hear(
        history in prop::collection::vec(stretch(), 1..12),
    ) {
        let names = ["a", "b", "c"];
        let mut world = World::new(&names.map(|name| (name, 6)));
        let id = world.submit("clicks", 3);
        // For how many steps nothing was heard of a machine, and nothing of its supervisor.
        let mut quiet = [0_u64; 3];
        let mut away = [0_u64; 3];
        let mut deaf = 0;
        for Stretch { tenths, machines, workers, still } in history {
            for _ in 0..tenths {
                // Where each worker is; one that gets executors of a lost one has a new epoch there.
                let places = |world: &World| {
                    let placed = world.placed(&id).into_iter();
                    let place = |it: String| it.split('#').next().unwrap_or_default().to_owned();
                    placed.map(place).collect::<Vec<_>>()
                };
                let before = places(&world);
                // What is given up in this step is so for what was heard before it.
                let (silence, absence, deafness) = (quiet, away, deaf);
                world.clock.advance(STEP);
                world.tell(Event::Tick);
                for at in 0..3 {
                    if machines[at] {
                        world.report(names[at], |_| {});
                    }
                    let now = places(&world);
                    let here = now.iter().find(|it| it.contains(&format!("@{}:", names[at])));
                    let worker = here.and_then(|it| it.split('@').next()?.parse().ok());
                    let heard = machines[at] || (workers[at] && worker.is_some());
                    if let Some(worker) = worker.filter(|_| workers[at] && !machines[at]) {
                        world.news(&id, worker);
                    }
                    quiet[at] = if heard { 0 } else { quiet[at] + 1 };
                    away[at] = if machines[at] { 0 } else { away[at] + 1 };
                }
                deaf = if quiet.iter().all(|it| *it > 0) { deaf + 1 } else { 0 };
                let after = places(&world);
                let number = |it: &str| it.split('@').next().map(str::to_owned);
                let now = |was: &String| after.iter().find(|is| number(is) == number(was));
                for was in before.iter().filter(|was| now(was) != Some(was)) {
                    let is = now(was);
                    let at = names.iter().position(|it| was.contains(&format!("@{it}:"))).unwrap();
                    let steps = silence[at];
                    let may = steps >= 14 || absence[at] >= 290;
                    prop_assert!(may, "{was} became {is:?} after {steps} steps");
                    prop_assert!(!(15..=280).contains(&deafness), "nimbus heard nobody, {was} became {is:?}");
                }
            }
            world.clock.advance(seconds(still));
        }
    }
}
