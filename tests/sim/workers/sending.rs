//! The sending ends of a process's links.
//!
//! Stands in for the worker's `transport::link` and `transport::client`: what these do with the
//! engine's parts, in the same order.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use worker::engine::acking::FailReason;
use worker::engine::flow::{Amount, Gate};
use worker::engine::links::handshake::PROTOCOL;
use worker::engine::links::{Hello, Identity, Refusal, SendLink};
use worker::engine::routing::{Epoch, Route, Table};
use worker::transport::codec::items;

use super::env::{Env, Event};
use super::hub::{Hub, Message};
use super::plan::MS;
use super::sabotage::Sabotage;
use super::wires::{Down, Side, Up};

/// Bytes that may be under way: a few frames, so that the limit is met.
const IN_FLIGHT_BYTES_MAX: usize = 256 << 10;

/// How long a link waits before it dials again.
const REDIAL: std::ops::Range<u64> = 10 * MS..300 * MS;

/// How long a refused link waits for another table.
const PARKED: u64 = 5_000 * MS;

/// The way to one incarnation of another worker.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: u32,
    pub(super) epoch: Epoch,
    address: String,
    pub(super) retired: bool,
    pub(super) frames: SendLink,
    pub(super) gates: BTreeMap<u32, Arc<Gate>>,
    pub(super) wire: Option<usize>,
    /// Shared with the gates, as in a worker.
    pub(super) welcomed: Arc<AtomicBool>,
}

impl Link {
    fn new(route: &Route) -> Self {
        Self {
            peer: route.worker,
            epoch: route.epoch,
            address: route.address.clone(),
            retired: false,
            frames: SendLink::new(),
            gates: BTreeMap::new(),
            wire: None,
            welcomed: Arc::default(),
        }
    }

    pub(super) fn is_welcome(&self) -> bool {
        self.welcomed.load(Ordering::Relaxed)
    }

    /// The gate in front of a task; that of a retired link is open for good.
    pub(super) fn gate(&mut self, task: u32) -> Arc<Gate> {
        let new = || Arc::new(Gate::on(Arc::clone(&self.welcomed)));
        let gate = Arc::clone(self.gates.entry(task).or_insert_with(new));
        if self.retired {
            gate.release();
        }
        gate
    }
}

impl Hub {
    /// Opens links to the workers of a table, and retires those to incarnations before.
    pub(super) fn adopt(&mut self, table: &Rc<Table>, env: &mut Env) {
        let others = || table.workers().iter().filter(|route| route.worker != self.me.worker);
        let known: Vec<(u32, Epoch)> = others().map(|it| (it.worker, it.epoch)).collect();
        let routes: Vec<Route> = others().cloned().collect();
        known.into_iter().for_each(|(worker, epoch)| self.learn(worker, epoch, env));
        for route in routes {
            let before = self.link_to.get(&route.worker).copied();
            match before.map(|link| self.links[link].epoch) {
                Some(epoch) if epoch > route.epoch => {}
                Some(epoch) if epoch == route.epoch => {
                    self.lead_to(self.link_to[&route.worker], &route.address, env);
                }
                _ => {
                    if let Some(older) = before {
                        self.retire(older, env);
                    }
                    self.links.push(Link::new(&route));
                    let link = self.links.len() - 1;
                    self.link_to.insert(route.worker, link);
                    env.schedule(env.now, Event::Dial { process: self.process, link });
                }
            }
        }
        let gone: Vec<(u32, usize)> = self.link_to.iter().map(|(to, link)| (*to, *link)).collect();
        for (worker, link) in gone {
            if table.worker(worker).is_none() {
                self.link_to.remove(&worker);
                self.retire(link, env);
            }
        }
        self.table = Rc::clone(table);
    }

    /// Takes note of where the same incarnation is, and wakes a link that waits for that.
    fn lead_to(&mut self, link: usize, address: &str, env: &mut Env) {
        let it = &mut self.links[link];
        if it.address != address {
            address.clone_into(&mut it.address);
            self.hang_up(link, env);
        }
        if self.links[link].wire.is_none() {
            env.schedule(env.now, Event::Dial { process: self.process, link });
        }
    }

    fn hang_up(&mut self, link: usize, env: &mut Env) {
        let it = &mut self.links[link];
        it.welcomed.store(false, Ordering::Relaxed);
        if let Some(wire) = it.wire.take() {
            env.close(wire, Side::Sender);
        }
    }

    /// The incarnation is gone: all that it has not acknowledged is lost, now and later.
    fn retire(&mut self, link: usize, env: &mut Env) {
        self.hang_up(link, env);
        let it = &mut self.links[link];
        it.retired = true;
        let frames = it.frames.abandon();
        it.gates.values().for_each(|gate| {
            gate.release();
        });
        self.lose(link, &frames, FailReason::WorkerLost, env);
        self.wake_all(env);
    }

