//! The records of a task on their way to the brokers, and the calls that wait for them.
//!
//! Thousands of calls of a task wait at once, and none of them asks the client itself: one of them
//! drives for all. It has what waits sent, and looks at the brokers' answers in the order in which they
//! come, that of a partition: so a record costs a place here and one wake, not a future of the client
//! library with all its state. Each topic has a lane of its own, so one that does not exist holds up no
//! other, and each partition a queue, so one without a leader does not either.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::task::coop::unconstrained;

use crate::kafka::client::{Outgoing, Trouble};
use crate::kafka::record::TopicName;

/// Why a record was not written.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) trouble: Trouble,
    /// Which client said so; none: there was none.
    pub(super) client: Option<u64>,
}

/// What became of a record.
pub(super) type Written = Result<(), Failure>;

/// What a client gave for a record that it has.
pub(super) struct Sent<D> {
    pub(super) partition: usize,
    /// Which client it was.
    pub(super) client: u64,
    /// Ends when the brokers have it.
    pub(super) delivery: D,
}

/// What is known of a call.
struct Place {
    waker: Option<Waker>,
    written: Option<Written>,
    /// Its record waits or is on its way.
    is_open: bool,
    /// The call was dropped: its record is not to be sent any more.
    given_up: bool,
}

/// The records of a topic.
struct Lane<D> {
    waiting: VecDeque<(usize, Outgoing)>,
    /// One of them is with who sends, and neither waits nor is away.
    is_sending: bool,
    /// By partition, those that the client has, in its order.
    away: Vec<VecDeque<(usize, u64, D)>>,
}

impl<D> Lane<D> {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.is_sending && self.away.iter().all(VecDeque::is_empty)
    }
}

/// The calls.
struct Places {
    all: Vec<Place>,
    free: Vec<usize>,
    /// The call that drives.
    driver: Option<usize>,
    /// The call that came last.
    latest: usize,
}

impl Places {
    fn take(&mut self) -> usize {
        let place = Place { waker: None, written: None, is_open: true, given_up: false };
        self.latest = match self.free.pop() {
            Some(ticket) => {
                self.all[ticket] = place;
                ticket
            }
            None => {
                self.all.push(place);
                self.all.len() - 1
            }
        };
        self.latest
    }

    fn settle(&mut self, ticket: usize, written: Written) {
        let place = &mut self.all[ticket];
        if place.given_up {
            self.free.push(ticket);
            return;
        }
        place.is_open = false;
        place.written = Some(written);
        if let Some(waker) = place.waker.take() {
            waker.wake();
        }
    }

    fn wake_driver(&self) {
        if let Some(waker) = self.driver.and_then(|driver| self.all[driver].waker.as_ref()) {
            waker.wake_by_ref();
        }
    }

    /// Nobody drives any more: somebody who waits is to go on, if possible one who waits for long.
    fn pass_on(&mut self) {
        let waits = |place: &Place| place.is_open && !place.given_up;
        let latest = Some(self.latest).filter(|ticket| waits(&self.all[*ticket]));
        self.driver = latest.or_else(|| self.all.iter().position(waits));
        self.wake_driver();
    }
}

struct State<D> {
    lanes: HashMap<TopicName, Lane<D>>,
    places: Places,
}

/// The records of a task on their way.
pub(super) struct Line<D>(RefCell<State<D>>);

impl<D: Future<Output = Result<(), Trouble>> + Unpin> Line<D> {
    pub(super) fn new() -> Self {
        let places = Places { all: Vec::new(), free: Vec::new(), driver: None, latest: 0 };
        Self(RefCell::new(State { lanes: HashMap::new(), places }))
    }

