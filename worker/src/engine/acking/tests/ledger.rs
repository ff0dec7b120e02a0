//! The ledger's rules, one by one.

use std::time::Duration;

use crate::engine::acking::{
    AckBuffer, FREE_MIN, FailReason, GENERATION_MAX, HARD_LIMIT, Ledger, NO_STAMP, Outcome,
    PENDING_MAX, RootId, Verdict,
};

const ACKED: Option<Outcome> = Some(Outcome::Acked);

fn failed(reason: FailReason) -> Option<Outcome> {
    Some(Outcome::Failed(reason))
}

fn outcome(ledger: &mut Ledger) -> Option<Outcome> {
    ledger.verdicts().map(|verdict| verdict.outcome)
}

fn open(ledger: &mut Ledger) -> RootId {
    ledger.open(0, 0).expect("there is room")
}

/// Opens, seals and ends a root, and takes its verdict.
fn spend(ledger: &mut Ledger) -> RootId {
    let root = open(ledger);
    ledger.seal(root, 0);
    assert_eq!(outcome(ledger), ACKED, "a tuple without targets completes at once");
    root
}

#[test]
fn an_ack_that_overtakes_its_emit_is_not_lost_and_completes_nothing() {
    let mut ledger = Ledger::new(3, 1, 10);
    let root = open(&mut ledger);
    // Two copies, of which the first is done before the second is emitted.
    ledger.fold(root.bits(), 0b01, NO_STAMP);
    ledger.fold(root.bits(), 0b01, NO_STAMP);
    assert_eq!(outcome(&mut ledger), None, "zero means nothing before the seal");
    ledger.fold(root.bits(), 0b01, NO_STAMP);
    ledger.seal(root, 0b11);
    assert_eq!(outcome(&mut ledger), None, "the second copy is under way");
    ledger.fold(root.bits(), 0b10, NO_STAMP);
    assert_eq!(outcome(&mut ledger), ACKED, "both are done");
}

#[test]
fn a_verdict_tells_the_spout_what_it_needs() {
    let mut ledger = Ledger::new(3, 1, 10);
    let root = ledger.open(42, 1_000).expect("there is room");
    assert_eq!((root.executor(), root.incarnation()), (3, 1), "the ledger's own");
    ledger.seal(root, 0);
    let expected =
        Verdict { slot: root.slot(), task: 42, outcome: Outcome::Acked, opened_ns: 1_000 };
    assert_eq!(ledger.verdicts(), Some(expected));
}

#[test]
fn a_root_gets_one_verdict_and_the_first_reason_counts() {
    let mut ledger = Ledger::new(0, 0, 10);
    let root = open(&mut ledger);
    ledger.seal(root, 0b1);
    ledger.fail(root.bits(), FailReason::Panic);
    ledger.fail(root.bits(), FailReason::Error);
    ledger.fold(root.bits(), 0b1, NO_STAMP);
    ledger.fail_all(FailReason::Shutdown);
    assert_eq!(outcome(&mut ledger), failed(FailReason::Panic), "the first");
    assert_eq!(outcome(&mut ledger), None, "and only that");
    assert_eq!(ledger.late(), 2, "what came after it is counted");
}

#[test]
fn a_root_may_fail_while_it_is_emitted() {
    let mut ledger = Ledger::new(0, 0, 10);
    let root = open(&mut ledger);
    ledger.fail(root.bits(), FailReason::TooLarge);
    ledger.seal(root, 0);
    assert_eq!(outcome(&mut ledger), failed(FailReason::TooLarge), "the seal comes too late");
    assert_eq!((outcome(&mut ledger), ledger.pending()), (None, 0), "one verdict");
}

#[test]
fn what_is_not_for_an_open_root_of_this_ledger_is_counted_as_late() {
    let mut ledger = Ledger::new(3, 1, 10);
    let root = open(&mut ledger);
    ledger.seal(root, 0b1);
    let strangers = [
        RootId::new(4, 1, root.slot(), root.generation()),
        RootId::new(3, 0, root.slot(), root.generation()),
        RootId::new(3, 2, root.slot(), root.generation()),
        RootId::new(3, 1, root.slot(), root.generation() + 1),
        RootId::new(3, 1, root.slot() + 1, 1),
        RootId::new(3, 1, (1 << 20) - 1, 1),
    ];
    for stranger in strangers {
        ledger.fold(stranger.bits(), 0b1, NO_STAMP);
        ledger.fail(stranger.bits(), FailReason::Error);
    }
    assert_eq!((ledger.late(), ledger.open_count()), (12, 1), "nothing touched the open root");
    ledger.fold(0, 0b1, NO_STAMP);
    assert_eq!(ledger.late(), 13, "an untracked tuple has no root");
    ledger.fold(root.bits(), 0b1, NO_STAMP);
    assert_eq!(outcome(&mut ledger), ACKED, "it completes as if nothing had been");
}

