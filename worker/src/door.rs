//! Where frames of other workers come in: hands their items to the loops.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use daemon::Clock;

use crate::engine::acking::{FailReason, Tracking};
use crate::engine::flow::{Budget, charge};
use crate::engine::routing::Misrouted;
use crate::executor::inbox::{Inbox, Message};
use crate::executor::mailbox::{Delivery, Gauge, Item, Payload, StreamRef};
use crate::executor::plan::Plan;
use crate::executor::routes::Routes;
use crate::transport::{BatchHead, Item as FrameItem, Receiver, Transport};

/// How long it counts what a worker said of its queues; while tuples wait it says so four times a
/// second.
const WAITING_HOLDS: Duration = Duration::from_secs(2);

/// Takes the frames; what comes before the loops are there waits for them.
pub(crate) struct Door {
    clock: Clock,
    /// What comes in is charged here until an executor takes it.
    budget: Arc<Budget>,
    state: Mutex<DoorState>,
}

#[derive(Default)]
struct DoorState {
    inside: Option<Inside>,
    /// What came before the loops were there; bounded by the credit of the peers.
    early: Vec<(u32, Vec<FrameItem>)>,
    /// By worker: how long tuples wait there, in nanoseconds, and when it said so.
    waiting: BTreeMap<u32, (u64, Instant)>,
}

struct Inside {
    transport: Transport,
    plan: Arc<Plan>,
    inboxes: Arc<[Arc<Inbox>]>,
    routes: Arc<Routes>,
    /// What is for tasks that are to be this worker's by a newer routing table than it has; bounded
    /// by the credit of the peers.
    early: Vec<(u32, FrameItem)>,
}

impl Door {
    pub(crate) fn new(clock: Clock, budget: Arc<Budget>) -> Self {
        Self { clock, budget, state: Mutex::default() }
    }

    /// The longest that a tuple waits in any other worker, in nanoseconds.
    pub(crate) fn waiting_ns(&self) -> u64 {
        let now = self.clock.now();
        let state = self.lock();
        let recent = state
            .waiting
            .values()
            .filter(|(_, at)| now.saturating_duration_since(*at) < WAITING_HOLDS);
        recent.map(|(waiting, _)| *waiting).max().unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DoorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over from now on, and first what came before.
    pub(crate) fn open(
        &self,
        (transport, plan): (Transport, Arc<Plan>),
        inboxes: Arc<[Arc<Inbox>]>,
        routes: Arc<Routes>,
    ) {
        let mut inside = Inside { transport, plan, inboxes, routes, early: Vec::new() };
        let mut state = self.lock();
        for (from, items) in std::mem::take(&mut state.early) {
            inside.hand_over(from, items, &self.clock);
        }
        state.inside = Some(inside);
    }

    /// Goes by other routes from now on; the loops have been told of them.
    pub(crate) fn adopt(&self, routes: Arc<Routes>) {
        if let Some(inside) = &mut self.lock().inside {
            inside.routes = routes;
            for (from, item) in std::mem::take(&mut inside.early) {
                // Nobody reads the end of a stream that is not here by now.
                let is_end = matches!(item, FrameItem::EndOfStream { .. });
                if !is_end || inside.reader_of(&item).is_some() {
                    inside.hand_over(from, vec![item], &self.clock);
                }
            }
        }
    }
}

/// Whose a batch is.
enum Owner {
    /// An executor of this worker: its loop, its place there, and how full its mailbox is.
    Here(usize, usize, Arc<Gauge>),
    /// To be this worker's, or somebody's, by a newer table.
    NotYet,
    /// Somebody else's by now.
    NotAnyMore,
    /// Nobody's: there is no such task or stream.
    Nobody,
}

impl Inside {
    fn hand_over(&mut self, peer: u32, items: Vec<FrameItem>, clock: &Clock) {
        let since = clock.now();
        for item in items {
            match item {
                FrameItem::Batch { head, tracking, rows } => {
                    self.batch(peer, (head, tracking, rows), since);
                }
                // The door keeps it.
                FrameItem::Waiting { .. } => {}
                FrameItem::Adopted { version } => {
                    for inbox in self.inboxes.iter() {
                        inbox.send(Message::Adopted(peer, version));
                    }
                }
                FrameItem::Acks { executor, batch } => {
                    let at = self.routes.seating.loop_of(executor).unwrap_or(0);
                    self.inboxes[at].send(Message::Acks(executor, batch));
                }
                FrameItem::EndOfStream { .. } => match self.reader_of(&item) {
                    Some((at, executor, item)) => {
                        self.inboxes[at].send(Message::Item { executor, item });
                    }
                    None => self.early.push((peer, item)),
                },
            }
        }
    }

