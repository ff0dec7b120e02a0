//! Tables while executors move between live workers.

use super::{place, route};
use crate::engine::routing::{ExecutorPlace, Former, Misrouted, Released, Route, Table};

/// Worker 1 lets go of tasks 0..4 as of generation 7, of which worker 2 gets 0..2.
fn moving(released: Released) -> Table {
    let formers = vec![Former { worker: 1, revision: 3, generation: 7 }];
    let moved = ExecutorPlace { ownership: 2, formers, ..place(0, "count", 0..2) };
    let old = Route { released, ..route(1, (3, 0, 3)) };
    let new = Route { executors: vec![moved], ..route(2, (3, 0, 3)) };
    Table::new(10, vec![old, new]).of_generation(7)
}

fn may_start(table: &Table) -> bool {
    table.executor_of_task(0).is_some_and(|(_, place)| table.may_start(place))
}

fn released(generation: u64, holding: Option<std::ops::Range<u32>>) -> Released {
    Released { generation, holding: holding.into_iter().collect() }
}

#[test]
fn an_executor_starts_when_its_former_has_let_go_of_its_tasks() {
    let starts = |generation, holding: Option<std::ops::Range<u32>>| {
        may_start(&moving(released(generation, holding)))
    };
    assert!(!starts(0, None), "the former was not told anything yet");
    assert!(!starts(6, None), "it goes by the generation before");
    assert!(!starts(7, Some(0..2)), "it knows, and still has them");
    assert!(!starts(8, Some(1..4)), "it has one of them in another executor");
    assert!(starts(7, Some(2..4)), "what it still has are other tasks");
    assert!(starts(9, None), "it has let go of all");
}

#[test]
fn an_executor_starts_when_its_former_is_another_incarnation_or_gone() {
    let table = moving(released(6, None));
    let new = table.worker(2).cloned().expect("the new owner");
    let replaced = Table::new(11, vec![route(1, (9, 0, 9)), new.clone()]);
    assert!(may_start(&replaced), "its worker was placed anew");
    assert!(may_start(&Table::new(11, vec![new])), "it is not in the table");
}

#[test]
fn a_former_is_waited_for_until_it_goes_by_the_generation_that_moves() {
    let table = moving(released(0, None));
    assert!(table.is_awaited(1, 3, 6));
    assert!(!table.is_awaited(1, 3, 7), "it has said so");
    assert!(!table.is_awaited(1, 4, 0), "another incarnation is meant");
    assert!(!table.is_awaited(2, 3, 0), "nothing is expected of the new owner");
}

#[test]
fn a_batch_for_an_owner_to_come_waits_and_one_for_an_owner_that_was_is_refused() {
    let table = moving(Released::default());
    assert_eq!(table.misrouted(0, 3), Misrouted::Early, "the sender knows more");
    assert_eq!(table.misrouted(0, 2), Misrouted::Late, "that owner is another worker");
    assert_eq!(table.misrouted(0, 1), Misrouted::Late, "it has moved since");
    assert_eq!(table.misrouted(9, 0), Misrouted::Early, "nobody is known to have it");
    assert_eq!(Table::default().misrouted(0, 0), Misrouted::Early, "nothing is known at all");
}

#[test]
fn a_task_begins_anew_with_each_owner_and_each_incarnation() {
    let table = |worker, epoch, ownership| {
        let executors = vec![ExecutorPlace { ownership, ..place(0, "count", 0..2) }];
        Table::new(1, vec![Route { executors, ..route(worker, epoch) }])
    };
    let before = table(1, (3, 0, 3), 1);
    let begins = |after: Table| before.begins_anew(0, &after);
    assert!(!begins(table(1, (3, 0, 5), 1)), "the same");
    assert!(begins(table(1, (3, 1, 5), 1)), "its worker was restarted");
    assert!(begins(table(2, (3, 0, 3), 2)), "it moved between workers of one epoch");
    assert!(begins(table(1, (3, 0, 3), 2)), "its executor was cut anew");
    assert!(!Table::default().begins_anew(0, &before), "nothing was before");
}

#[test]
fn a_worker_that_goes_when_it_was_emptied_retires_nobody() {
    let gone = |released: Released| {
        let left = Table::new(12, vec![route(2, (3, 0, 3))]);
        moving(released).retired_since(&left)
    };
    assert_eq!(gone(released(7, None)), None, "it had nothing any more");
    assert_eq!(gone(released(7, Some(0..2))), Some(12), "it still had something");
    assert_eq!(gone(released(6, None)), Some(12), "it may not even have known");
}
