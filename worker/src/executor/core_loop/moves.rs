//! Executors that come to a loop and leave it, and what the loop does about a new routing table.
//!
//! An executor that comes has its mailbox at once and starts when nobody else has tasks of it. One
//! that leaves finishes what it has. It has all that will come when every worker has said that it
//! goes by a table in which the executor is elsewhere: what was sent before is then in the mailbox.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use topology_api::runtime::{Calls, Kind};

use super::CoreLoop;
use crate::engine::acking::FailReason;
use crate::executor::bolt::BoltExecutor;
use crate::executor::exits::Exits;
use crate::executor::inbox::Message;
use crate::executor::mailbox::{Item, Mailbox, StreamRef};
use crate::executor::outbox::{EdgeStart, Outbox};
use crate::executor::plan::Plan;
use crate::executor::routes::Routes;
use crate::executor::seating::{OwnExecutor, Seat};
use crate::executor::spout::SpoutExecutor;

/// How long an executor that leaves may get nothing done of what it has; then the rest fails. A
/// worker that does not hear of new routing tables, or a component that holds its inputs, must not keep
/// the new owner waiting.
const STALLED_MAX: Duration = Duration::from_secs(10);

/// How long it may take in all.
const FINISH_MAX: Duration = Duration::from_secs(30);

/// An executor whose tasks are somebody else's.
pub(super) struct Leaving {
    place: usize,
    /// The name of its component.
    component: String,
    /// The routing table that says so.
    version: u64,
    /// What it had got done when it was last seen to get something done.
    progress: u64,
    /// When what it has not finished fails if it gets nothing more done.
    pub(super) deadline: Instant,
    /// When it fails anyway.
    last: Instant,
}

impl CoreLoop {
    /// Whether an executor sits at this place, or one that leaves still does.
    pub(super) fn is_taken(&self, place: usize) -> bool {
        self.exits.bolts.get(place).is_some_and(Option::is_some)
            || self.spouts.get(place).is_some_and(Option::is_some)
    }

    /// Keeps an item for an executor that is still to come; one for an executor that has left fails.
    pub(super) fn misdirected(&mut self, executor: usize, item: Item) {
        if executor >= self.exits.mailboxes.len() {
            self.early.push(Message::Item { executor, item });
            return;
        }
        if let Item::Batch(delivery) = item {
            let reason = FailReason::Moved;
            self.exits.took(&delivery, false);
            self.plan.board.count(delivery.target, reason.name(), delivery.tuples);
            self.exits.fail_all(&delivery.tracking, reason);
        }
    }

    /// Goes by new routes.
    pub(super) fn adopt(&mut self, routes: Arc<Routes>) {
        let before = Arc::clone(&self.exits.routes);
        if routes.table.version() < before.table.version() {
            return;
        }
        // A ledger that starts under this table must know which incarnations were lost before:
        // a bolt with an older table may still send to them.
        let retired_at = before.table.retired_since(&routes.table);
        self.exits.adopt(Arc::clone(&routes));
        for spout in self.spouts.iter_mut().flatten() {
            spout.adopt(retired_at, &before.table, &self.exits);
        }
        let mut bolts = std::mem::take(&mut self.exits.bolts);
        bolts.iter_mut().flatten().for_each(|bolt| bolt.adopt(&before.table, &self.exits));
        self.exits.bolts = bolts;
        self.seat();
        self.messages_again();
        if routes.adopted_by_one_of(self.exits.loops.len()) {
            self.exits.tell_adopted();
        }
    }

    /// Takes items that came before the place they are for.
    fn messages_again(&mut self) {
        for message in std::mem::take(&mut self.early) {
            if let Message::Item { executor, item } = message {
                match self.is_taken(executor) {
                    true => self.exits.mailboxes[executor].push(item),
                    false => self.misdirected(executor, item),
                }
            }
        }
    }

    /// Makes the executors that have a seat on this loop and are not there yet, starts those that
    /// may, and has those leave whose seat says so.
    pub(super) fn seat(&mut self) {
        let seating = Arc::clone(&self.exits.routes.seating);
        for seat in seating.seats_at(self.exits.at) {
            let is_new = seat.place >= self.exits.mailboxes.len();
            // One that has left for good keeps its seat until the next routes.
            if !is_new && !self.is_taken(seat.place) {
                continue;
            }
            if is_new {
                self.make(seat);
            }
            if seat.leaves {
                self.leave(seat);
            } else if seat.may_start {
                self.start(seat.place);
            }
        }
        let component = |place: usize| {
            let mut seats = seating.seats_at(self.exits.at);
            seats.find(|seat| seat.place == place).map(|seat| seat.executor.component)
        };
        let mut order: Vec<usize> =
            (0..self.spouts.len()).filter(|place| self.is_taken(*place)).collect();
        order.sort_by_key(|place| (Reverse(component(*place)), *place));
        self.order = order;
    }

