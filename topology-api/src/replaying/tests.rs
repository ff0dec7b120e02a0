//! What a replaying spout does with tuples that fail, by hand and with time that the test moves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::keeping::{Desk, Keeper, KeeperNews, Letter, Replayed};
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

/// Keeps letters where the test sees them, and hands its news out when the test says so.
#[derive(Debug, Default)]
struct Shelf {
    desk: Mutex<Option<Arc<Desk>>>,
    handed: Mutex<Vec<Letter>>,
    settled: Mutex<Vec<(String, Replayed)>>,
}

impl Keeper for Shelf {
    fn open(&self, component: &str, task: u32, desk: &Arc<Desk>) {
        assert_eq!((component, task), ("component", 0));
        *self.desk.lock().expect("no panic") = Some(Arc::clone(desk));
    }

    fn keep(&self, _: u32, letter: Letter) -> u64 {
        let mut handed = self.handed.lock().expect("no panic");
        handed.push(letter);
        handed.len() as u64
    }

    fn settle(&self, letter: &str, replayed: Replayed) {
        self.settled.lock().expect("no panic").push((letter.to_owned(), replayed));
    }
}

impl Shelf {
    fn says(&self, news: KeeperNews) {
        self.desk.lock().expect("no panic").as_ref().expect("it was opened").put(news);
    }

    fn handed(&self) -> Vec<Letter> {
        self.handed.lock().expect("no panic").clone()
    }

    fn settled(&self) -> Vec<(String, Replayed)> {
        std::mem::take(&mut self.settled.lock().expect("no panic"))
    }
}

fn unread(count: u64, keeper: Option<Arc<Shelf>>) -> (SpoutDriver<Number>, Heard) {
    let heard = Heard::default();
    let theirs = Arc::clone(&heard);
    let config = TopologyConfig::from_pairs([("max_pending", "2")]).expect("a setting");
    let keeper = keeper.map(|keeper| keeper as Arc<dyn Keeper>);
    let setup = Setup::new().config(config).output::<DeadLetter<Number>>("dead-letters");
    let spout = SpoutDriver::with(setup.unread(keeper), move |cx: &Context| {
        let replays = Replays::default().attempts(2).pauses(SECOND, 8 * SECOND);
        Replaying::new(Count { next: 0, count, heard: Arc::clone(&theirs) }, replays, cx)
    });
    (spout.expect("the output is declared"), heard)
}

/// Lets the tuple with this number fail until it is a dead letter that was handed over.
fn kill(spout: &mut SpoutDriver<Number>, number: u32) {
    spout.fail(number, OWN);
    spout.advance(SECOND);
    assert_eq!(spout.run().expect("it replays").len(), 1);
    let again = *spout.open().last().expect("the replay");
    spout.fail(again, OWN);
    spout.advance(SECOND);
    assert!(spout.run().expect("it hands over").is_empty());
}

#[test]
fn a_letter_that_nobody_reads_is_acked_when_it_is_kept_and_not_before() {
    let shelf = Arc::new(Shelf::default());
    let (mut spout, heard) = unread(1, Some(Arc::clone(&shelf)));
    assert_eq!(numbers(&spout.run().expect("it emits")), [0]);
    kill(&mut spout, 0);
    let handed = shelf.handed();
    assert_eq!((handed.len(), handed[0].text.as_str()), (1, r#"{"n":0}"#));
    assert_eq!((handed[0].reason, handed[0].attempts), ("error", 2));
    assert_eq!(spout.call_next().expect("it waits").0, Next::Idle, "something is still to come");
    assert!(heard.lock().expect("no panic").is_empty(), "it is not on disk");
    shelf.says(KeeperNews::Kept(7));
    shelf.says(KeeperNews::Kept(1));
    assert_eq!(spout.call_next().expect("no more").0, Next::Finished);
    assert_eq!(*heard.lock().expect("no panic"), ["ack 0"]);
}

#[test]
fn a_letter_that_is_refused_stays_and_is_handed_over_again_after_a_pause() {
    let shelf = Arc::new(Shelf::default());
    let (mut spout, heard) = unread(2, Some(Arc::clone(&shelf)));
    assert_eq!(numbers(&spout.run().expect("it emits")), [0, 1]);
    kill(&mut spout, 0);
    spout.ack(1);
    let mut handed = 1;
    for tries in 1..5 {
        shelf.says(KeeperNews::Refused(tries));
        spout.run().expect("it waits");
        assert_eq!(shelf.handed().len(), handed, "not at once");
        spout.advance(8 * SECOND);
        spout.run().expect("it hands over");
        handed += 1;
        assert_eq!(shelf.handed().len(), handed);
    }
    assert_eq!(spout.counter("letters-refused"), 4);
    shelf.says(KeeperNews::Kept(5));
    spout.run().expect("it hears");
    assert!(heard.lock().expect("no panic").contains(&"ack 0".to_owned()));
}

#[test]
fn a_replayed_letter_has_fresh_attempts_and_is_settled_by_how_they_end() {
    let shelf = Arc::new(Shelf::default());
    let (mut spout, heard) = unread(0, Some(Arc::clone(&shelf)));
    let replay = |letter: &str, row: &[u8]| KeeperNews::Replay {
        letter: letter.to_owned(),
        row: row.to_owned(),
    };
    for n in [5_u64, 6, 7] {
        shelf.says(replay(&format!("m.{n}"), &n.to_le_bytes()));
    }
    shelf.says(replay("m.8", b"short"));
    assert_eq!(numbers(&spout.run().expect("it replays")), [5, 6], "no more than may be open");
    assert_eq!(spout.open(), [0, 1]);
    spout.ack(0);
    assert_eq!(shelf.settled(), [("m.5".to_owned(), Replayed::Acked)]);
    assert_eq!(numbers(&spout.run().expect("it replays")), [7]);
    kill(&mut spout, 1);
    let settled = shelf.settled();
    assert!(
        matches!(&settled[0], (letter, Replayed::Failed { reason: "error", attempts: 2, .. })
            if letter == "m.6"),
        "{settled:?}"
    );
    assert!(
        matches!(&settled[1], (letter, Replayed::Unreadable(_)) if letter == "m.8"),
        "{settled:?}"
    );
    assert_eq!(spout.counter("dead-lettered"), 0, "it is one already");
    spout.ack(2);
    assert_eq!(shelf.settled(), [("m.7".to_owned(), Replayed::Acked)]);
    assert!(heard.lock().expect("no panic").is_empty(), "the source was told long ago");
    assert_eq!(spout.call_next().expect("no more").0, Next::Finished);
}

#[test]
fn without_a_keeper_letters_that_nobody_reads_are_lost_and_that_is_said_once() {
    let (mut spout, _) = unread(2, None);
    assert_eq!(numbers(&spout.run().expect("it emits")), [0, 1]);
    for number in [0, 1] {
        spout.fail(number, OWN);
    }
    spout.advance(SECOND);
    assert_eq!(spout.run().expect("it replays").len(), 2);
    for number in [2, 3] {
        spout.fail(number, OWN);
    }
    spout.advance(SECOND);
    spout.run().expect("it emits to nobody");
    assert_eq!(spout.counter("dead-lettered"), 2);
    assert_eq!(spout.errors().len(), 1, "{:?}", spout.errors());
    assert!(spout.errors()[0].contains("nobody reads"), "{:?}", spout.errors());
}
