//! What a replaying spout does with tuples that fail, by hand and with time that the test moves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::prelude::*;
use crate::testing::{Setup, SpoutDriver};
use crate::{DeadLetter, Replaying, Replays, TopologyConfig};

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Number {
    n: u64,
}

/// Counts to `count`; notes what it hears.
struct Count {
    next: u64,
    count: u64,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Count {
    fn hear(&self, what: impl Into<String>) {
        self.heard.lock().expect("no test panics with it").push(what.into());
    }
}

impl Spout for Count {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        if self.next == self.count {
            return Ok(Next::Finished);
        }
        out.emit(self.next, Number { n: self.next });
        self.next += 1;
        if self.next == 3 { Err("a hiccup".into()) } else { Ok(Next::Emitted) }
    }

    fn ack(&mut self, id: u64) {
        self.hear(format!("ack {id}"));
    }

    fn fail(&mut self, id: u64, _: FailReason) {
        self.hear(format!("fail {id}"));
    }

    fn tick(&mut self, out: &mut SpoutOutput<Number, u64>) {
        out.emit_untracked(Number { n: 100 });
        out.emit(100, Number { n: 101 });
    }

    fn activate(&mut self) {
        self.hear("activate");
    }

    fn deactivate(&mut self) {
        self.hear("deactivate");
    }

    fn close(&mut self) {
        self.hear("close");
    }
}

const OWN: FailReason = FailReason::new("error", true);
const CLUSTER: FailReason = FailReason::new("worker-lost", false);
const SECOND: Duration = Duration::from_secs(1);

type Heard = Arc<Mutex<Vec<String>>>;

fn replaying(count: u64, max_pending: u64, replays: Replays) -> (SpoutDriver<Number>, Heard) {
    let heard = Heard::default();
    let theirs = Arc::clone(&heard);
    let max_pending = max_pending.to_string();
    let config = TopologyConfig::from_pairs([("max_pending", max_pending.as_str())]);
    let setup = Setup::new()
        .config(config.expect("a setting"))
        .output::<DeadLetter<Number>>("dead-letters");
    let spout = SpoutDriver::with(setup, move |cx: &Context| {
        Replaying::new(Count { next: 0, count, heard: Arc::clone(&theirs) }, replays, cx)
    });
    (spout.expect("the output is declared"), heard)
}

fn numbers(tuples: &[Number]) -> Vec<u64> {
    tuples.iter().map(|number| number.n).collect()
}

fn letters(spout: &mut SpoutDriver<Number>) -> Vec<(u32, DeadLetter<Number>)> {
    let letters = spout.emitted_to("dead-letters").into_iter();
    letters.map(|letter| (letter.number.expect("it is tracked"), letter.tuple)).collect()
}

#[test]
fn what_fails_too_often_by_its_own_fault_becomes_a_dead_letter() {
    let replays = Replays::default().attempts(3).pauses(SECOND, 60 * SECOND);
    let (mut spout, heard) = replaying(2, 100, replays);
    assert_eq!(numbers(&spout.run().expect("it emits")), [0, 1]);
    spout.ack(0);
    spout.fail(1, OWN);
    for (number, reason) in [(2, CLUSTER), (3, OWN), (4, OWN)] {
        assert!(spout.run().expect("it waits").is_empty(), "the pause has not passed");
        spout.advance(4 * SECOND);
        assert_eq!(numbers(&spout.run().expect("it replays")), [1]);
        assert_eq!(spout.open(), [number]);
        spout.fail(number, reason);
    }
    assert_eq!(spout.call_next().expect("it buries").0, Next::Emitted);
    let (number, letter) = letters(&mut spout).remove(0);
    assert_eq!((letter.tuple.n, &*letter.reason, letter.attempts), (1, "error", 4));
    assert_eq!(letter.last_failed_ms - letter.first_failed_ms, 12_000);
    assert_eq!(letter.last_failed() - 12 * SECOND, letter.first_failed());
    assert_eq!((spout.counter("replayed"), spout.counter("dead-lettered")), (3, 1));

    spout.ack(number);
    assert_eq!(spout.call_next().expect("no more").0, Next::Finished);
    assert_eq!(*heard.lock().expect("no panic"), ["ack 0", "ack 1"], "and never a failure");
}

