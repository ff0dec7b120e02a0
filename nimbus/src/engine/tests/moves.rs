//! Rebalances: what moves, what waits for what, and what happens if somebody dies meanwhile.

use proto::store::ExecutorRecord;

use super::*;

fn rebalance(workers: u32, executors: &[(&str, u32)]) -> Verb {
    let executors = executors.iter().map(|(name, count)| (named(name), *count)).collect();
    Verb::Rebalance { name: named("clicks"), workers, executors }
}

/// The executors of each worker: their first tasks.
fn tasks(world: &World, id: &str) -> Vec<Vec<u32>> {
    let first = |executor: &ExecutorRecord| executor.first_task;
    let held = world.engine.view().in_force(id);
    held.map(|held| held.record.executors.iter().map(first).collect()).collect()
}

#[test]
fn a_rebalance_moves_at_once_and_is_done_when_what_moved_was_let_go_of() {
    let mut world = World::new(&[("a", 4)]);
    let id = world.submit("clicks", 1);
    world.ask("", Verb::Deactivate(named("clicks"))).unwrap();
    let before = world.placed(&id);
    world.ask("", rebalance(2, &[("count", 4)])).unwrap();
    assert_eq!((world.status(&id), world.placed(&id).len()), ("rebalancing", 2));
    assert_eq!(world.placed(&id)[0], before[0], "the worker keeps its place and its epoch");
    let executors: usize = tasks(&world, &id).iter().map(Vec::len).sum();
    assert_eq!(executors, 6, "2 of lines and 4 of count");
    world.pass(60 * SECOND, &["a"]);
    assert_eq!(world.status(&id), "rebalancing", "time alone does not end it");
    let why = world.engine.moving(&id);
    assert_eq!(why.as_deref(), Some("moving: worker 0 has to finish its part"));
    world.let_go("a");
    assert_eq!(world.engine.moving(&id), None);
    let mut held = world.engine.view().in_force(&id);
    let waits = |it: &ExecutorRecord| !it.formers.is_empty();
    assert!(!held.any(|held| held.record.executors.iter().any(waits)), "nobody waits any more");
    drop(held);
    assert_eq!(world.status(&id), "inactive", "as it was before");
}

#[test]
fn a_worker_that_is_one_too_many_is_emptied_before_it_goes() {
    let mut world = World::new(&[("a", 1), ("b", 1)]);
    let id = world.submit("clicks", 2);
    let before = world.placed(&id);
    world.ask("", rebalance(1, &[])).unwrap();
    let now = tasks(&world, &id);
    assert_eq!((now[0].len(), now[1].len()), (4, 0), "one has all, the other nothing: {now:?}");
    assert_eq!(world.placed(&id), before, "both run on");
    world.let_go("b");
    assert_eq!((world.status(&id), world.placed(&id)), ("active", before[..1].to_vec()));
}

#[test]
fn a_second_rebalance_waits_until_the_first_is_done() {
    let mut world = World::new(&[("a", 3)]);
    let id = world.submit("clicks", 1);
    world.ask("", rebalance(2, &[])).unwrap();
    let first = tasks(&world, &id);
    world.ask("", rebalance(3, &[])).unwrap();
    world.ask("", rebalance(0, &[("count", 1)])).unwrap();
    world.pass(SECOND, &["a"]);
    assert_eq!(tasks(&world, &id), first, "nothing happens before the first is done");
    world.let_go("a");
    let second = tasks(&world, &id);
    assert_eq!((world.status(&id), second.len()), ("rebalancing", 3), "then both at once");
    assert_eq!(second.concat().len(), 3, "2 of lines and 1 of count: {second:?}");
    world.let_go("a");
    assert_eq!(world.status(&id), "active");
}

#[test]
fn a_machine_that_is_lost_in_the_middle_is_replaced_and_the_rebalance_goes_on() {
    let mut world = World::new(&[("a", 1), ("b", 1), ("c", 1)]);
    let id = world.submit("clicks", 1);
    world.pass(4 * SECOND, &["a", "b", "c"]);
    let first = world.placed(&id)[0].clone();
    world.ask("", rebalance(2, &[])).unwrap();
    let gone = world.placed(&id)[1].split(['@', ':']).nth(1).map(str::to_owned).unwrap();
    let left: Vec<&str> = ["a", "b", "c"].into_iter().filter(|it| **it != gone).collect();
    world.pass(SECOND, &left);
    let down = |slot: &mut proto::supervisor::SlotReport| {
        let link = LinkReport { peer: 1, connected: false, ..LinkReport::default() };
        slot.report.as_mut().unwrap().links = vec![link];
    };
    for _ in 0..40 {
        world.clock.advance(SECOND / 10);
        left.iter().for_each(|supervisor| world.report(supervisor, down));
        world.tell(Event::Tick);
    }
    let placed = world.placed(&id);
    assert_eq!((placed.len(), &placed[0]), (2, &first), "only the lost one is placed anew");
    assert!(!placed[1].contains(&format!("@{gone}:")), "{placed:?} without {gone}");
    assert_eq!(world.status(&id), "rebalancing", "the first has not let go");
    let held: Vec<_> = world.engine.view().in_force(&id).cloned().collect();
    let formers = |executor: &ExecutorRecord| executor.formers.len();
    let waits: Vec<_> = held[1].record.executors.iter().map(formers).collect();
    assert_eq!(waits, [1, 1], "they wait for the first, and not for the lost one");
    left.iter().for_each(|supervisor| world.let_go(supervisor));
    assert_eq!(world.status(&id), "active");
}

#[test]
fn a_new_leader_goes_on_with_a_rebalance_where_the_old_one_stopped() {
    let mut world = World::new(&[("a", 2)]);
    let id = world.submit("clicks", 1);
    world.ask("", rebalance(2, &[])).unwrap();
    let (placed, moved) = (world.placed(&id), tasks(&world, &id));
    world.succeed();
    world.pass(SECOND, &["a"]);
    assert_eq!((world.placed(&id), tasks(&world, &id)), (placed, moved), "nothing moves twice");
    world.let_go("a");
    assert_eq!(world.status(&id), "active");
}
