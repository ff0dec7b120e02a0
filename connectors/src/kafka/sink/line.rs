//! The records of a task on their way to the brokers, each with a job of which it is a part.
//!
//! Each topic has a lane of its own, so one that does not exist holds up no other, and each partition a
//! queue of answers to come, so one without a leader does not either. The client answers in the order of a
//! partition, so of each queue only the first answer is waited for.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::kafka::client::{Outgoing, Trouble};
use crate::kafka::record::TopicName;

/// Why a record was not written.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) trouble: Trouble,
    /// Which client said so; none: there was none.
    pub(super) client: Option<u64>,
}

/// What a client gave for a record that it has.
pub(super) struct Sent<D> {
    pub(super) partition: usize,
    /// Which client it was.
    pub(super) client: u64,
    /// Ends when the brokers have it.
    pub(super) delivery: D,
}

/// A record that the client has.
struct Away<J, D> {
    job: J,
    client: u64,
    delivery: D,
}

/// The records of a topic.
struct Lane<J, D> {
    waiting: VecDeque<(J, Outgoing)>,
    /// A record is with who sends, and neither waits nor is away.
    is_sending: bool,
    /// Its job; nothing if that was taken out.
    sending: Option<J>,
    /// By partition, those that the client has, in its order.
    away: Vec<VecDeque<Away<J, D>>>,
}

impl<J, D> Lane<J, D> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), is_sending: false, sending: None, away: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.is_sending && self.away.iter().all(VecDeque::is_empty)
    }
}

struct Lanes<J, D> {
    all: HashMap<TopicName, Lane<J, D>>,
    /// Jobs whose records the client did not take.
    refused: Vec<(J, Failure)>,
}

/// The records of a task on their way.
pub(super) struct Line<J, D>(RefCell<Lanes<J, D>>);

impl<J, D: Future<Output = Result<(), Trouble>> + Unpin> Line<J, D> {
    pub(super) fn new() -> Self {
        Self(RefCell::new(Lanes { all: HashMap::new(), refused: Vec::new() }))
    }

    /// Puts a record behind those of its topic.
    pub(super) fn enter(&self, job: J, record: Outgoing) {
        let lanes = &mut self.0.borrow_mut().all;
        match lanes.get_mut(&record.topic) {
            Some(lane) => lane.waiting.push_back((job, record)),
            None => {
                let lane = lanes.entry(record.topic.clone()).or_insert_with(Lane::new);
                lane.waiting.push_back((job, record));
            }
        }
    }

    /// The topics that records go to now, and whether any of these is still to be sent.
    pub(super) fn topics(&self) -> Vec<(TopicName, bool)> {
        let to_send = |lane: &Lane<J, D>| lane.is_sending || !lane.waiting.is_empty();
        let lanes = &self.0.borrow().all;
        lanes.iter().map(|(topic, lane)| (topic.clone(), to_send(lane))).collect()
    }

    /// Takes the next record of a topic; [`sent`](Self::sent) says what became of it.
    pub(super) fn next(&self, topic: &TopicName) -> Option<Outgoing> {
        let lanes = &mut self.0.borrow_mut().all;
        let lane = lanes.get_mut(topic)?;
        let (job, record) = lane.waiting.pop_front()?;
        (lane.is_sending, lane.sending) = (true, Some(job));
        Some(record)
    }

    /// What became of a record that was taken to be sent.
    pub(super) fn sent(&self, topic: &TopicName, sent: Result<Sent<D>, Failure>) {
        let Lanes { all, refused } = &mut *self.0.borrow_mut();
        let Some(lane) = all.get_mut(topic) else { return };
        lane.is_sending = false;
        let Some(job) = lane.sending.take() else { return };
        match sent {
            Err(failure) => refused.push((job, failure)),
            Ok(Sent { partition, client, delivery }) => {
                if lane.away.len() <= partition {
                    lane.away.resize_with(partition + 1, VecDeque::new);
                }
                lane.away[partition].push_back(Away { job, client, delivery });
            }
        }
    }

    /// Takes the brokers' answers for a topic that are there, and has the task woken for the next: those
    /// that were written are told one by one, the others are given back.
    pub(super) fn drain(
        &self,
        topic: &TopicName,
        cx: &mut Context<'_>,
        mut written: impl FnMut(J),
    ) -> Vec<(J, Failure)> {
        let Lanes { all, refused } = &mut *self.0.borrow_mut();
        let mut failed = std::mem::take(refused);
        let Some(lane) = all.get_mut(topic) else { return failed };
        for queue in &mut lane.away {
            while let Some(first) = queue.front_mut() {
                let Poll::Ready(answer) = Pin::new(&mut first.delivery).poll(cx) else { break };
                let Some(Away { job, client, .. }) = queue.pop_front() else { break };
                match answer {
                    Ok(()) => written(job),
                    Err(trouble) => failed.push((job, Failure { trouble, client: Some(client) })),
                }
            }
        }
        if lane.is_empty() {
            all.remove(topic);
        }
        failed
    }

    /// Takes out the jobs for which this holds. What the client has of them may still be written.
    pub(super) fn take_out(&self, which: impl Fn(&J) -> bool) -> Vec<J> {
        let mut taken = Vec::new();
        for lane in self.0.borrow_mut().all.values_mut() {
            let out = take_if(&mut lane.waiting, |(job, _)| which(job));
            taken.extend(out.into_iter().map(|(job, _)| job));
            taken.extend(lane.sending.take_if(|job| which(job)));
            for queue in &mut lane.away {
                let out = take_if(queue, |away| which(&away.job));
                taken.extend(out.into_iter().map(|away| away.job));
            }
        }
        taken
    }
}

/// Takes out those for which this holds; the others stay in their order.
fn take_if<E>(queue: &mut VecDeque<E>, which: impl Fn(&E) -> bool) -> VecDeque<E> {
    if !queue.iter().any(&which) {
        return VecDeque::new();
    }
    let (out, stay) = std::mem::take(queue).into_iter().partition(which);
    *queue = stay;
    out
}

#[cfg(test)]
mod tests;
