//! The ways out of a loop: mailboxes on it, other loops, other workers, and ledgers anywhere.
//!
//! Each loop owns one of these and lends it to the executor whose turn it is.

mod acks;
mod frames;
mod memory;
mod places;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use daemon::Clock;
use topology_api::runtime::{Pool, Rows};

use crate::engine::acking::{AckBatch, AckBuffer, EdgeIds, FailReason, Tracking};
use crate::engine::flow::{Account, Gate, charge};
use crate::engine::routing::{Pressure, Table};
use crate::executor::bolt::BoltExecutor;
use crate::executor::calls::CallWatch;
use crate::executor::effort::Efforts;
use crate::executor::flows::Flows;
use crate::executor::inbox::{Inbox, Message};
use crate::executor::mailbox::{Delivery, Gauge, Item, Mailbox, Payload, StreamRef};
use crate::executor::plan::Plan;
use crate::executor::routes::Routes;
use crate::executor::taps::Taps;
use crate::executor::traces::Tracer;
use crate::transport::{FrameWriter, Link, Transport};

/// Emptied buffers of a kind that are kept.
const SPARES: usize = 64;

/// Where a task is, seen from a loop.
#[derive(Clone, Debug)]
pub enum Place {
    /// On this loop, at this place among its executors.
    Here(usize),
    /// On another loop of this worker.
    Loop {
        /// Which.
        at: usize,
        /// Its executor's place there.
        executor: usize,
        /// How full its mailbox is.
        gauge: Arc<Gauge>,
    },
    /// In another worker.
    Away {
        /// Which.
        worker: u32,
        /// Owner epoch of the task.
        ownership: u64,
        /// What may still be sent to it.
        gate: Arc<Gate>,
    },
    /// Nobody has it yet.
    Nowhere,
}

/// One batch that leaves an executor.
#[derive(Debug)]
pub struct Outgoing {
    /// The task it is for.
    pub target: u32,
    /// The task it comes from.
    pub source: u32,
    /// Its stream.
    pub from: StreamRef,
    /// The tuples.
    pub rows: Box<dyn Rows>,
    /// About how many bytes they have.
    pub bytes: usize,
    /// The trees they belong to.
    pub tracking: Tracking,
}

/// The ways out of one loop.
pub struct Exits {
    /// Which loop this is.
    pub at: usize,
    /// The time at the start of this round.
    pub now: Instant,
    clock: Clock,
    epoch: Instant,
    /// What waits for the executors of this loop.
    pub mailboxes: Vec<Mailbox>,
    /// The bolts of this loop by place, so that one may call another: the one whose turn it is, and
    /// those that called it, are out. Nothing at the places of spouts.
    pub bolts: Vec<Option<Box<BoltExecutor>>>,
    /// What the worker runs.
    pub plan: Arc<Plan>,
    /// Who looks at what is emitted.
    pub taps: Option<Arc<Taps>>,
    /// What a component said of the tuples that fail now.
    pub said: Option<Box<str>>,
    /// Notes what becomes of sampled trees, for who asks.
    pub tracer: Tracer,
    fusion: bool,
    /// What the executors of this loop do with their time.
    pub efforts: Efforts,
    /// How many tuples of this loop took which way, as far as they are gathered.
    pub flows: Flows,
    /// Sees the calls of this loop into components.
    pub watch: Arc<CallWatch>,
    /// A task has ended since the loop posted what its tasks count.
    pub ended: bool,
    /// Encoded bytes of the largest tuple that may be emitted.
    pub tuple_bytes_max: usize,
    /// All loops of this worker.
    pub loops: Arc<[Arc<Inbox>]>,
    /// Makes edge ids.
    pub ids: EdgeIds,
    /// The routing table in force.
    pub routes: Arc<Routes>,
    /// By worker, the table before which all that it sent is here.
    pub adopted: BTreeMap<u32, u64>,
    /// The way to other workers, if there is one.
    pub transport: Option<Transport>,
    /// Contributions on their way, with the index of the executor that owns the trees.
    acks: Vec<(u16, AckBuffer)>,
    /// Which of them was used last.
    last_acks: usize,
    /// For ledgers on this very loop.
    pub own_acks: Vec<(u16, AckBatch)>,
    /// Emptied buffers, for use again.
    pub pool: Pool,
    spare_tracking: Vec<Tracking>,
    spare_acks: Vec<AckBatch>,
    /// Frames being filled, by worker.
    frames: BTreeMap<u32, (Arc<Link>, FrameWriter)>,
    /// Verdicts that came too late, or were for nobody.
    pub late: u64,
    /// Whether this loop has time left for its own tasks.
    pub pressure: Pressure,
    /// What this loop holds for others to take.
    pub memory: Account,
    /// The worker holds so much that no more should be asked for.
    pub is_tight: bool,
    /// When to look again whether it does.
    look_at: Instant,
}

