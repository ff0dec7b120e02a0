//! The slot as tables: what happened, at which second, and what follows.

mod hanging;

use std::sync::Arc;
use std::time::Duration;

use proto::store::{AssignmentRecord, TaskRange};

use super::bench::{Bench, exited, fetched, heard, hello, launched, placement, running, wanted};
use super::*;
use crate::engine::SlotEvent as On;

#[test]
fn a_wanted_worker_is_fetched_started_and_announced() {
    let mut bench = running();
    bench.run(vec![
        (100, wanted(0, 5), "[running]"),
        (200, heard(), "[running]"),
        (300, hello(7), "[running]"),
    ]);
    assert_eq!((bench.slot.pid(), bench.slot.address()), (Some(7), "h:7"));
}

#[test]
fn a_hello_may_overtake_the_news_of_the_start() {
    let mut bench = Bench::new();
    bench.run(vec![
        (0, wanted(0, 5), "[fetching] fetch d"),
        (0, fetched(), "[starting] launch 5.0"),
        (1, hello(7), "[running] announce 5.0 \"h:7\""),
        (2, launched(5, 0, 7), "[running]"),
    ]);
}

#[test]
fn the_first_restart_is_at_once_and_the_next_ones_wait_longer_and_longer() {
    let mut bench = running();
    bench.run(vec![
        (100, exited(5, 0), "[fetching] announce 5.1 \"\" fetch d"),
        (100, fetched(), "[starting] launch 5.1"),
        (200, exited(5, 1), "[backing-off] announce 5.2 \"\""),
        (1_199, On::Tick, "[backing-off]"),
        (1_200, On::Tick, "[fetching] fetch d"),
        (1_200, fetched(), "[starting] launch 5.2"),
        (1_300, exited(5, 2), "[backing-off] announce 5.3 \"\""),
        (3_299, On::Tick, "[backing-off]"),
        (3_300, On::Tick, "[fetching] fetch d"),
    ]);
}

#[test]
fn the_time_that_it_ran_counts_as_waiting() {
    let mut bench = running();
    bench.run(vec![
        (100, exited(5, 0), "[fetching] announce 5.1 \"\" fetch d"),
        (100, fetched(), "[starting] launch 5.1"),
        (100, launched(5, 1, 8), "[starting]"),
        (200, hello(8), "[running] announce 5.1 \"h:8\""),
        // A second is to pass between two starts, and has.
        (1_200, exited(5, 1), "[fetching] announce 5.2 \"\" fetch d"),
        (1_200, fetched(), "[starting] launch 5.2"),
        (1_200, launched(5, 2, 9), "[starting]"),
        (1_300, hello(9), "[running] announce 5.2 \"h:9\""),
        // Then two.
        (1_800, exited(5, 2), "[backing-off] announce 5.3 \"\""),
        (3_299, On::Tick, "[backing-off]"),
        (3_300, On::Tick, "[fetching] fetch d"),
    ]);
}

#[test]
fn the_wait_never_passes_a_minute() {
    let mut bench = running();
    bench.on(0, exited(5, 0));
    let mut at = 0;
    for restarts in 1..20 {
        bench.on(at, fetched());
        bench.on(at, exited(5, restarts));
        let wait = bench.slot.deadline().unwrap() - bench.start - Duration::from_millis(at);
        let expected = Duration::from_secs(1 << (restarts - 1).min(6)).min(Duration::from_mins(1));
        assert_eq!(wait, expected, "after restart {restarts}");
        at += u64::try_from(wait.as_millis()).unwrap();
        bench.on(at, On::Tick);
    }
}

#[test]
fn a_worker_that_ran_for_ten_seconds_starts_with_a_clean_slate() {
    let mut bench = running();
    bench.run(vec![
        (0, exited(5, 0), "[fetching] announce 5.1 \"\" fetch d"),
        (0, fetched(), "[starting] launch 5.1"),
        (0, launched(5, 1, 8), "[starting]"),
        (0, hello(8), "[running] announce 5.1 \"h:8\""),
        (10_000, exited(5, 1), "[fetching] announce 5.2 \"\" fetch d"),
    ]);
}

#[test]
fn news_of_an_older_incarnation_change_nothing() {
    let mut bench = running();
    bench.run(vec![
        (10, exited(4, 0), "[running]"),
        (10, exited(5, 1), "[running]"),
        (10, exited(5, 0), "[fetching] announce 5.1 \"\" fetch d"),
        (10, exited(5, 0), "[fetching]"),
        (10, launched(5, 0, 7), "[fetching]"),
        (10, On::Fetched { digest: "other".into(), problem: None }, "[fetching]"),
    ]);
}

#[test]
fn a_binary_that_cannot_be_fetched_is_tried_again() {
    let failed = || On::Fetched { digest: "d".into(), problem: Some("no nimbus leads".into()) };
    let mut bench = Bench::new();
    bench.run(vec![
        (0, wanted(0, 5), "[fetching] fetch d"),
        (0, failed(), "[fetching]"),
        (999, On::Tick, "[fetching]"),
        (1_000, On::Tick, "[fetching] fetch d"),
        (1_000, failed(), "[fetching]"),
        (3_000, On::Tick, "[fetching] fetch d"),
        (3_001, fetched(), "[starting] launch 5.0"),
    ]);
    assert!(bench.slot.last_exit().reason.contains("no nimbus leads"), "shown to people");
}