#[test]
fn verdicts_that_nobody_takes_leave_no_room() {
    let mut ledger = Ledger::new(0, 0, 2);
    let (first, second) = (open(&mut ledger), open(&mut ledger));
    assert!(!ledger.has_room() && ledger.open(0, 0).is_none(), "two are open");
    ledger.seal(first, 0);
    ledger.fail(second.bits(), FailReason::Error);
    assert_eq!((ledger.open_count(), ledger.pending()), (0, 2), "ended, and not taken");
    assert!(!ledger.has_room() && ledger.open(0, 0).is_none(), "two wait for the spout");
    assert_eq!(outcome(&mut ledger), ACKED, "in the order they ended");
    assert!(ledger.has_room(), "one was taken");
}

#[test]
fn the_limit_of_pending_roots_is_held_within_what_root_ids_can_name() {
    let mut ledger = Ledger::new(0, 0, 0);
    assert!(ledger.open(0, 0).is_some() && ledger.open(0, 0).is_none(), "at least one");
    let ledger = Ledger::new(0, 0, u32::MAX);
    assert_eq!(ledger.slot_count(), 1 << 20, "as many slots as have numbers");
    assert_eq!(PENDING_MAX, (1 << 20) - FREE_MIN, "of which some stay free");
}

#[test]
fn a_late_contribution_does_not_touch_the_next_root_of_its_slot() {
    // Every slot's second generation is the highest, its third is 1 again.
    let mut ledger = Ledger::with_generation(0, 0, 1, GENERATION_MAX - 1);
    let mut past = Vec::new();
    for generation in [GENERATION_MAX - 1, GENERATION_MAX, 1, 2] {
        for slot in 0..ledger.slot_count() {
            let root = open(&mut ledger);
            assert_eq!((root.slot(), root.generation()), (slot, generation), "first in, first out");
            ledger.seal(root, 0b1);
            if slot == 7 {
                past.iter().for_each(|&old| ledger.fold(old, 0b1, NO_STAMP));
                past.iter().for_each(|&old| ledger.fail(old, FailReason::Error));
                past.push(root.bits());
            }
            assert_eq!(outcome(&mut ledger), None, "slot {slot} is open");
            ledger.fold(root.bits(), 0b1, NO_STAMP);
            assert_eq!(outcome(&mut ledger), ACKED, "slot {slot} completes by its own");
        }
    }
    assert_eq!(ledger.late(), 2 * (1 + 2 + 3), "the others were late");
}

#[test]
fn a_slot_rests_while_4096_others_are_used_even_if_all_but_one_are_stuck() {
    let mut ledger = Ledger::new(0, 0, 100);
    (0..99).for_each(|_| {
        let root = open(&mut ledger);
        ledger.seal(root, 0b1);
    });
    let first = spend(&mut ledger);
    for _ in 0..FREE_MIN {
        assert_ne!(spend(&mut ledger).slot(), first.slot(), "used again too soon");
    }
    assert_eq!(spend(&mut ledger).slot(), first.slot(), "then it is its turn");
}

#[test]
fn a_generation_comes_round_only_after_the_hard_limit() {
    let roots_a_second = 20_000_000;
    let timeout = Duration::from_secs(30);
    let roots = u64::from(FREE_MIN) * u64::from(GENERATION_MAX);
    let round = Duration::from_secs(roots / roots_a_second);
    let hard_limit = timeout * HARD_LIMIT as u32;
    assert!(round > hard_limit, "{round:?} is within the hard limit, {hard_limit:?}");
    assert!(round > 10 * hard_limit, "ten times, so that slow clocks and stopped processes fit in");
}