/// What a loop starts from.
pub struct ExitsStart {
    /// Which loop it is.
    pub at: usize,
    /// What the worker runs.
    pub plan: Arc<Plan>,
    /// All loops of the worker.
    pub loops: Arc<[Arc<Inbox>]>,
    /// The way to other workers.
    pub transport: Option<Transport>,
    /// Where its edge ids start: random.
    pub seed: u64,
    /// What tells the time.
    pub clock: Clock,
    /// What `now_ns` counts from: the same for all loops.
    pub epoch: Instant,
}

impl Exits {
    /// Opens the ways out of a loop; before the first table everything else is nowhere.
    #[must_use]
    pub fn new(start: ExitsStart) -> Self {
        let seating = Arc::clone(&start.plan.seating);
        let routes = Arc::new(Routes::new(Table::default(), BTreeMap::new(), seating));
        Self {
            at: start.at,
            now: start.clock.now(),
            clock: start.clock,
            epoch: start.epoch,
            mailboxes: Vec::new(),
            bolts: Vec::new(),
            ended: false,
            efforts: Efforts::default(),
            flows: Flows::default(),
            tuple_bytes_max: start.plan.topology.config().tuple_max_bytes() as usize,
            watch: start.plan.board.watch(start.epoch),
            fusion: start.plan.topology.config().fusion(),
            memory: Account::new(&start.plan.budget, start.at),
            is_tight: false,
            look_at: start.epoch,
            tracer: Tracer::new(start.plan.taps.as_ref().map(|taps| Arc::clone(&taps.traces))),
            taps: start.plan.taps.clone(),
            said: None,
            plan: start.plan,
            loops: start.loops,
            ids: EdgeIds::new(start.seed),
            routes,
            adopted: BTreeMap::new(),
            transport: start.transport,
            acks: Vec::new(),
            last_acks: 0,
            own_acks: Vec::new(),
            pool: Pool::default(),
            spare_tracking: Vec::new(),
            spare_acks: Vec::new(),
            frames: BTreeMap::new(),
            late: 0,
            pressure: Pressure::default(),
        }
    }

    /// Reads the clock: once a batch, never once a tuple.
    pub fn read_clock(&mut self) -> Instant {
        let now = self.clock.now();
        self.efforts.pass(now.saturating_duration_since(self.now));
        self.now = now;
        now
    }

    /// Reads the clock as an executor goes to work: time is its own from here on.
    pub fn begin(&mut self, place: usize) -> Instant {
        let now = self.read_clock();
        self.efforts.turn_to(Some(place));
        now
    }

    /// The same, without reading the clock if nobody else has worked since.
    pub fn go_on(&mut self, place: usize) {
        if self.efforts.owner().is_some_and(|owner| owner != place) {
            self.read_clock();
        }
        self.efforts.turn_to(Some(place));
    }

