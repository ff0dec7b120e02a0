//! What a channel's spout and its feeders do, by hand and from other threads.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::Line;
use crate::testing::SpoutDriver;

const FAILED: FailReason = FailReason::new("error", true);

fn line(text: &str) -> Line {
    Line { text: text.into() }
}

fn fed(capacity: usize) -> (Feeder<Line>, SpoutDriver<Line>) {
    let (feeder, spout) = channel(capacity);
    (feeder, SpoutDriver::new(move |_| spout.clone()).expect("it opens"))
}

#[test]
fn it_is_finished_when_no_feeder_is_left_and_nothing_waits() {
    let (feeder, mut spout) = fed(10);
    let other = feeder.clone();
    assert_eq!(spout.call_next().expect("no error").0, Next::Idle, "it may be fed");
    other.send(line("a")).expect("there is room");
    drop((feeder, other));
    assert_eq!(spout.run().expect("no error"), [line("a")]);
    assert_eq!(spout.call_next().expect("no error").0, Next::Finished);
    spout.fail(0, FAILED);
    assert_eq!(spout.run().expect("no error"), [line("a")], "what fails comes again");
}

#[test]
fn a_sender_waits_for_room() {
    let (feeder, mut spout) = fed(2);
    let sender =
        std::thread::spawn(move || (0..10_000).try_for_each(|n| feeder.send(line(&n.to_string()))));
    let mut texts = Vec::new();
    while texts.len() < 10_000 {
        let lines = spout.run().expect("no error");
        texts.extend(lines.into_iter().map(|line| line.text));
        spout.ack_all();
    }
    sender.join().expect("no panic").expect("the spout lives");
    assert!(texts.iter().map(|text| text.parse()).eq((0..10_000).map(Ok)), "all, in order");
}

#[test]
fn a_sender_that_waits_is_told_of_the_end() {
    let (feeder, spout) = channel(1);
    feeder.send(line("a")).expect("there is room");
    let sender = std::thread::spawn(move || feeder.send(line("b")));
    drop(spout);
    let ended = sender.join().expect("no panic");
    assert_eq!(ended, Err(NotSent::Ended(line("b"))), "whether it waited already or not");
}

#[test]
fn tasks_share_what_is_fed() {
    let (feeder, one) = channel(1_000);
    let two = one.clone();
    let mut spouts =
        [one, two].map(|spout| SpoutDriver::new(move |_| spout.clone()).expect("it opens"));
    (0..1_000).for_each(|_| feeder.send(line("a")).expect("there is room"));
    drop(feeder);
    let first = spouts[0].call_next().expect("no error").1.len();
    let rest = spouts[1].run().expect("no error").len();
    let end = spouts[0].run().expect("no error").len();
    assert_eq!(first + rest + end, 1_000, "each goes to one of them");
    assert!(rest > 0 && end > 0);
}

#[test]
fn a_receipt_tells_of_the_ack_and_of_the_failure() {
    let (feeder, mut spout) = fed(10);
    let receipts: Vec<Receipt> =
        (0..3).map(|_| feeder.send_with_receipt(line("a")).expect("room")).collect();
    assert_eq!(spout.run().expect("no error").len(), 3);
    assert_eq!(receipts[0].wait_for(Duration::ZERO), None, "under way");
    spout.ack(0);
    spout.fail(1, FAILED);
    drop(feeder);
    assert_eq!(spout.call_next().expect("no error").0, Next::Finished, "nothing again");
    let outcomes: Vec<_> = receipts.iter().map(Receipt::outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Acked), Some(Outcome::Failed("error")), None]);
    drop(spout);
    assert_eq!(receipts[2].outcome(), Some(Outcome::Lost));
}

#[derive(Default)]
struct Flag(AtomicBool);
impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_receipt_can_be_awaited() {
    let (feeder, mut spout) = fed(10);
    let mut receipt = Box::pin(feeder.try_send_with_receipt(line("a")).expect("room"));
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let mut poll = || receipt.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!(poll(), Poll::Pending);
    spout.run().expect("no error");
    spout.ack(0);
    assert!(flag.0.load(Ordering::Relaxed), "it is woken");
    assert_eq!(poll(), Poll::Ready(Outcome::Acked));
}
