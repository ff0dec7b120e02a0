//! The ways out of a loop: mailboxes on it, other loops, other workers, and ledgers anywhere.
//!
//! Stands in for the worker's `executor::exits`.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use rand::RngExt;
use worker::engine::acking::{
    AckBatch, AckBuffer, EdgeIds, FailReason, NO_STAMP, RootId, Tracking, executor_of,
};
use worker::engine::flow::Gate;
use worker::engine::routing::Table;
use worker::executor::mailbox::Gauge;
use worker::transport::{BatchHead, FrameWriter, Item};

use super::env::Env;
use super::hub::{Delivery, Hub, Message};
use super::plan::PADDING_MAX;
use super::sabotage::Sabotage;

/// What rows consist of beside their number: copied, which even a debug build does fast.
static PADDING: [u8; PADDING_MAX] = [0; PADDING_MAX];

/// Where a task is, seen from a loop.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// On this loop, at this place.
    Here(usize),
    /// On another loop of this process.
    Loop { at: usize, executor: usize, gauge: Arc<Gauge> },
    /// In another worker.
    Away { worker: u32, gate: Arc<Gate> },
    /// Nobody has it yet.
    Nowhere,
}

/// What waits for one executor.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) batches: VecDeque<Delivery>,
    pub(super) gauge: Arc<Gauge>,
}

/// A batch that leaves an executor.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) target: u32,
    pub(super) source: u32,
    pub(super) copies: Vec<u32>,
    pub(super) tracking: Tracking,
}

/// The ways out of one loop.
pub(super) struct Exits {
    pub(super) at: usize,
    pub(super) ids: EdgeIds,
    /// The table in force.
    pub(super) table: Rc<Table>,
    /// The link to each worker of it.
    links: BTreeMap<u32, usize>,
    pub(super) mailboxes: Vec<Mailbox>,
    /// Contributions on their way, by the executor that owns the trees.
    pub(super) acks: BTreeMap<u16, AckBuffer>,
    /// For ledgers on this very loop.
    pub(super) own_acks: Vec<(u16, AckBatch)>,
    /// Frames being filled, by worker, with the link they are for.
    frames: BTreeMap<u32, (usize, FrameWriter)>,
    sabotage: Option<Sabotage>,
}

/// What an executor has at hand during its turn.
pub(super) struct Cx<'a> {
    pub(super) exits: &'a mut Exits,
    pub(super) hub: &'a mut Hub,
    pub(super) env: &'a mut Env,
}

impl Exits {
    pub(super) fn new(at: usize, mailboxes: Vec<Mailbox>, env: &mut Env) -> Self {
        Self {
            at,
            ids: EdgeIds::new(env.rng.random()),
            table: Rc::default(),
            links: BTreeMap::new(),
            mailboxes,
            acks: BTreeMap::new(),
            own_acks: Vec::new(),
            frames: BTreeMap::new(),
            sabotage: env.sabotage,
        }
    }

    /// Tells whether this is done wrong on purpose.
    pub(super) fn does_wrong(&self, what: Sabotage) -> bool {
        self.sabotage == Some(what)
    }

    /// Adds a contribution to a tree.
    pub(super) fn fold(&mut self, root: u64, edges: u64, stamp: u64) {
        let forgets = self.does_wrong(Sabotage::ForgetStamp);
        let stamp = if forgets { NO_STAMP } else { stamp };
        self.acks.entry(executor_of(root)).or_default().fold(root, edges, stamp);
    }

    /// Fails a tree.
    pub(super) fn fail(&mut self, root: u64, reason: FailReason) {
        if self.does_wrong(Sabotage::DropFailVerdict) {
            return;
        }
        self.acks.entry(executor_of(root)).or_default().fail(root, reason);
    }

    /// Fails every tree of a batch.
    pub(super) fn fail_all(&mut self, tracking: &Tracking, reason: FailReason) {
        for edge in (0..tracking.len()).flat_map(|tuple| tracking.of(tuple)) {
            self.fail(edge.root, reason);
        }
    }

