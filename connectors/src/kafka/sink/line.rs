//! The records of a topic on their way to the brokers, each with a job of which it is a part.
//!
//! Each topic has a line of its own, so one that does not exist holds up no other, and each partition a
//! queue of answers to come, so one without a leader does not either. The client answers in the order of a
//! partition, so of each queue only the first answer is waited for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::kafka::client::{Outgoing, Trouble};

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
pub(super) struct Line<J, D>(RefCell<Records<J, D>>);

struct Records<J, D> {
    waiting: VecDeque<(J, Outgoing)>,
    /// A record is with who sends, and neither waits nor is away.
    is_sending: bool,
    /// Its job; nothing if that was taken out.
    sending: Option<J>,
    /// By partition, those that the client has, in its order.
    away: Vec<VecDeque<Away<J, D>>>,
    /// Jobs whose records the client did not take.
    refused: Vec<(J, Failure)>,
}

impl<J, D: Future<Output = Result<(), Trouble>> + Unpin> Line<J, D> {
    pub(super) fn new() -> Self {
        Self(RefCell::new(Records {
            waiting: VecDeque::new(),
            is_sending: false,
            sending: None,
            away: Vec::new(),
            refused: Vec::new(),
        }))
    }

    /// Puts a record behind the others.
    pub(super) fn enter(&self, job: J, record: Outgoing) {
        self.0.borrow_mut().waiting.push_back((job, record));
    }

    /// Whether there is something to be sent, or who sends has a record.
    pub(super) fn is_to_send(&self) -> bool {
        let records = self.0.borrow();
        records.is_sending || !records.waiting.is_empty()
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        let records = self.0.borrow();
        let is_away = records.away.iter().any(|queue| !queue.is_empty());
        records.waiting.is_empty() && !records.is_sending && !is_away && records.refused.is_empty()
    }

    /// Takes the next record; [`sent`](Self::sent) says what became of it.
    pub(super) fn next(&self) -> Option<Outgoing> {
        let records = &mut *self.0.borrow_mut();
        let (job, record) = records.waiting.pop_front()?;
        (records.is_sending, records.sending) = (true, Some(job));
        Some(record)
    }

    /// What became of the record that was taken to be sent.
    pub(super) fn sent(&self, sent: Result<Sent<D>, Failure>) {
        let records = &mut *self.0.borrow_mut();
        records.is_sending = false;
        let Some(job) = records.sending.take() else { return };
        match sent {
            Err(failure) => records.refused.push((job, failure)),
            Ok(Sent { partition, client, delivery }) => {
                if records.away.len() <= partition {
                    records.away.resize_with(partition + 1, VecDeque::new);
                }
                records.away[partition].push_back(Away { job, client, delivery });
            }
        }
    }

    /// Takes the brokers' answers that are there, and has the task woken for the next: those that were
    /// written are told one by one, the others are given back.
    pub(super) fn drain(
        &self,
        cx: &mut Context<'_>,
        mut written: impl FnMut(J),
    ) -> Vec<(J, Failure)> {
        let records = &mut *self.0.borrow_mut();
        let mut failed = std::mem::take(&mut records.refused);
        for queue in &mut records.away {
            while let Some(first) = queue.front_mut() {
                let Poll::Ready(answer) = Pin::new(&mut first.delivery).poll(cx) else { break };
                let Some(Away { job, client, .. }) = queue.pop_front() else { break };
                match answer {
                    Ok(()) => written(job),
                    Err(trouble) => failed.push((job, Failure { trouble, client: Some(client) })),
                }
            }
        }
        failed
    }

    /// Takes out the jobs for which this holds. What the client has of them may still be written.
    pub(super) fn take_out(&self, which: impl Fn(&J) -> bool) -> Vec<J> {
        let records = &mut *self.0.borrow_mut();
        let out = take_if(&mut records.waiting, |(job, _)| which(job));
        let mut taken: Vec<J> = out.into_iter().map(|(job, _)| job).collect();
        taken.extend(records.sending.take_if(|job| which(job)));
        for queue in &mut records.away {
            let out = take_if(queue, |away| which(&away.job));
            taken.extend(out.into_iter().map(|away| away.job));
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