/// What the record of the worker says it has let go of, if it was written.
fn said(commands: &[Command]) -> Option<(u64, usize)> {
    commands.iter().find_map(|command| match command {
        Command::Announce { released, .. } => Some((released.generation, released.holding.len())),
        _ => None,
    })
}

fn generation(generation: u64) -> On {
    let mut placement = placement(0, 5);
    let assignment = AssignmentRecord { generation, ..AssignmentRecord::default() };
    placement.assignment = Arc::new(assignment);
    On::Wanted(Some(placement))
}

#[test]
fn what_a_worker_has_let_go_of_is_what_it_says_and_all_when_it_does_not_run() {
    let mut bench = Bench::new();
    let start = bench.start;
    let mut on = |event: On| said(&bench.slot.handle(event, start));
    let heard = |generation, holding: &[TaskRange]| On::Heard {
        drained: false,
        released: Some(Released { generation, holding: holding.to_vec() }),
    };
    assert_eq!(on(generation(1)), None, "nothing is known of a worker that never ran");
    assert_eq!(on(generation(2)), Some((2, 0)), "what does not run has nothing of before");
    on(fetched());
    on(launched(5, 0, 7));
    assert_eq!(on(hello(7)), Some((2, 0)), "it was not told anything yet");
    assert_eq!(on(generation(3)), None, "it has to say so itself");
    assert_eq!(on(heard(3, &[TaskRange::default()])), Some((3, 1)), "it ends an executor");
    assert_eq!(on(heard(3, &[TaskRange::default()])), None, "no news");
    assert_eq!(on(heard(3, &[])), Some((3, 0)), "it has let go");
    assert_eq!(on(generation(4)), None, "it has to say so itself");
    assert_eq!(on(exited(5, 0)), Some((4, 0)), "it died, and so has nothing");
}

#[test]
fn an_adopted_worker_may_have_anything_until_it_says_what() {
    let mut bench = Bench::new();
    let (placement, pid) = (*placement(0, 5), Some(7));
    let found = Remembered { placement, restarts: 0, pid, started_ms: 1, now_ms: 2 };
    bench.slot.remember(found, bench.start);
    let start = bench.start;
    let mut on = |event: On| said(&bench.slot.handle(event, start));
    assert_eq!(on(generation(3)), None, "nobody knows yet");
    let released = Some(Released { generation: 2, holding: Vec::new() });
    let hello = On::Attached { pid: 7, address: "h:7".into(), released };
    assert_eq!(on(hello), Some((2, 0)), "it says so");
}

#[test]
fn a_worker_that_never_says_hello_is_killed_and_the_reason_says_so() {
    let mut bench = Bench::new();
    bench.run(vec![
        (0, wanted(0, 5), "[fetching] fetch d"),
        (0, fetched(), "[starting] launch 5.0"),
        (0, launched(5, 0, 7), "[starting]"),
        (29_999, On::Tick, "[starting]"),
        (30_000, On::Tick, "[starting] Kill 7"),
        (30_001, exited(5, 0), "[fetching] announce 5.1 \"\" fetch d"),
    ]);
    assert_eq!(bench.slot.last_exit().reason, "did not say hello: exit code 1");
}

#[test]
fn a_worker_that_is_not_wanted_is_asked_then_told_then_killed() {
    let mut bench = running();
    bench.run(vec![
        (0, On::Wanted(None), "[stopping] ask"),
        (999, On::Tick, "[stopping]"),
        (1_000, On::Tick, "[stopping] Terminate 7"),
        (5_999, On::Tick, "[stopping]"),
        (6_000, On::Tick, "[stopping] Kill 7"),
        (6_001, exited(5, 0), "[stopping] withdraw 0 clean 0"),
        (6_002, On::Cleaned, "[empty]"),
    ]);
    assert_eq!(bench.slot.placement(), None, "nothing is left");
}

#[test]
fn a_worker_that_does_not_talk_to_us_gets_the_signal_at_once() {
    let mut bench = running();
    bench
        .run(vec![(0, On::Detached, "[running]"), (0, On::Wanted(None), "[stopping] Terminate 7")]);
}

#[test]
fn a_new_assignment_of_the_same_worker_keeps_its_folder() {
    let mut bench = running();
    bench.run(vec![
        (0, wanted(0, 9), "[stopping] ask"),
        (10, exited(5, 0), "[fetching] fetch d"),
        (10, fetched(), "[starting] launch 9.0"),
    ]);
}

#[test]
fn another_worker_enters_when_the_folder_of_the_last_is_gone() {
    let mut bench = running();
    bench.run(vec![
        (0, wanted(1, 9), "[stopping] ask"),
        (10, exited(5, 0), "[stopping] withdraw 0 clean 0"),
        (10, fetched(), "[stopping]"),
        (20, On::Cleaned, "[fetching] fetch d"),
        (20, fetched(), "[starting] launch 9.0"),
    ]);
}