    /// Fails every tree in frame items that will not arrive.
    pub(super) fn fail_items(&mut self, lost: &[Item], reason: FailReason) {
        for item in lost {
            match item {
                Item::Batch { tracking, .. } => self.fail_all(tracking, reason),
                Item::Acks { batch, .. } => {
                    batch.contributions.iter().for_each(|it| self.fail(it.root, reason));
                    batch.failures.iter().for_each(|it| self.fail(it.root, it.reason));
                }
                Item::EndOfStream { .. } | Item::Waiting { .. } | Item::Adopted { .. } => {
                    unreachable!("no source of a simulation ends, and no queue is told of")
                }
            }
        }
    }

    /// Tells whether a batch may go there now.
    pub(super) fn has_room(&self, place: &Place) -> bool {
        match place {
            Place::Here(executor) => self.mailboxes[*executor].gauge.has_room(),
            Place::Loop { gauge, .. } => gauge.has_room(),
            Place::Away { gate, .. } => gate.may_send(),
            Place::Nowhere => false,
        }
    }

    /// How much room there is, for choosing among targets.
    pub(super) fn room(&self, place: &Place) -> u64 {
        match place {
            Place::Here(executor) => self.mailboxes[*executor].gauge.room(),
            Place::Loop { gauge, .. } => gauge.room(),
            Place::Away { gate, .. } => gate.room(),
            Place::Nowhere => 0,
        }
    }
}