    fn lose(&mut self, link: usize, frames: &[Bytes], reason: FailReason, env: &mut Env) {
        let peer = self.links[link].peer;
        let readable = frames.iter().map(|frame| items(frame).expect("our own frames are whole"));
        let lost: Vec<_> = readable.flatten().collect();
        if env.does_wrong(Sabotage::ForgetRetainedFrames) {
            return;
        }
        if !lost.is_empty() {
            env.count("frames lost");
            env.note(|| {
                format!("p{} lost {} frames to w{peer}: {reason}", self.process, frames.len())
            });
            self.tell(0, Message::Lost(lost, reason), env);
        }
    }

    /// Sends a frame after all before it.
    pub(super) fn send(&mut self, link: usize, frame: Bytes, env: &mut Env) {
        if self.links[link].retired {
            self.lose(link, &[frame], FailReason::WorkerLost, env);
            return;
        }
        self.links[link].frames.push(frame, env.instant());
        self.transmit(link, env);
    }

    fn transmit(&mut self, link: usize, env: &mut Env) {
        let it = &mut self.links[link];
        let (Some(wire), true) = (it.wire, it.is_welcome()) else { return };
        while let Some((number, frame)) = it.frames.transmit(IN_FLIGHT_BYTES_MAX) {
            env.send_up(wire, Up::Frame(number, frame));
        }
    }

    /// Dials, unless it has a connection or has nowhere to go.
    pub(super) fn dial(&mut self, link: usize, env: &mut Env) {
        let it = &mut self.links[link];
        if it.retired || it.wire.is_some() || it.address.is_empty() {
            return;
        }
        let Some(&receiver) = env.ports.get(&it.address) else {
            env.schedule_in(REDIAL, Event::Dial { process: self.process, link });
            return;
        };
        let wire = env.connect((self.process, link), receiver);
        it.wire = Some(wire);
        it.welcomed.store(false, Ordering::Relaxed);
        let hello = Hello {
            protocol: PROTOCOL,
            sender: Identity::clone(&self.me),
            receiver: it.peer,
            receiver_epoch: it.epoch,
            oldest: it.frames.oldest(),
            starts_over: it.frames.starts_over(),
        };
        env.send_up(wire, Up::Hello(hello));
    }

    /// A connection of ours broke, or its receiver does not answer.
    pub(super) fn redial(&mut self, wire: usize, link: usize, env: &mut Env) {
        if self.links[link].wire == Some(wire) {
            self.hang_up(link, env);
            env.schedule_in(REDIAL, Event::Dial { process: self.process, link });
        }
    }

    /// The answer to a hello is due.
    pub(super) fn answer_due(&mut self, wire: usize, link: usize, env: &mut Env) {
        if self.links[link].wire == Some(wire) && !self.links[link].is_welcome() {
            env.count("no answer");
            self.redial(wire, link, env);
        }
    }

    /// Takes in what a receiver says.
    pub(super) fn hear(&mut self, wire: usize, link: usize, message: Down, env: &mut Env) {
        if self.links[link].wire != Some(wire) {
            return;
        }
        let it = &mut self.links[link];
        let resumed = match message {
            Down::Welcome(next, grants) => {
                let resumed = it.frames.resume(next);
                it.welcomed.store(resumed.is_ok(), Ordering::Relaxed);
                self.raise(link, &grants, env);
                resumed
            }
            Down::Progress(next, grants) => {
                let resumed = it.frames.acknowledged(next);
                self.raise(link, &grants, env);
                resumed
            }
            Down::Refused(refusal) => return self.refused(link, refusal, env),
        };
        match resumed {
            Ok(()) => self.transmit(link, env),
            Err(problem) => panic!("the ends of a link disagree: {problem}"),
        }
    }

    fn raise(&mut self, link: usize, grants: &[(u32, Amount)], env: &mut Env) {
        let mut opened = false;
        for (task, amount) in grants {
            if let Some(gate) = self.links[link].gates.get(task) {
                opened |= gate.granted(amount.tuples, amount.bytes);
            }
        }
        if opened {
            env.count("gates opened");
            self.wake_all(env);
        }
    }

    fn refused(&mut self, link: usize, refusal: Refusal, env: &mut Env) {
        let peer = self.links[link].peer;
        env.note(|| format!("p{} was refused by w{peer}: {refusal}", self.process));
        self.hang_up(link, env);
        let dial = Event::Dial { process: self.process, link };
        match refusal {
            Refusal::CannotResume => {
                env.count("starts over");
                let frames = self.links[link].frames.abandon();
                self.links[link].gates.values().for_each(|gate| gate.reset());
                self.lose(link, &frames, FailReason::LinkLost, env);
                self.wake_all(env);
                env.schedule_in(REDIAL, dial);
            }
            Refusal::Retired => {
                env.count("fenced");
                self.retired = true;
                env.schedule_in(0..250 * MS, Event::Stop { process: self.process });
            }
            // Another process got the port of one that has ended; it may be this very one.
            Refusal::NotMe | Refusal::Foreign => {
                env.count("port taken over");
                env.schedule(env.now + PARKED, dial);
            }
        }
    }
}
