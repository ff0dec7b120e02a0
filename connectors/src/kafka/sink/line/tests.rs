//! The line with answers that the test gives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use tokio::sync::oneshot::{self, Receiver, Sender};

use super::*;
use crate::kafka::client::Kind;
use crate::kafka::record::Headers;

type Answer = Result<(), Trouble>;

/// A delivery that ends when the test says so.
struct Delivery(Receiver<Answer>);

impl Future for Delivery {
    type Output = Answer;
    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(Result::unwrap)
    }
}

/// Counts how often a call is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

fn record(topic: &str) -> Outgoing {
    Outgoing { topic: topic.into(), key: None, value: None, headers: Headers::default() }
}

/// Calls for records of these topics; the first one drives.
fn calls(line: &Line<Delivery>, topics: &[&str]) -> Vec<(usize, Arc<Woken>)> {
    let call = |topic: &&str| {
        let (ticket, woken) = (line.enter(record(topic)), Arc::new(Woken::default()));
        line.wait(ticket, &Waker::from(Arc::clone(&woken)));
        (ticket, woken)
    };
    let calls: Vec<_> = topics.iter().map(call).collect();
    for (_, woken) in &calls {
        woken.take();
    }
    calls
}

/// Sends the next record of a topic to a partition.
fn send(line: &Line<Delivery>, topic: &str, partition: usize) -> Sender<Answer> {
    let (answer, delivery) = oneshot::channel();
    let (ticket, _) = line.next(&topic.into()).unwrap();
    let sent = Sent { partition, client: 1, delivery: Delivery(delivery) };
    line.sent(&topic.into(), ticket, Ok(sent));
    answer
}

fn drain(line: &Line<Delivery>, topic: &str) {
    line.drain(&topic.into(), &mut Context::from_waker(Waker::noop()));
}

#[test]
fn a_partition_that_does_not_answer_holds_up_no_other() {
    let line = Line::new();
    let calls = calls(&line, &["t", "t", "t"]);
    let _never = send(&line, "t", 0);
    let (second, third) = (send(&line, "t", 1), send(&line, "t", 1));
    third.send(Ok(())).unwrap();
    drain(&line, "t");
    assert!(calls.iter().all(|(ticket, _)| line.written(*ticket).is_none()), "out of order");
    second.send(Ok(())).unwrap();
    drain(&line, "t");
    assert!(line.written(calls[0].0).is_none(), "it has no answer");
    for (ticket, woken) in &calls[1..] {
        assert_eq!(woken.take(), 1, "its call goes on");
        assert!(line.written(*ticket).unwrap().is_ok());
    }
}

#[test]
fn a_failure_is_told_to_its_call_alone_with_the_client_that_failed() {
    let line = Line::new();
    let calls = calls(&line, &["t", "t"]);
    let (first, second) = (send(&line, "t", 0), send(&line, "t", 0));
    let trouble = Trouble { kind: Kind::Fatal, text: "fenced".to_owned() };
    first.send(Err(trouble)).unwrap();
    second.send(Ok(())).unwrap();
    drain(&line, "t");
    let failure = line.written(calls[0].0).unwrap().unwrap_err();
    assert_eq!((failure.client, &*failure.trouble.text), (Some(1), "fenced"));
    assert!(line.written(calls[1].0).unwrap().is_ok());
    assert!(line.topics().is_empty(), "a topic with nothing on its way costs nothing");
}

#[test]
fn who_drives_leaves_it_to_another_and_what_is_given_up_is_not_sent() {
    let line = Line::new();
    let calls = calls(&line, &["t", "t", "t"]);
    let other = Waker::noop();
    assert!(line.wait(calls[0].0, other), "the first drives");
    assert!(!line.wait(calls[2].0, &Waker::from(Arc::clone(&calls[2].1))));
    line.leave(calls[1].0);
    line.leave(calls[0].0);
    assert_eq!(calls[2].1.take(), 1, "it is woken to drive");
    assert!(line.wait(calls[2].0, &Waker::from(Arc::clone(&calls[2].1))));
    let (ticket, _) = line.next(&"t".into()).unwrap();
    assert_eq!(ticket, calls[2].0, "the others were given up");
    let failure = Failure {
        trouble: Trouble { kind: Kind::Retriable, text: "away".to_owned() },
        client: None,
    };
    line.sent(&"t".into(), ticket, Err(failure));
    assert!(line.written(ticket).unwrap().is_err());
    line.leave(ticket);
    let again: Vec<usize> = (0..3).map(|_| line.enter(record("t"))).collect();
    assert!(again.iter().all(|ticket| *ticket < 3), "places are used again: {again:?}");
}

#[test]
fn the_driver_is_woken_by_the_first_record_of_a_batch_only_and_each_topic_goes_by_itself() {
    let line = Line::new();
    let calls = calls(&line, &["t"]);
    let driver = &calls[0].1;
    let _answer = send(&line, "t", 0);
    line.enter(record("t"));
    line.enter(record("t"));
    assert_eq!(driver.take(), 1, "both go out together");
    line.enter(record("missing"));
    assert_eq!(driver.take(), 1);
    let (_, _) = line.next(&"missing".into()).unwrap();
    drain(&line, "missing");
    let mut topics = line.topics();
    topics.sort();
    assert_eq!(topics, [("missing".into(), true), ("t".into(), true)], "it is looked for");
    assert!(line.next(&"missing".into()).is_none());
    assert!(line.next(&"t".into()).is_some(), "meanwhile others are sent");
}
