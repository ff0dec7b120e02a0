//! The line with answers that the test gives.

use std::pin::Pin;

use tokio::sync::oneshot::{self, Receiver, Sender};

use super::*;
use crate::kafka::client::Kind;
use crate::kafka::record::Headers;

type Answer = Result<(), Trouble>;

/// A delivery that ends when the test says so.
struct Delivery(Receiver<Answer>);

impl Future for Delivery {
    type Output = Answer;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.0).poll(cx).map(Result::unwrap)
    }
}

fn record(topic: &str) -> Outgoing {
    Outgoing { topic: topic.into(), key: None, value: None, headers: Headers::default() }
}

/// A line with a numbered job for each of these topics.
fn line(topics: &[&str]) -> Line<usize, Delivery> {
    let line = Line::new();
    topics.iter().enumerate().for_each(|(job, topic)| line.enter(job, record(topic)));
    line
}

/// Sends the next record of a topic to a partition.
fn send(line: &Line<usize, Delivery>, topic: &str, partition: usize) -> Sender<Answer> {
    let (answer, delivery) = oneshot::channel();
    line.next(&topic.into()).unwrap();
    let sent = Sent { partition, client: 1, delivery: Delivery(delivery) };
    line.sent(&topic.into(), Ok(sent));
    answer
}

/// What was written of a topic, and what was not.
fn drain(line: &Line<usize, Delivery>, topic: &str) -> (Vec<usize>, Vec<(usize, Failure)>) {
    let mut written = Vec::new();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let failed = line.drain(&topic.into(), &mut cx, |job| written.push(job));
    (written, failed)
}

#[test]
fn a_partition_that_does_not_answer_holds_up_no_other() {
    let line = line(&["t", "t", "t"]);
    let never = send(&line, "t", 0);
    let (second, third) = (send(&line, "t", 1), send(&line, "t", 1));
    third.send(Ok(())).unwrap();
    assert!(drain(&line, "t").0.is_empty(), "a broker answers in order");
    second.send(Ok(())).unwrap();
    assert_eq!(drain(&line, "t").0, [1, 2]);
    assert_eq!(line.topics(), [("t".into(), false)], "the first has no answer");
    never.send(Ok(())).unwrap();
    assert_eq!(drain(&line, "t").0, [0]);
    assert!(line.topics().is_empty(), "a topic with nothing on its way costs nothing");
}

#[test]
fn a_failure_comes_back_with_its_job_and_the_client_that_failed() {
    let line = line(&["t", "t", "t"]);
    let (first, second) = (send(&line, "t", 0), send(&line, "t", 0));
    let trouble = || Trouble { kind: Kind::Fatal, text: "fenced".to_owned() };
    first.send(Err(trouble())).unwrap();
    second.send(Ok(())).unwrap();
    line.next(&"t".into()).unwrap();
    line.sent(&"t".into(), Err(Failure { trouble: trouble(), client: None }));
    let (written, failed) = drain(&line, "t");
    let clients: Vec<_> = failed.iter().map(|(job, failure)| (*job, failure.client)).collect();
    assert_eq!((written, clients), (vec![1], vec![(2, None), (0, Some(1))]));
}

#[test]
fn topics_go_by_themselves() {
    let line = line(&["t", "missing", "t"]);
    assert!(line.next(&"missing".into()).is_some());
    assert!(line.next(&"missing".into()).is_none());
    assert!(line.next(&"t".into()).is_some(), "meanwhile others are sent");
    let mut topics = line.topics();
    topics.sort();
    assert_eq!(topics, [("missing".into(), true), ("t".into(), true)]);
}

#[test]
fn what_is_late_is_taken_out_wherever_it_is() {
    let line = line(&["t"; 5]);
    let answers = [send(&line, "t", 0), send(&line, "t", 0)];
    assert!(line.next(&"t".into()).is_some(), "this one is being sent");
    assert_eq!(line.take_out(|job| job % 2 == 0), [4, 2, 0]);
    answers.into_iter().for_each(|answer| drop(answer.send(Ok(()))));
    let (_unheard, delivery) = oneshot::channel();
    let sent = Sent { partition: 0, client: 1, delivery: Delivery(delivery) };
    line.sent(&"t".into(), Ok(sent));
    assert_eq!(drain(&line, "t").0, [1]);
    let third = send(&line, "t", 0);
    third.send(Ok(())).unwrap();
    assert_eq!(drain(&line, "t").0, [3], "nobody waits for the one that was taken out");
    assert!(line.topics().is_empty());
}
