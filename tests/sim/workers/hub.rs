//! What the loops of one process share: their inboxes, who sits where, and the links.
//!
//! Stands in for the worker's `remote` and the state of its `transport`.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use worker::engine::acking::{AckBatch, FailReason, Tracking};
use worker::engine::flow::WINDOW;
use worker::engine::links::Identity;
use worker::engine::routing::Table;
use worker::executor::mailbox::Gauge;
use worker::transport::Item;

use super::env::{Env, Event};
use super::plan::MS;
use super::receiving::Peer;
use super::sabotage::Sabotage;
use super::sending::Link;

/// The longest that a loop takes to come round.
const ROUND: u64 = MS / 10;

/// The room in a batch's rows for the number of its copy; this one stands for no copy.
pub(super) const NO_COPY: u32 = u32::MAX;

/// One batch for one task.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) target: u32,
    /// Number of each tuple's copy, or [`NO_COPY`].
    pub(super) copies: Vec<u32>,
    pub(super) tracking: Tracking,
    pub(super) tuples: u64,
    pub(super) bytes: u64,
    /// The worker it came from, if it is another, and how often its windows were reset before.
    pub(super) peer: Option<(u32, u32)>,
    pub(super) since: u64,
}

/// What reaches a loop from outside.
#[derive(Debug)]
pub(super) enum Message {
    /// For the executor at this place of the loop.
    Batch(usize, Delivery),
    /// For the ledger of this spout executor.
    Acks(u16, AckBatch),
    /// Who has which tasks from now on, with the link to each worker.
    Routes(Rc<Table>, BTreeMap<u32, usize>),
    /// Items of frames that will not arrive.
    Lost(Vec<Item>, FailReason),
}

/// Where a task of this process runs.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) at: usize,
    pub(super) place: usize,
    pub(super) gauge: Arc<Gauge>,
}

/// What the loops of one process share.
pub(super) struct Hub {
    pub(super) me: Identity,
    /// Its number among all processes.
    pub(super) process: usize,
    pub(super) inboxes: Vec<VecDeque<Message>>,
    pub(super) seats: BTreeMap<u32, Seat>,
    /// The loop of each spout executor.
    pub(super) ledgers: BTreeMap<u16, usize>,
    /// How long the oldest batch waits on each loop.
    pub(super) waiting: Vec<u64>,
    /// When each loop gets its next round.
    pub(super) rounds: Vec<Option<u64>>,
    /// The table in hand.
    pub(super) table: Rc<Table>,
    /// Every link there was; loops may still hold one that is retired.
    pub(super) links: Vec<Link>,
    /// The link to each worker of the table.
    pub(super) link_to: BTreeMap<u32, usize>,
    pub(super) peers: BTreeMap<u32, Peer>,
    /// What came over links and was not taken by an executor, by peer, resets of its windows and
    /// task: tuples and bytes.
    pub(super) held: BTreeMap<(u32, u32, u32), (u64, u64)>,
    /// A peer knows a newer incarnation of this worker.
    pub(super) retired: bool,
}

impl Hub {
    pub(super) fn new(me: Identity, process: usize, loops: usize) -> Self {
        Self {
            me,
            process,
            inboxes: (0..loops).map(|_| VecDeque::new()).collect(),
            seats: BTreeMap::new(),
            ledgers: BTreeMap::new(),
            waiting: vec![0; loops],
            rounds: vec![None; loops],
            table: Rc::default(),
            links: Vec::new(),
            link_to: BTreeMap::new(),
            peers: BTreeMap::new(),
            held: BTreeMap::new(),
            retired: false,
        }
    }

    /// Sends a message to a loop, and wakes it.
    pub(super) fn tell(&mut self, at: usize, message: Message, env: &mut Env) {
        self.inboxes[at].push_back(message);
        self.wake(at, env);
    }

    /// Lets a loop come round soon.
    pub(super) fn wake(&mut self, at: usize, env: &mut Env) {
        let soon = env.now + env.below(1..ROUND);
        self.wake_at(at, soon, env);
    }

    pub(super) fn wake_all(&mut self, env: &mut Env) {
        (0..self.rounds.len()).for_each(|at| self.wake(at, env));
    }

    /// Lets a loop come round at this time, if it does not before.
    pub(super) fn wake_at(&mut self, at: usize, time: u64, env: &mut Env) {
        if self.rounds[at].is_none_or(|round| round > time) {
            self.rounds[at] = Some(time);
            env.schedule(time, Event::Round { process: self.process, at });
        }
    }

    /// Hands the items of a frame to the loops.
    pub(super) fn hand_over(&mut self, peer: (u32, u32), items: Vec<Item>, env: &mut Env) {
        for item in items {
            match item {
                Item::Batch { head, tracking, rows } => {
                    let (tuples, bytes) = (u64::from(head.count), rows.len() as u64);
                    self.received(peer, head.target_task, (tuples, bytes), env);
                    let Some(seat) = self.seats.get(&head.target_task).cloned() else {
                        env.count("refused");
                        self.consumed(peer, head.target_task, (tuples, bytes), env);
                        let refused = vec![Item::Batch { head, tracking, rows }];
                        self.tell(0, Message::Lost(refused, FailReason::Refused), env);
                        continue;
                    };
                    seat.gauge.put(tuples, bytes);
                    let numbers = rows.as_chunks::<4>().0.iter().take(head.count as usize);
                    let delivery = Delivery {
                        target: head.target_task,
                        copies: numbers.map(|number| u32::from_le_bytes(*number)).collect(),
                        tracking,
                        tuples,
                        bytes,
                        peer: Some(peer),
                        since: env.now,
                    };
                    self.tell(seat.at, Message::Batch(seat.place, delivery), env);
                }
                Item::Acks { executor, batch } => {
                    let at = self.ledgers.get(&executor).copied().unwrap_or(0);
                    self.tell(at, Message::Acks(executor, batch), env);
                }
                Item::EndOfStream { .. } | Item::Waiting { .. } | Item::Adopted { .. } => {
                    unreachable!("no source of a simulation ends, and no queue is told of")
                }
            }
        }
    }

    /// I6: what waits here of one sender for one task is a window, and a batch beyond it.
    ///
    /// After the sender had to start over, what it sent before widens its next window until it is
    /// taken (see `Window::consumed`).
    fn received(&mut self, peer: (u32, u32), task: u32, amount: (u64, u64), env: &Env) {
        let held = self.held.entry((peer.0, peer.1, task)).or_default();
        held.0 += amount.0;
        held.1 += amount.1;
        let windows = if peer.1 == 0 { 1 } else { 2 };
        let most =
            (windows * (WINDOW.tuples + env.largest.1), windows * (WINDOW.bytes + env.largest.0));
        let bounded = held.0 <= most.0 && held.1 <= most.1;
        assert!(bounded, "I6: {held:?} wait for task {task} from worker {}, {most:?} may", peer.0);
    }

    /// Counts a batch that left a mailbox.
    pub(super) fn consumed(
        &mut self,
        peer: (u32, u32),
        task: u32,
        amount: (u64, u64),
        env: &mut Env,
    ) {
        let held = self.held.entry((peer.0, peer.1, task)).or_default();
        held.0 -= amount.0;
        held.1 -= amount.1;
        if env.does_wrong(Sabotage::KeepCredit) {
            return;
        }
        if let Some(known) = self.peers.get_mut(&peer.0)
            && known.windows.consumed(task, amount.0, amount.1)
        {
            self.schedule_news(peer.0, env);
        }
    }
}
