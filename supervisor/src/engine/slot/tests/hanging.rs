//! Workers that live and do nothing: silent, stopped, or hung by their own word.

use std::time::Duration;

use super::super::bench::{exited, heard, running};
use crate::engine::SlotEvent as On;

#[test]
fn silence_is_a_warning_first_and_a_kill_later() {
    let mut bench = running();
    bench.run(vec![
        (999, On::Tick, "[running]"),
        (1_000, On::Tick, "[running] warn"),
        (1_400, On::Tick, "[running]"),
        (1_450, heard(), "[running]"),
        (2_450, On::Tick, "[running] warn"),
        (2_949, On::Tick, "[running]"),
        (2_950, On::Tick, "[running] look 7"),
        (2_950, On::Looked { stopped: false }, "[running]"),
        (3_199, On::Tick, "[running]"),
        (3_200, On::Tick, "[running] look 7"),
        (11_450, On::Tick, "[running] Kill 7"),
        (11_451, exited(5, 0), "[fetching] announce 5.1 \"\" fetch d"),
    ]);
    assert!(bench.slot.last_exit().reason.starts_with("said nothing for too long"));
}

#[test]
fn silence_while_the_supervisor_stood_still_proves_nothing() {
    let mut bench = running();
    bench.run(vec![
        (1_000, heard(), "[running]"),
        (61_000, On::StoodStill(Duration::from_mins(1)), "[running]"),
        (61_000, On::Tick, "[running]"),
        (62_000, On::Tick, "[running] warn"),
    ]);
}

#[test]
fn a_process_that_is_stopped_is_killed_as_soon_as_the_system_says_so() {
    let mut bench = running();
    bench.run(vec![
        (1_000, On::Tick, "[running] warn"),
        (1_200, On::Looked { stopped: true }, "[running]"),
        (1_500, On::Tick, "[running] look 7"),
        (1_500, On::Looked { stopped: true }, "[running] Kill 7"),
        (1_510, exited(5, 0), "[fetching] announce 5.1 \"\" fetch d"),
    ]);
    assert!(bench.slot.last_exit().reason.starts_with("was stopped and said nothing"));
}

#[test]
fn a_process_that_goes_on_in_time_is_left_alone() {
    let mut bench = running();
    bench.run(vec![
        (1_000, On::Tick, "[running] warn"),
        (1_500, On::Tick, "[running] look 7"),
        (1_510, heard(), "[running]"),
        (1_511, On::Looked { stopped: true }, "[running]"),
        (2_510, On::Tick, "[running] warn"),
    ]);
}

#[test]
fn a_worker_that_says_that_it_hangs_is_killed_once_for_that_reason() {
    let mut bench = running();
    let hung = || On::Hung("split makes no progress".to_owned());
    bench.run(vec![
        (100, hung(), "[running] Kill 7"),
        (350, hung(), "[running]"),
        (360, exited(5, 0), "[fetching] announce 5.1 \"\" fetch d"),
        (370, hung(), "[fetching]"),
    ]);
    assert_eq!(bench.slot.last_exit().reason, "split makes no progress: exit code 1");
}