impl Cx<'_> {
    /// Finds where a task of another worker is now.
    pub(super) fn place_away(&mut self, task: u32) -> Place {
        let Some(route) = self.exits.table.worker_of_task(task) else { return Place::Nowhere };
        match self.exits.links.get(&route.worker) {
            Some(link) => {
                let gate = self.hub.links[*link].gate(task);
                Place::Away { worker: route.worker, gate }
            }
            None => Place::Nowhere,
        }
    }

    /// Sends a batch; its sender has seen that there is room.
    pub(super) fn send(&mut self, place: &Place, out: Outgoing) {
        let count = out.copies.len();
        let (tuples, padding) = (count as u64, self.env.plan.padding);
        let bytes = (count * (4 + padding)) as u64;
        let largest = &mut self.env.largest;
        *largest = (largest.0.max(bytes), largest.1.max(tuples));
        match place {
            Place::Here(_) | Place::Loop { .. } => {
                let delivery = Delivery {
                    target: out.target,
                    copies: out.copies,
                    tracking: out.tracking,
                    tuples,
                    bytes,
                    peer: None,
                    since: self.env.now,
                };
                if let Place::Loop { at, executor, gauge } = place {
                    gauge.put(tuples, bytes);
                    self.hub.tell(*at, Message::Batch(*executor, delivery), self.env);
                } else if let Place::Here(executor) = place {
                    self.exits.mailboxes[*executor].gauge.put(tuples, bytes);
                    self.exits.mailboxes[*executor].batches.push_back(delivery);
                }
            }
            Place::Away { worker, gate } => {
                let Some((_, writer)) = self.exits.frame(*worker) else {
                    return self.exits.fail_all(&out.tracking, FailReason::NoTarget);
                };
                let head = BatchHead {
                    target_task: out.target,
                    source_task: out.source,
                    stream: 0,
                    ownership: 0,
                    count: count as u32,
                };
                let encoded = writer.batch(head, &out.tracking, 0..count, |buffer| {
                    out.copies.iter().for_each(|it| buffer.extend_from_slice(&it.to_le_bytes()));
                    (0..count).for_each(|_| buffer.extend_from_slice(&PADDING[..padding]));
                });
                let full = writer.is_full();
                gate.took(tuples, encoded as u64);
                if full {
                    self.flush_frame(*worker);
                }
            }
            Place::Nowhere => self.exits.fail_all(&out.tracking, FailReason::NoTarget),
        }
    }

    /// Sends what the executors of this round contributed, and the frames being filled.
    pub(super) fn flush(&mut self) {
        let owners: Vec<u16> = self.exits.acks.keys().copied().collect();
        for owner in owners {
            let batch = self.exits.acks.get_mut(&owner).map(AckBuffer::take).unwrap_or_default();
            if !batch.is_empty() {
                self.flush_acks(owner, batch);
            }
        }
        let filled: Vec<u32> = self.exits.frames.keys().copied().collect();
        filled.into_iter().for_each(|worker| self.flush_frame(worker));
    }

    fn flush_acks(&mut self, owner: u16, batch: AckBatch) {
        match self.hub.ledgers.get(&owner) {
            Some(at) if *at == self.exits.at => self.exits.own_acks.push((owner, batch)),
            Some(at) => self.hub.tell(*at, Message::Acks(owner, batch), self.env),
            None => {
                let batch = if self.env.does_wrong(Sabotage::ForgetIncarnation) {
                    renewed(batch, &self.exits.table)
                } else {
                    batch
                };
                let mut sorted = self.exits.table.sort_verdicts(batch);
                if self.env.does_wrong(Sabotage::DropEarlyVerdicts) {
                    sorted.wait = AckBatch::new();
                }
                if sorted.late > 0 {
                    self.env.count("late");
                }
                if !sorted.wait.is_empty() {
                    self.env.count("waits for a table");
                }
                self.exits.keep(owner, sorted.wait);
                let Some((worker, ready)) = sorted.deliver else { return };
                match self.exits.frame(worker) {
                    Some((_, writer)) => writer.acks(owner, &ready),
                    None => self.exits.keep(owner, ready),
                }
            }
        }
    }

    fn flush_frame(&mut self, worker: u32) {
        if let Some((link, writer)) = self.exits.frames.get_mut(&worker)
            && !writer.is_empty()
        {
            let (link, frame) = (*link, writer.finish());
            self.hub.send(link, frame, self.env);
        }
    }

    /// Adopts a routing table: what is gathered goes by the one before.
    pub(super) fn adopt(&mut self, table: Rc<Table>, links: BTreeMap<u32, usize>) {
        self.flush();
        self.exits.table = table;
        self.exits.links = links;
        let links = &self.exits.links;
        self.exits.frames.retain(|worker, (link, _)| links.get(worker) == Some(link));
    }

    /// Gives back the room of a batch that was taken from a mailbox.
    pub(super) fn took(&mut self, delivery: &Delivery, starved: bool) {
        if let Some(peer) = delivery.peer {
            let amount = (delivery.tuples, delivery.bytes);
            self.hub.consumed(peer, delivery.target, amount, self.env);
        }
        if starved {
            let others = (0..self.hub.rounds.len()).filter(|at| *at != self.exits.at);
            others.for_each(|at| self.hub.wake(at, self.env));
        }
    }
}

impl Exits {
    fn frame(&mut self, worker: u32) -> Option<&mut (usize, FrameWriter)> {
        if !self.frames.contains_key(&worker) {
            let link = *self.links.get(&worker)?;
            self.frames.insert(worker, (link, FrameWriter::new()));
        }
        self.frames.get_mut(&worker)
    }

    fn keep(&mut self, owner: u16, batch: AckBatch) {
        if !batch.is_empty() {
            self.acks.entry(owner).or_default().put_back(batch);
        }
    }
}

/// Sabotage: what is said of earlier incarnations of an executor is said of the present one.
fn renewed(mut batch: AckBatch, table: &Table) -> AckBatch {
    let executors = || table.workers().iter().flat_map(|route| &route.executors);
    for contribution in &mut batch.contributions {
        let Some(root) = RootId::from_bits(contribution.root) else { continue };
        if let Some(now) = executors().find(|it| it.index == root.executor()) {
            let (slot, generation) = (root.slot(), root.generation());
            contribution.root =
                RootId::new(root.executor(), now.incarnation, slot, generation).bits();
        }
    }
    batch
}