    fn make(&mut self, seat: &Seat) {
        let places = seat.place + 1;
        self.exits.mailboxes.resize_with(places, Mailbox::default);
        self.exits.bolts.resize_with(places, || None);
        self.spouts.resize_with(places, || None);
        self.exits.mailboxes[seat.place] = Mailbox::new(Arc::clone(&seat.gauge));
        let edges = edges(&self.plan, &seat.executor, &self.exits);
        let component = seat.executor.component;
        let streams = self.plan.topology.components()[component].outputs.len();
        let outbox = Outbox::new((component, streams), edges, seat.executor.ownership);
        let now = self.exits.now;
        self.exits.efforts.seat(seat.place, seat.executor.index, now);
        if self.plan.topology.components()[seat.executor.component].is_spout() {
            let mut spout = SpoutExecutor::new(&self.plan, seat, outbox, now);
            spout.desire(self.desired);
            self.spouts[seat.place] = Some(Box::new(spout));
        } else {
            let bolt = BoltExecutor::new(&self.plan, seat, outbox, now);
            self.exits.bolts[seat.place] = Some(Box::new(bolt));
        }
    }

    fn start(&mut self, place: usize) {
        if let Some(bolt) = &mut self.exits.bolts[place] {
            bolt.start(&self.plan);
        }
        if let Some(spout) = &mut self.spouts[place] {
            spout.start(&self.plan, &self.exits.routes.table);
        }
    }

    fn leave(&mut self, seat: &Seat) {
        if self.leaving.iter().any(|leaving| leaving.place == seat.place) {
            return;
        }
        if let Some(spout) = &mut self.spouts[seat.place] {
            spout.leave();
        }
        self.leaving.push(Leaving {
            place: seat.place,
            component: self.plan.topology.components()[seat.executor.component].name.clone(),
            version: self.exits.version(),
            progress: 0,
            deadline: self.exits.now + STALLED_MAX,
            last: self.exits.now + FINISH_MAX,
        });
    }

    /// Has those go that leave and have finished what they had, or had their time.
    pub(super) fn let_go(&mut self) {
        for at in (0..self.leaving.len()).rev() {
            let leaving = &mut self.leaving[at];
            let (bolt, spout) =
                (self.exits.bolts[leaving.place].as_ref(), self.spouts[leaving.place].as_ref());
            let bolt_done = bolt.is_none_or(|bolt| bolt.is_done(&self.exits));
            let spout_done = spout.is_none_or(|spout| spout.is_done());
            let done = bolt_done && spout_done && self.exits.all_adopted(leaving.version);
            let progress = bolt.map_or(0, |bolt| bolt.progress());
            if leaving.progress != progress {
                leaving.progress = progress;
                leaving.deadline = leaving.last.min(self.exits.now + STALLED_MAX);
            }
            if done || self.exits.now >= leaving.deadline {
                let Leaving { place, component, .. } = self.leaving.swap_remove(at);
                match done {
                    true => tracing::info!(component, "let go of an executor"),
                    false => {
                        tracing::warn!(component, "let go of an executor that had not finished");
                    }
                }
                self.end(place);
                self.plan.board.let_go(self.exits.at, place);
            }
        }
    }

    fn end(&mut self, place: usize) {
        if let Some(mut bolt) = self.exits.bolts[place].take() {
            bolt.let_go(&self.plan, &mut self.exits);
            bolt.gather(&mut self.exits.flows);
            self.plan.board.post_last(bolt.counters(&self.exits));
        }
        if let Some(mut spout) = self.spouts[place].take() {
            spout.let_go(&self.plan, &mut self.exits);
            spout.gather(&mut self.exits.flows);
            self.plan.board.post_last(spout.counters());
        }
        self.exits.mailboxes[place] = Mailbox::default();
        self.exits.efforts.unseat(place);
        self.order.retain(|other| *other != place);
        // What waited here is no longer on the board as what waits for longest.
        self.unposted = true;
        self.exits.flush();
    }
}

/// The subscriptions of an executor's streams, with their targets placed.
fn edges<'a>(plan: &'a Plan, executor: &OwnExecutor, exits: &Exits) -> Vec<EdgeStart<'a>> {
    let components = plan.topology.components();
    let mut edges = Vec::new();
    for (reader, component) in components.iter().enumerate() {
        for input in component.inputs.iter().filter(|input| input.component == executor.component) {
            let targets = plan.topology.tasks(reader).map(|task| (task, exits.place_of(task)));
            edges.push(EdgeStart {
                from: StreamRef { component: input.component, stream: input.stream },
                reader,
                output: &components[input.component].outputs[input.stream],
                grouping: &input.grouping,
                in_call: component.calls == Calls::Short && component.kind == Kind::Bolt,
                targets: targets.collect(),
                seed: rand::random(),
            });
        }
    }
    edges
}