    fn batch(&mut self, peer: u32, parts: (BatchHead, Tracking, Bytes), since: Instant) {
        let (head, tracking, rows) = parts;
        let (tuples, bytes) = (u64::from(head.count), rows.len() as u64);
        let refuse = |tracking, rows, reason: FailReason| {
            self.transport.consumed(peer, head.target_task, tuples, bytes);
            self.plan.budget.change(charge(tuples, bytes), 0);
            self.plan.board.count(head.target_task, reason.name(), tuples);
            let refused = vec![FrameItem::Batch { head, tracking, rows }];
            self.inboxes[0].send(Message::Lost(refused, reason));
        };
        match (self.stream(head.source_task, head.stream), self.owner(&head)) {
            (Some(from), Owner::Here(at, executor, gauge)) => {
                gauge.put(tuples, bytes);
                let delivery = Delivery {
                    target: head.target_task,
                    from,
                    payload: Payload::Encoded { bytes: rows, count: head.count },
                    tracking,
                    tuples,
                    bytes,
                    peer: Some(peer),
                    since,
                };
                let item = Item::Batch(delivery);
                self.inboxes[at].send(Message::Item { executor, item });
            }
            (None, _) | (_, Owner::Nobody) => refuse(tracking, rows, FailReason::Refused),
            (_, Owner::NotAnyMore) => refuse(tracking, rows, FailReason::Moved),
            (_, Owner::NotYet) => {
                self.early.push((peer, FrameItem::Batch { head, tracking, rows }));
            }
        }
    }

    /// Finds whose a batch is, by the owner epoch that its sender knows.
    fn owner(&self, head: &BatchHead) -> Owner {
        if let Some(seat) = self.routes.seating.seat_for(head.target_task, head.ownership) {
            return Owner::Here(seat.at, seat.place, Arc::clone(&seat.gauge));
        }
        match self.routes.table.misrouted(head.target_task, head.ownership) {
            _ if self.plan.component_of(head.target_task).is_none() => Owner::Nobody,
            Misrouted::Late => Owner::NotAnyMore,
            Misrouted::Early => Owner::NotYet,
        }
    }

    /// The loop and place of who reads a stream that has ended, and what it is told.
    fn reader_of(&self, item: &FrameItem) -> Option<(usize, usize, Item)> {
        let FrameItem::EndOfStream { target_task, source_task, stream, ownership } = *item else {
            return None;
        };
        let from = self.stream(source_task, stream)?;
        let seat = self.routes.seating.seat_of(target_task)?;
        let item = Item::End { target: target_task, source: source_task, from, ownership };
        Some((seat.at, seat.place, item))
    }

    fn stream(&self, source: u32, stream: u16) -> Option<StreamRef> {
        let component = self.plan.component_of(source)?;
        let stream = usize::from(stream);
        let known = stream < self.plan.topology.components()[component].outputs.len();
        known.then_some(StreamRef { component, stream })
    }
}

impl Receiver for Door {
    fn frame(&self, from: u32, items: Vec<FrameItem>) {
        let mut state = self.lock();
        if let Some(waiting) = items.iter().find_map(waiting_of) {
            state.waiting.insert(from, (waiting, self.clock.now()));
        }
        self.budget.change(0, items.iter().map(weight).sum());
        match &mut state.inside {
            Some(inside) => inside.hand_over(from, items, &self.clock),
            None => state.early.push((from, items)),
        }
    }

    fn lost(&self, peer: u32, items: Vec<FrameItem>, reason: FailReason) {
        tracing::debug!(peer, items = items.len(), reason = reason.name(), "frames abandoned");
        if let Some(inside) = &self.lock().inside {
            inside.inboxes[0].send(Message::Lost(items, reason));
        }
    }

    fn wake(&self) {
        if let Some(inside) = &self.lock().inside {
            inside.inboxes.iter().for_each(|inbox| inbox.wake());
        }
    }
}

/// What an item is charged with until it is taken.
fn weight(item: &FrameItem) -> u64 {
    match item {
        FrameItem::Batch { head, rows, .. } => charge(u64::from(head.count), rows.len() as u64),
        _ => 0,
    }
}

fn waiting_of(item: &FrameItem) -> Option<u64> {
    match item {
        FrameItem::Waiting { nanoseconds } => Some(*nanoseconds),
        _ => None,
    }
}
