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

/// A line with so many numbered jobs.
fn line(jobs: usize) -> Line<usize, Delivery> {
    let line = Line::new();
    let record =
        || Outgoing { topic: "t".into(), key: None, value: None, headers: Headers::default() };
    (0..jobs).for_each(|job| line.enter(job, record()));
    line
}

/// Sends the next record to a partition.
fn send(line: &Line<usize, Delivery>, partition: usize) -> Sender<Answer> {
    let (answer, delivery) = oneshot::channel();
    line.next().unwrap();
    let sent = Sent { partition, client: 1, delivery: Delivery(delivery) };
    line.sent(Ok(sent));
    answer
}

/// What was written, and what was not.
fn drain(line: &Line<usize, Delivery>) -> (Vec<usize>, Vec<(usize, Failure)>) {
    let mut written = Vec::new();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let failed = line.drain(&mut cx, |job| written.push(job));
    (written, failed)
}

#[test]
fn a_partition_that_does_not_answer_holds_up_no_other() {
    let line = line(3);
    let never = send(&line, 0);
    let (second, third) = (send(&line, 1), send(&line, 1));
    third.send(Ok(())).unwrap();
    assert!(drain(&line).0.is_empty(), "a broker answers in order");
    second.send(Ok(())).unwrap();
    assert_eq!(drain(&line).0, [1, 2]);
    assert!(!line.is_to_send() && !line.is_empty(), "the first has no answer");
    never.send(Ok(())).unwrap();
    assert_eq!(drain(&line).0, [0]);
    assert!(line.is_empty());
}

#[test]
fn a_failure_comes_back_with_its_job_and_the_client_that_failed() {
    let line = line(3);
    let (first, second) = (send(&line, 0), send(&line, 0));
    let trouble = || Trouble { kind: Kind::Fatal, text: "fenced".to_owned() };
    first.send(Err(trouble())).unwrap();
    second.send(Ok(())).unwrap();
    line.next().unwrap();
    line.sent(Err(Failure { trouble: trouble(), client: None }));
    assert!(!line.is_empty(), "one is to be given back");
    let (written, failed) = drain(&line);
    let clients: Vec<_> = failed.iter().map(|(job, failure)| (*job, failure.client)).collect();
    assert_eq!((written, clients), (vec![1], vec![(2, None), (0, Some(1))]));
}

#[test]
fn what_is_late_is_taken_out_wherever_it_is() {
    let line = line(5);
    let answers = [send(&line, 0), send(&line, 0)];
    assert!(line.next().is_some(), "this one is being sent");
    assert!(line.is_to_send());
    assert_eq!(line.take_out(|job| job % 2 == 0), [4, 2, 0]);
    answers.into_iter().for_each(|answer| drop(answer.send(Ok(()))));
    let (_unheard, delivery) = oneshot::channel();
    let sent = Sent { partition: 0, client: 1, delivery: Delivery(delivery) };
    line.sent(Ok(sent));
    assert_eq!(drain(&line).0, [1]);
    let third = send(&line, 0);
    third.send(Ok(())).unwrap();
    assert_eq!(drain(&line).0, [3], "nobody waits for the one that was taken out");
    assert!(line.is_empty());
}