    /// The time of this round in nanoseconds since the worker started.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The version of the routing table in force: what contributions are stamped with.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.routes.table.version()
    }

    /// Notes whether anything was done in a round: a loop that never rests gives work away.
    pub fn note_round(&mut self, worked: bool) {
        let now_ns = self.now_ns();
        let (loops, at, seating) = (&self.loops, self.at, &self.routes.seating);
        let sleeps = || {
            let mut others = loops.iter().enumerate().filter(|(other, _)| *other != at);
            others.any(|(other, it)| it.is_parked() && seating.is_used(other))
        };
        self.pressure.round(worked, now_ns, sleeps);
    }

    /// Sends a batch; its sender has seen that there is room.
    pub fn send(&mut self, place: &Place, out: Outgoing) {
        let tuples = out.rows.len() as u64;
        let bytes = out.bytes as u64;
        match place {
            Place::Here(_) | Place::Loop { .. } => {
                self.memory.charge(charge(tuples, bytes));
                let item = Item::Batch(Delivery {
                    target: out.target,
                    from: out.from,
                    payload: Payload::Typed(out.rows),
                    tracking: out.tracking,
                    tuples,
                    bytes,
                    peer: None,
                    since: self.now,
                });
                if let Place::Loop { gauge, .. } = place {
                    gauge.put(tuples, bytes);
                } else if let Place::Here(executor) = place {
                    self.mailboxes[*executor].gauge.put(tuples, bytes);
                }
                self.put(place, item);
            }
            Place::Away { worker, ownership, gate } => {
                self.send_away((*worker, *ownership), gate, &out);
                self.pool.give(out.rows);
                self.give_tracking(out.tracking);
            }
            Place::Nowhere => self.fail_all(&out.tracking, FailReason::NoTarget),
        }
    }

    /// Tells a task that one of its sources, which has this owner epoch, has ended.
    pub fn send_end(
        &mut self,
        place: &Place,
        target: u32,
        (source, ownership): (u32, u64),
        from: StreamRef,
    ) {
        match place {
            Place::Here(_) | Place::Loop { .. } => {
                self.put(place, Item::End { target, source, from, ownership });
            }
            Place::Away { worker, .. } => {
                let stream = u16::try_from(from.stream).unwrap_or(u16::MAX);
                if let Some((_, writer)) = self.frame(*worker) {
                    writer.end_of_stream((target, source), stream, ownership);
                }
            }
            Place::Nowhere => {}
        }
    }

    fn put(&mut self, place: &Place, item: Item) {
        match place {
            Place::Here(executor) => self.mailboxes[*executor].push(item),
            Place::Loop { at, executor, .. } => {
                self.loops[*at].send(Message::Item { executor: *executor, item });
            }
            Place::Away { .. } | Place::Nowhere => {}
        }
    }

    /// An empty column for the trees of a batch.
    #[must_use]
    pub fn new_tracking(&mut self) -> Tracking {
        self.spare_tracking.pop().unwrap_or_default()
    }

    /// Takes a column that was used.
    pub fn give_tracking(&mut self, mut tracking: Tracking) {
        if self.spare_tracking.len() < SPARES && tracking.is_tracked() {
            tracking.clear();
            self.spare_tracking.push(tracking);
        }
    }

    /// Fails every tree of a batch that is refused, dropped or abandoned.
    pub fn fail_all(&mut self, tracking: &Tracking, reason: FailReason) {
        for tuple in 0..tracking.len() {
            for edge in tracking.of(tuple) {
                self.fail(edge.root, reason);
            }
        }
    }

    /// Sends what the executors of this round contributed, and the frames being filled.
    pub fn flush(&mut self) {
        for at in 0..self.acks.len() {
            let (owner, buffer) = &mut self.acks[at];
            if !buffer.is_empty() {
                let owner = *owner;
                let batch = buffer.take_reusing(self.spare_acks.pop().unwrap_or_default());
                self.flush_acks(owner, batch);
            }
        }
        let filled: Vec<u32> = self
            .frames
            .iter()
            .filter(|(_, (_, writer))| !writer.is_empty())
            .map(|(worker, _)| *worker)
            .collect();
        for worker in filled {
            self.flush_frame(worker);
        }
    }

    /// Adopts a routing table. Frames being filled for a link that is gone are abandoned: the trees
    /// in them fail.
    pub fn adopt(&mut self, routes: Arc<Routes>) {
        self.flush();
        self.routes = routes;
        let gone: Vec<u32> = self
            .frames
            .iter()
            .filter(|(worker, (link, _))| {
                !self.routes.links.get(worker).is_some_and(|now| Arc::ptr_eq(now, link))
            })
            .map(|(worker, _)| *worker)
            .collect();
        for worker in gone {
            self.frames.remove(&worker);
        }
    }

    /// Gives back the room of a batch that was taken from a mailbox.
    pub fn took(&mut self, delivery: &Delivery, starved: bool) {
        self.memory.discharge(charge(delivery.tuples, delivery.bytes));
        if let (Some(peer), Some(transport)) = (delivery.peer, &self.transport) {
            transport.consumed(peer, delivery.target, delivery.tuples, delivery.bytes);
        }
        if starved {
            for (at, inbox) in self.loops.iter().enumerate() {
                if at != self.at {
                    inbox.wake();
                }
            }
        }
    }
}