#[test]
fn an_incarnation_that_was_stopped_never_comes_back_under_its_epoch() {
    let mut bench = running();
    bench.run(vec![
        (0, On::Wanted(None), "[stopping] ask"),
        (0, wanted(0, 5), "[stopping]"),
        (10, exited(5, 0), "[fetching] announce 5.1 \"\" fetch d"),
        (10, fetched(), "[starting] launch 5.1"),
    ]);
}

#[test]
fn a_worker_that_was_announced_before_counts_on_from_there() {
    let mut bench = Bench::new();
    let known = Placement { restarts_min: 3, ..*placement(0, 5) };
    bench.run(vec![
        (0, On::Wanted(Some(Box::new(known))), "[fetching] announce 5.3 \"\" fetch d"),
        (0, fetched(), "[starting] launch 5.3"),
    ]);
}

#[test]
fn what_is_being_started_when_it_is_not_wanted_any_more_is_stopped() {
    let mut bench = Bench::new();
    bench.run(vec![
        (0, wanted(0, 5), "[fetching] fetch d"),
        (0, fetched(), "[starting] launch 5.0"),
        (1, On::Wanted(None), "[stopping]"),
        (2, launched(5, 0, 7), "[stopping] Terminate 7"),
        (3, exited(5, 0), "[stopping] withdraw 0 clean 0"),
        (4, On::Cleaned, "[empty]"),
    ]);
}

#[test]
fn what_waits_leaves_at_once() {
    for waits in ["fetching", "backing-off"] {
        let mut bench = running();
        bench.on(0, exited(5, 0));
        if waits == "backing-off" {
            bench.on(0, fetched());
            bench.on(0, exited(5, 1));
        }
        assert_eq!(bench.slot.state().name(), waits);
        assert_eq!(bench.on(1, On::Wanted(None)), "[stopping] withdraw 0 clean 0", "{waits}");
        assert_eq!(bench.on(1, On::Cleaned), "[empty]", "{waits}");
    }
}

#[test]
fn at_shutdown_a_worker_drains_first() {
    let mut bench = running();
    bench.run(vec![
        (0, On::Shutdown, "[stopping]"),
        (100, heard(), "[stopping]"),
        (200, On::Heard { drained: true, released: None }, "[stopping] ask"),
        (300, exited(5, 0), "[stopping] withdraw 0 clean 0"),
        (300, On::Cleaned, "[empty]"),
        (300, wanted(0, 5), "[empty]"),
    ]);
}

#[test]
fn at_shutdown_a_worker_that_does_not_drain_is_ended_anyway() {
    let mut bench = running();
    bench.run(vec![
        (0, On::Shutdown, "[stopping]"),
        (4_999, On::Tick, "[stopping]"),
        (5_000, On::Tick, "[stopping] ask"),
        (6_000, On::Tick, "[stopping] Terminate 7"),
        (7_999, On::Tick, "[stopping]"),
        (8_000, On::Tick, "[stopping] Kill 7"),
        (9_000, On::Tick, "[stopping] Kill 7"),
        (9_001, exited(5, 0), "[stopping] withdraw 0 clean 0"),
    ]);
}

fn remembered(pid: Option<u32>) -> Remembered {
    Remembered { placement: *placement(0, 5), restarts: 2, pid, started_ms: 1, now_ms: 2 }
}

#[test]
fn a_living_worker_is_adopted_without_a_restart() {
    let mut bench = Bench::new();
    let commands = bench.slot.remember(remembered(Some(7)), bench.start);
    assert_eq!(bench.show(&commands), "[starting]");
    bench.run(vec![
        (100, wanted(0, 5), "[starting]"),
        (200, hello(7), "[running] announce 5.2 \"h:7\""),
        (300, wanted(0, 5), "[running]"),
    ]);
}

#[test]
fn an_adopted_worker_that_is_not_wanted_any_more_is_stopped() {
    let mut bench = Bench::new();
    bench.slot.remember(remembered(Some(7)), bench.start);
    bench.run(vec![
        (1, On::Wanted(None), "[stopping] Terminate 7"),
        (2, exited(5, 2), "[stopping] withdraw 0 clean 0"),
    ]);
}

#[test]
fn a_worker_found_dead_waits_for_the_store_to_say_that_it_is_wanted() {
    let mut bench = Bench::new();
    let commands = bench.slot.remember(remembered(None), bench.start);
    assert_eq!(bench.show(&commands), "[backing-off] announce 5.3 \"\"");
    assert_eq!(bench.on(1, wanted(0, 5)), "[fetching] fetch d", "the store has spoken");

    let mut alone = Bench::new();
    alone.slot.remember(remembered(None), alone.start);
    alone.run(vec![
        (1_999, On::Tick, "[backing-off]"),
        (2_000, On::Tick, "[fetching] fetch d"),
        (2_000, fetched(), "[starting] launch 5.3"),
        (2_001, wanted(0, 5), "[starting]"),
        (2_002, launched(5, 3, 7), "[starting]"),
        (2_003, wanted(0, 5), "[starting]"),
        (2_004, fetched(), "[starting]"),
    ]);
}
