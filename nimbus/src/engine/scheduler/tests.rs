//! What the scheduler promises, on examples and on random problems.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Answer, Offer, Piece, Placement, Problem, Slot, schedule};

fn pieces(components: &[u32]) -> Vec<Piece> {
    let owners = components
        .iter()
        .enumerate()
        .flat_map(|(component, count)| std::iter::repeat_n(component as u32, *count as usize));
    owners.zip(0..).map(|(component, executor)| Piece { executor, component }).collect()
}

fn offer(supervisor: &str, slots: u32) -> Offer {
    Offer { supervisor: supervisor.to_owned(), free: (0..slots).collect(), busy: 0 }
}

fn problem(components: &[u32], workers: u32, offers: Vec<Offer>) -> Problem {
    Problem { pieces: pieces(components), workers, offers, ..Problem::default() }
}

/// The same problem again, now that the answer runs.
fn again(problem: &Problem, answer: &Answer) -> Problem {
    let mut next = problem.clone();
    for placement in &answer.placements {
        for offer in &mut next.offers {
            if offer.supervisor == placement.slot.supervisor {
                offer.free.remove(&placement.slot.slot);
            }
        }
    }
    next.current = answer.placements.clone();
    next
}

fn supervisors(answer: &Answer) -> Vec<&str> {
    answer.placements.iter().map(|placement| placement.slot.supervisor.as_str()).collect()
}

#[test]
fn workers_are_spread_over_supervisors() {
    let answer = schedule(&problem(&[4], 4, vec![offer("a", 4), offer("b", 4)]));
    assert_eq!(supervisors(&answer), ["a", "b", "a", "b"]);
    assert_eq!(answer.explanation, "");
}

#[test]
fn a_chain_is_cut_once() {
    let answer = schedule(&problem(&[1, 1, 1, 1], 2, vec![offer("a", 2)]));
    let executors: Vec<_> = answer.placements.iter().map(|it| it.executors.clone()).collect();
    assert_eq!(executors, [[0, 1], [2, 3]], "neighbours share a worker");
    let answer = schedule(&problem(&[1, 4, 1], 2, vec![offer("a", 2)]));
    let executors: Vec<_> = answer.placements.iter().map(|it| it.executors.clone()).collect();
    assert_eq!(executors, [[0, 1, 3], [2, 4, 5]], "and each component is spread all the same");
}

#[test]
fn the_less_busy_supervisor_comes_first() {
    let mut busy = offer("a", 2);
    busy.busy = 2;
    assert_eq!(supervisors(&schedule(&problem(&[1], 1, vec![busy, offer("b", 2)]))), ["b"]);
}

#[test]
fn without_a_slot_nothing_is_placed_and_the_reason_is_said() {
    let nobody = schedule(&problem(&[2], 1, vec![]));
    assert_eq!(nobody.placements, []);
    assert_eq!(nobody.explanation, "waiting: no supervisor is up");
    let full = schedule(&problem(&[2], 1, vec![offer("a", 0)]));
    assert_eq!(full.explanation, "waiting: no slot is free");
}

#[test]
fn with_too_few_slots_it_runs_on_what_there_is() {
    let answer = schedule(&problem(&[4], 3, vec![offer("a", 2)]));
    assert_eq!(answer.placements.len(), 2);
    assert_eq!(answer.explanation, "runs on 2 of 3 workers: there are no more free slots");
}

#[test]
fn there_is_no_worker_without_an_executor() {
    let answer = schedule(&problem(&[1, 1], 5, vec![offer("a", 8)]));
    assert_eq!(answer.placements.len(), 2);
    assert_eq!(answer.explanation, "runs on 2 of 5 workers: it has only 2 executors");
}

#[test]
fn a_lost_worker_moves_as_a_whole_and_keeps_its_number() {
    let first = problem(&[2, 2], 2, vec![offer("a", 1), offer("b", 1)]);
    let answer = schedule(&first);
    let mut next = again(&first, &answer);
    next.current.remove(0);
    next.orphaned = vec![answer.placements[0].clone()];
    next.offers = vec![offer("c", 1)];
    let moved = schedule(&next);
    assert_eq!(moved.placements[1], answer.placements[1], "the other one is not touched");
    assert_eq!(moved.placements[0].worker, 0);
    assert_eq!(moved.placements[0].slot, Slot { supervisor: "c".to_owned(), slot: 0 });
    assert_eq!(moved.placements[0].executors, answer.placements[0].executors);
}

#[test]
fn what_a_lost_worker_ran_goes_to_the_others_if_no_slot_is_left() {
    let first = problem(&[2, 2], 2, vec![offer("a", 1), offer("b", 1)]);
    let answer = schedule(&first);
    let mut next = again(&first, &answer);
    next.orphaned = vec![next.current.remove(0)];
    next.offers.clear();
    let moved = schedule(&next);
    assert_eq!(moved.placements.len(), 1);
    assert_eq!(moved.placements[0].executors, [0, 1, 2, 3]);
}