#[test]
fn what_befalls_the_cluster_is_replayed_without_end() {
    let replays = Replays::default().attempts(1).pauses(SECOND, 8 * SECOND);
    let (mut spout, _) = replaying(1, 100, replays);
    for number in 0..100 {
        assert_eq!(numbers(&spout.run().expect("it emits")), [0]);
        spout.fail(number, CLUSTER);
        spout.advance(8 * SECOND);
    }
    assert_eq!((spout.counter("replayed"), spout.counter("dead-lettered")), (99, 0));
}

#[test]
fn a_dead_letter_that_fails_is_never_lost() {
    let replays = Replays::default().attempts(1).pauses(SECOND, 8 * SECOND);
    let (mut spout, heard) = replaying(1, 100, replays);
    spout.run().expect("it emits");
    spout.fail(0, OWN);
    let mut seen = Vec::new();
    for number in 1..50 {
        assert_eq!(spout.call_next().expect("it buries").0, Next::Emitted);
        let (open, letter) = letters(&mut spout).remove(0);
        assert_eq!(open, number);
        seen.push(letter);
        spout.fail(number, OWN);
        assert_eq!(spout.call_next().expect("it waits").0, Next::Idle, "not at once");
        spout.advance(8 * SECOND);
    }
    assert!(seen.iter().all(|letter| *letter == seen[0]), "its own failures are not the tuple's");
    assert_eq!(spout.counter("dead-lettered"), 1);
    spout.call_next().expect("it buries");
    spout.ack(50);
    assert_eq!(*heard.lock().expect("no panic"), ["ack 0"]);
}

#[test]
fn no_more_than_max_pending_tuples_are_kept() {
    let replays = Replays::default().pauses(60 * SECOND, 60 * SECOND);
    let (mut spout, _) = replaying(100, 10, replays);
    let mut emitted = Vec::new();
    for _ in 0..20 {
        match spout.run() {
            Ok(tuples) => emitted.extend(numbers(&tuples)),
            Err(error) => assert_eq!(error.to_string(), "a hiccup"),
        }
        for number in spout.open() {
            spout.fail(number, OWN);
        }
    }
    assert!(emitted.len() <= 10, "{emitted:?} wait: none more are asked for");
    spout.advance(60 * SECOND);
    let (next, again) = spout.call_next().expect("they are due");
    assert_eq!((next, again.len()), (Next::Emitted, 10), "all of them come again");
}

#[test]
fn what_was_emitted_before_an_error_is_passed_on() {
    let (mut spout, heard) = replaying(3, 100, Replays::default());
    assert_eq!(spout.run().expect_err("the third call").to_string(), "a hiccup");
    assert_eq!(spout.open(), [0, 1, 2], "the tuple came before the error");
    spout.ack_all();
    assert_eq!(*heard.lock().expect("no panic"), ["ack 0", "ack 1", "ack 2"]);
}

#[test]
fn the_spout_inside_has_ticks_and_a_life() {
    let (mut spout, heard) = replaying(0, 100, Replays::default());
    spout.set_active(true);
    spout.set_active(false);
    spout.tick();
    let (next, emitted) = spout.call_next().expect("nothing of its own");
    assert_eq!(next, Next::Finished);
    let tracked: Vec<_> = emitted.into_iter().map(|e| (e.tuple.n, e.number)).collect();
    assert_eq!(tracked, [(100, None), (101, Some(0))]);
    spout.close();
    assert_eq!(*heard.lock().expect("no panic"), ["activate", "deactivate", "close"]);
}

#[test]
fn a_spout_with_outputs_of_its_own_is_refused() {
    let setup = Setup::new().output::<DeadLetter<Number>>("dead-letters").output::<Number>("more");
    let spout = SpoutDriver::<Number>::with(setup, |cx: &Context| {
        Replaying::new(Count { next: 0, count: 1, heard: Heard::default() }, Replays::default(), cx)
    });
    assert!(spout.expect_err("it would lose them").to_string().contains("only its main stream"));
}