#[test]
fn a_root_times_out_when_nothing_explains_it() {
    const NONE: [u32; 0] = [];
    let mut ledger = Ledger::new(0, 0, 10);
    for (task, opened_ns) in [(0, 100), (1, 200), (2, 200), (3, 350)] {
        let root = ledger.open(task, opened_ns).expect("there is room");
        ledger.seal(root, 0b1);
    }
    let mut expired = |now_ns, timeout_ns, waiting_ns| {
        ledger.expire(now_ns, timeout_ns, waiting_ns);
        std::iter::from_fn(|| ledger.verdicts())
            .map(|verdict| {
                assert_eq!(verdict.outcome, Outcome::Failed(FailReason::Timeout));
                verdict.task
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(expired(1_099, 1_000, 0), NONE, "not yet");
    assert_eq!(expired(1_100, 1_000, 0), [0], "the oldest");
    assert_eq!(expired(1_200, 1_000, 50), NONE, "time in queues does not count");
    assert_eq!(expired(1_250, 1_000, 50), [1, 2], "more than that does");
    assert_eq!(expired(1_349, 100, u64::MAX), NONE, "whatever waits, but");
    assert_eq!(expired(1_350, 100, u64::MAX), [3], "ten timeouts is the end");
    assert_eq!(expired(u64::MAX, 0, 0), NONE, "nothing is left");
}

#[test]
fn a_timeout_starts_again_when_it_is_reset_and_the_hard_limit_does_not() {
    let mut ledger = Ledger::new(0, 0, 10);
    let [kept, left] = [0, 1].map(|task| {
        let root = ledger.open(task, 0).expect("there is room");
        ledger.seal(root, 0b1);
        root
    });
    ledger.reset_timeout(kept.bits(), 900);
    ledger.expire(1_000, 1_000, 0);
    assert_eq!(ledger.verdicts().map(|it| it.task), Some(1), "nobody spoke for this one");
    for now_ns in (1_800..10_000).step_by(900) {
        ledger.expire(now_ns, 1_000, 0);
        assert_eq!(ledger.verdicts(), None, "it was reset within its timeout");
        ledger.reset_timeout(kept.bits(), now_ns);
    }
    ledger.expire(1_000 * HARD_LIMIT, 1_000, 0);
    assert_eq!(outcome(&mut ledger), failed(FailReason::Timeout), "past it no word helps");
    ledger.reset_timeout(left.bits(), 10_000);
    assert_eq!(ledger.late(), 1, "a reset of a root that has ended is late");
}

#[test]
fn a_clock_that_goes_back_makes_no_root_older() {
    let mut ledger = Ledger::new(0, 0, 10);
    let first = ledger.open(0, 5_000).expect("there is room");
    ledger.seal(first, 0b1);
    let second = ledger.open(1, 10).expect("there is room");
    ledger.seal(second, 0b1);
    ledger.expire(20, 1_000, 0);
    assert_eq!(ledger.verdicts(), None, "neither is old");
    ledger.expire(6_000, 1_000, 0);
    assert_eq!(ledger.verdicts().map(|verdict| verdict.opened_ns), Some(5_000));
    assert_eq!(ledger.verdicts().map(|verdict| verdict.opened_ns), Some(5_000));
}

#[test]
fn all_that_fail_together_fail_in_the_order_they_were_opened() {
    let mut ledger = Ledger::new(0, 0, 10);
    // Slots out of order: the ring goes round once.
    for _ in 0..FREE_MIN + 5 {
        spend(&mut ledger);
    }
    for task in 0..10 {
        let root = ledger.open(task, u64::from(task)).expect("there is room");
        ledger.seal(root, 0b1);
    }
    ledger.fail_all(FailReason::Moved);
    let tasks: Vec<u32> = std::iter::from_fn(|| ledger.verdicts()).map(|v| v.task).collect();
    assert_eq!(tasks, (0..10).collect::<Vec<_>>(), "the oldest first");
}

#[test]
fn a_table_that_retires_no_one_fails_nothing() {
    let mut ledger = Ledger::new(0, 0, 10);
    let root = open(&mut ledger);
    ledger.seal(root, 0b1);
    ledger.adopt(None);
    ledger.fold(root.bits(), 0b1, 0);
    assert_eq!(outcome(&mut ledger), ACKED, "any stamp will do");
}

#[test]
fn a_retired_incarnation_fails_open_roots_and_later_those_with_older_stamps() {
    let mut ledger = Ledger::new(0, 0, 10);
    let (sealed, emitting) = (open(&mut ledger), open(&mut ledger));
    ledger.seal(sealed, 0b1);
    ledger.adopt(Some(50));
    ledger.seal(emitting, 0b1);
    assert_eq!(outcome(&mut ledger), failed(FailReason::WorkerLost), "it may have been there");
    assert_eq!(outcome(&mut ledger), failed(FailReason::WorkerLost), "its copies as well");

    let mut after = |stamp| {
        let root = open(&mut ledger);
        ledger.seal(root, 0b1);
        ledger.fold(root.bits(), 0b1, stamp);
        outcome(&mut ledger)
    };
    assert_eq!(after(49), failed(FailReason::WorkerLost), "a child may have gone there");
    assert_eq!(after(50), ACKED, "children went elsewhere");
    assert_eq!(after(NO_STAMP), ACKED, "there were no children");

    ledger.adopt(Some(40));
    let root = open(&mut ledger);
    ledger.fold(root.bits(), 0, 49);
    assert_eq!(outcome(&mut ledger), failed(FailReason::WorkerLost), "the latest limit stays");
}

#[test]
fn the_lowest_stamp_speaks_for_a_whole_batch() {
    let mut ledger = Ledger::new(0, 0, 10);
    ledger.adopt(Some(50));
    let (first, second, third) = (open(&mut ledger), open(&mut ledger), open(&mut ledger));
    [first, second, third].into_iter().for_each(|root| ledger.seal(root, 0b1));
    let mut buffer = AckBuffer::new();
    buffer.fold(first.bits(), 0b1, 60);
    buffer.fail(third.bits(), FailReason::Error);
    ledger.apply(&buffer.take());
    buffer.fold(second.bits(), 0b1, NO_STAMP);
    buffer.fold(RootId::new(9, 0, 0, 1).bits(), 0b1, 49);
    ledger.apply(&buffer.take());
    assert_eq!(outcome(&mut ledger), ACKED, "a batch by itself");
    assert_eq!(outcome(&mut ledger), failed(FailReason::Error), "failures come with it");
    assert_eq!(outcome(&mut ledger), failed(FailReason::WorkerLost), "judged by its neighbour");
}