#[test]
fn one_more_worker_takes_only_its_share() {
    let first = problem(&[3, 3], 2, vec![offer("a", 3)]);
    let mut next = again(&first, &schedule(&first));
    next.workers = 3;
    let answer = schedule(&next);
    for (before, after) in next.current.iter().zip(&answer.placements) {
        let stayed = before.executors.iter().filter(|e| after.executors.contains(e)).count();
        assert_eq!(stayed, 2, "{before:?} gives one executor away: {after:?}");
    }
}

#[test]
fn one_worker_less_leaves_the_others_where_they_are() {
    let first = problem(&[4], 4, vec![offer("a", 3), offer("b", 1)]);
    let mut next = again(&first, &schedule(&first));
    next.workers = 3;
    let answer = schedule(&next);
    let left: Vec<u32> = answer.placements.iter().map(|placement| placement.worker).collect();
    assert_eq!(left, [0, 1, 2], "the last one on the most crowded supervisor went");
}

#[test]
fn a_worker_leaves_a_crowded_supervisor_only_if_that_is_allowed() {
    let first = problem(&[4], 2, vec![offer("a", 4)]);
    let mut next = again(&first, &schedule(&first));
    next.offers.push(offer("b", 4));
    assert_eq!(schedule(&next).placements, next.current, "it stays where it is");
    next.respread = true;
    let answer = schedule(&next);
    assert_eq!(supervisors(&answer), ["a", "b"]);
    assert_eq!(answer.placements[1].executors, next.current[1].executors, "as a whole");
    let again = again(&next, &answer);
    assert_eq!(schedule(&again).placements, answer.placements, "that is as even as it gets");
}

#[test]
fn ten_thousand_executors_on_five_hundred_supervisors_are_placed() {
    let offers = (0..500).map(|n| offer(&format!("s{n:03}"), 4)).collect();
    let answer = schedule(&problem(&[4_000, 3_000, 2_000, 1_000], 500, offers));
    assert_eq!(answer.placements.len(), 500);
    assert!(answer.placements.iter().all(|placement| placement.executors.len() == 20));
}

fn assert_sound(problem: &Problem, answer: &Answer) {
    let slots: BTreeSet<&Slot> = answer.placements.iter().map(|p| &p.slot).collect();
    assert_eq!(slots.len(), answer.placements.len(), "two workers share a slot");
    let numbers: BTreeSet<u32> = answer.placements.iter().map(|p| p.worker).collect();
    assert_eq!(numbers.len(), answer.placements.len(), "two workers share a number");
    if answer.placements.is_empty() {
        return;
    }
    let mut placed: Vec<u32> =
        answer.placements.iter().flat_map(|p| p.executors.iter().copied()).collect();
    placed.sort_unstable();
    let all: Vec<u32> = problem.pieces.iter().map(|piece| piece.executor).collect();
    assert_eq!(placed, all, "every executor is placed exactly once");
    let sizes = answer.placements.iter().map(|p| p.executors.len());
    let (least, most) = (sizes.clone().min(), sizes.max());
    assert!(most <= least.map(|least| least + 1), "two workers differ by more than one executor");
    let allowed = |slot: &Slot| {
        problem.current.iter().any(|placement| placement.slot == *slot)
            || problem
                .offers
                .iter()
                .any(|offer| offer.supervisor == slot.supervisor && offer.free.contains(&slot.slot))
    };
    assert!(slots.into_iter().all(allowed), "a slot was used that nobody offered");
}

proptest! {
    #[test]
    fn every_answer_is_sound_and_stays_when_nothing_changes(
        components in proptest::collection::vec(1_u32..9, 1..5),
        workers in 0_u32..9,
        slots in proptest::collection::vec(0_u32..4, 0..6),
    ) {
        let offers = slots.iter().enumerate().map(|(n, slots)| offer(&format!("s{n}"), *slots));
        let problem = problem(&components, workers, offers.collect());
        let answer = schedule(&problem);
        assert_sound(&problem, &answer);
        let next = again(&problem, &answer);
        prop_assert_eq!(&schedule(&next).placements, &answer.placements, "nothing changed");
        let again = Problem { respread: true, ..next };
        prop_assert_eq!(schedule(&again).placements, answer.placements, "it was even already");
    }

    #[test]
    fn losing_any_workers_moves_nothing_else_than_balance_asks_for(
        components in proptest::collection::vec(1_u32..9, 1..5),
        workers in 2_u32..9,
        spare in 0_u32..4,
        lost in 0_usize..3,
    ) {
        let first = problem(&components, workers, vec![offer("a", 3), offer("b", 3)]);
        let mut next = again(&first, &schedule(&first));
        let lost = lost.min(next.current.len());
        next.orphaned = next.current.split_off(next.current.len() - lost);
        next.offers.push(offer("c", spare));
        let answer = schedule(&next);
        assert_sound(&next, &answer);
        if answer.placements.len() == next.current.len() + lost {
            let unmoved = |before: &Placement| answer.placements.contains(before);
            prop_assert!(next.current.iter().all(unmoved), "those that were not lost stay");
        }
    }
}
