//! What is foreseen is what is done, and foreseeing changes nothing.

use super::super::command::RefusalKind;
use super::super::event::{Request, Verb};
use super::world::{World, submission};

fn request(verb: Verb) -> Request {
    Request { id: String::new(), verb }
}

fn rebalance(workers: u32) -> Verb {
    Verb::Rebalance { name: "clicks".to_owned(), workers, executors: [].into() }
}

/// Worker, supervisor and slot of all workers of a topology.
fn placed(world: &World, id: &str) -> Vec<(u32, String, u32)> {
    let records = world.engine.view().in_force(id).map(|it| &it.record);
    records.map(|it| (it.worker, it.supervisor.clone(), it.slot)).collect()
}

#[test]
fn a_submission_goes_where_it_was_foreseen_to_go_and_foreseeing_writes_nothing() {
    let mut world = World::new(&[("a", 1), ("b", 1)]);
    let plans = world.plans.len();
    let asked = request(submission("clicks", 2));
    let foreseen = world.engine.forecast(&asked, world.now()).expect("it would be taken");
    assert!(foreseen.changes && foreseen.before.is_empty(), "{foreseen:?}");
    assert!(foreseen.tasks_started > 0 && foreseen.tasks_moved == 0, "{foreseen:?}");
    assert_eq!(world.plans.len(), plans, "nothing is written");
    let id = world.submit("clicks", 2);
    let after = foreseen.after.iter().map(|it| (it.worker, it.supervisor.clone(), it.slot));
    assert_eq!(after.collect::<Vec<_>>(), placed(&world, &id));
}

#[test]
fn a_rebalance_that_would_change_nothing_says_so_and_one_that_would_says_what() {
    let mut world = World::new(&[("a", 2), ("b", 2)]);
    world.submit("clicks", 1);
    let look = |world: &World, workers| {
        world.engine.forecast(&request(rebalance(workers)), world.now()).expect("it is allowed")
    };
    let same = look(&world, 1);
    assert!(!same.changes && same.before == same.after && same.tasks_moved == 0, "{same:?}");
    let more = look(&world, 2);
    assert!(more.changes && more.after.len() == 2 && more.tasks_moved > 0, "{more:?}");
    let most = look(&world, 9);
    assert!(most.after.len() < 9 && !most.explanation.is_empty(), "{most:?}");
}

#[test]
fn what_would_be_refused_or_would_wait_is_foreseen_as_that() {
    let mut world = World::new(&[("a", 1)]);
    world.submit("clicks", 1);
    let taken = world.engine.forecast(&request(submission("clicks", 1)), world.now());
    assert_eq!(taken.expect_err("the name is taken").kind, RefusalKind::AlreadyExists);
    let other = world.engine.forecast(&request(submission("other", 1)), world.now());
    let other = other.expect("it would be taken");
    assert!(!other.changes && other.explanation.contains("no slot is free"), "{other:?}");
}
