//! Where frames of other workers come in: hands their items to the loops.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use daemon::Clock;

use crate::engine::acking::FailReason;
use crate::engine::flow::{Budget, charge};
use crate::executor::inbox::{Inbox, Message};
use crate::executor::mailbox::{Delivery, Item, Payload, StreamRef};
use crate::executor::plan::Plan;
use crate::transport::{Item as FrameItem, Receiver, Transport};

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
    pub(crate) fn open(&self, transport: Transport, plan: Arc<Plan>, inboxes: Arc<[Arc<Inbox>]>) {
        let inside = Inside { transport, plan, inboxes };
        let mut state = self.lock();
        for (from, items) in std::mem::take(&mut state.early) {
            inside.hand_over(from, items, &self.clock);
        }
        state.inside = Some(inside);
    }
}

impl Inside {
    fn hand_over(&self, peer: u32, items: Vec<FrameItem>, clock: &Clock) {
        let since = clock.now();
        for item in items {
            match item {
                FrameItem::Batch { head, tracking, rows } => {
                    let from = self.stream(head.source_task, head.stream);
                    let seat = self.plan.seat_of(head.target_task);
                    let (tuples, bytes) = (u64::from(head.count), rows.len() as u64);
                    let (Some(from), Some(seat)) = (from, seat) else {
                        self.transport.consumed(peer, head.target_task, tuples, bytes);
                        self.plan.budget.change(charge(tuples, bytes), 0);
                        let refused = vec![FrameItem::Batch { head, tracking, rows }];
                        self.inboxes[0].send(Message::Lost(refused, FailReason::Refused));
                        continue;
                    };
                    seat.gauge.put(tuples, bytes);
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
                    self.inboxes[seat.at].send(Message::Item { executor: seat.place, item });
                }
                // The door keeps it.
                FrameItem::Waiting { .. } => {}
                FrameItem::Acks { executor, batch } => {
                    let seat = self.plan.seated().find(|(own, _)| own.index == executor);
                    let at = seat.map_or(0, |(_, seat)| seat.at);
                    self.inboxes[at].send(Message::Acks(executor, batch));
                }
                FrameItem::EndOfStream { target_task, source_task, stream } => {
                    let from = self.stream(source_task, stream);
                    let seat = self.plan.seat_of(target_task);
                    if let (Some(from), Some(seat)) = (from, seat) {
                        let item = Item::End { target: target_task, source: source_task, from };
                        self.inboxes[seat.at].send(Message::Item { executor: seat.place, item });
                    }
                }
            }
        }
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
        match &state.inside {
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