    /// Puts a record behind those of its topic, and gives the ticket of its call.
    pub(super) fn enter(&self, record: Outgoing) -> usize {
        let State { lanes, places } = &mut *self.0.borrow_mut();
        let ticket = places.take();
        if let Some(lane) = lanes.get_mut(&record.topic) {
            // Those behind the first are sent together with it.
            if lane.waiting.is_empty() {
                places.wake_driver();
            }
            lane.waiting.push_back((ticket, record));
        } else {
            let topic = record.topic.clone();
            let waiting = VecDeque::from([(ticket, record)]);
            lanes.insert(topic, Lane { waiting, is_sending: false, away: Vec::new() });
            places.wake_driver();
        }
        ticket
    }

    /// What became of a call's record, once.
    pub(super) fn written(&self, ticket: usize) -> Option<Written> {
        self.0.borrow_mut().places.all[ticket].written.take()
    }

    /// Waits with a call; true: it is the one that drives.
    pub(super) fn wait(&self, ticket: usize, waker: &Waker) -> bool {
        let places = &mut self.0.borrow_mut().places;
        match &mut places.all[ticket].waker {
            Some(own) => own.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        *places.driver.get_or_insert(ticket) == ticket
    }

    /// A call ends, with its result or without.
    pub(super) fn leave(&self, ticket: usize) {
        let places = &mut self.0.borrow_mut().places;
        let place = &mut places.all[ticket];
        place.waker = None;
        if place.is_open {
            place.given_up = true;
        } else {
            places.free.push(ticket);
        }
        if places.driver == Some(ticket) {
            places.pass_on();
        }
    }

    /// The topics that records go to now, and whether any of these is still to be sent.
    pub(super) fn topics(&self) -> Vec<(TopicName, bool)> {
        let lanes = &self.0.borrow().lanes;
        let to_send = |lane: &Lane<D>| lane.is_sending || !lane.waiting.is_empty();
        lanes.iter().map(|(topic, lane)| (topic.clone(), to_send(lane))).collect()
    }

    /// Takes the next record of a topic that somebody still waits for; [`sent`](Self::sent) says what
    /// became of it.
    pub(super) fn next(&self, topic: &TopicName) -> Option<(usize, Outgoing)> {
        let State { lanes, places } = &mut *self.0.borrow_mut();
        let lane = lanes.get_mut(topic)?;
        while let Some((ticket, record)) = lane.waiting.pop_front() {
            if !places.all[ticket].given_up {
                lane.is_sending = true;
                return Some((ticket, record));
            }
            places.free.push(ticket);
        }
        None
    }

    /// The client has a record, or has refused it.
    pub(super) fn sent(&self, topic: &TopicName, ticket: usize, sent: Result<Sent<D>, Failure>) {
        let State { lanes, places } = &mut *self.0.borrow_mut();
        let Some(lane) = lanes.get_mut(topic) else { return };
        lane.is_sending = false;
        let sent = match sent {
            Ok(sent) => sent,
            Err(failure) => return places.settle(ticket, Err(failure)),
        };
        if lane.away.len() <= sent.partition {
            lane.away.resize_with(sent.partition + 1, VecDeque::new);
        }
        lane.away[sent.partition].push_back((ticket, sent.client, sent.delivery));
    }

    /// Takes the brokers' answers for a topic that are there, and has the driver woken for the next.
    pub(super) fn drain(&self, topic: &TopicName, cx: &mut Context<'_>) {
        let State { lanes, places } = &mut *self.0.borrow_mut();
        let Some(lane) = lanes.get_mut(topic) else { return };
        for queue in &mut lane.away {
            while let Some((ticket, client, delivery)) = queue.front_mut() {
                // All that are there, however many: tokio would have it pause after a hundred.
                let Poll::Ready(result) = pin!(unconstrained(delivery)).poll(cx) else { break };
                let (ticket, client) = (*ticket, *client);
                queue.pop_front();
                let failure = |trouble| Failure { trouble, client: Some(client) };
                places.settle(ticket, result.map_err(failure));
            }
        }
        if lane.is_empty() {
            lanes.remove(topic);
        }
    }
}

#[cfg(test)]
mod tests;
