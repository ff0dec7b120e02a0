//! The receiving ends of a process's links.
//!
//! Stands in for the worker's `transport::incoming`.

use bytes::Bytes;
use worker::engine::flow::Windows;
use worker::engine::links::handshake::{Known, admit};
use worker::engine::links::sequence::Arrival;
use worker::engine::links::{Hello, Refusal};
use worker::engine::routing::Epoch;
use worker::transport::Item;
use worker::transport::codec::items;

use super::env::{Env, Event};
use super::hub::Hub;
use super::plan::MS;
use super::sabotage::Sabotage;
use super::wires::{Down, Side, Up};

/// One worker that sends to us.
pub(super) struct Peer {
    known: Known,
    pub(super) windows: Windows,
    /// How often its windows were started over.
    resets: u32,
    /// The wire whose frames count, and the number that was said on it last.
    session: Option<(usize, u64)>,
}

impl Peer {
    fn new(epoch: Epoch) -> Self {
        Self { known: Known::new(epoch), windows: Windows::default(), resets: 0, session: None }
    }

    fn reset_windows(&mut self) {
        self.windows.reset();
        self.resets += 1;
    }
}

impl Hub {
    /// Takes note of an incarnation; the one before is fenced from now on.
    pub(super) fn learn(&mut self, worker: u32, epoch: Epoch, env: &mut Env) {
        let peer = self.peers.entry(worker).or_insert_with(|| Peer::new(epoch));
        if peer.known.learn(epoch) {
            peer.reset_windows();
            self.end_session(worker, Some(Refusal::Retired), env);
        }
    }

    /// The stream whose frames counted is over.
    fn end_session(&mut self, worker: u32, refusal: Option<Refusal>, env: &mut Env) {
        let session = self.peers.get_mut(&worker).and_then(|peer| peer.session.take());
        if let Some((wire, _)) = session {
            end(wire, refusal, env);
        }
    }

    /// Takes in what a sender says.
    pub(super) fn take(&mut self, wire: usize, message: Up, env: &mut Env) {
        match message {
            Up::Hello(hello) => match self.meet(wire, &hello, env) {
                Ok(welcome) => env.send_down(wire, welcome),
                Err(refusal) => end(wire, Some(refusal), env),
            },
            Up::Frame(number, payload) => self.take_frame(wire, number, &payload, env),
        }
    }

    fn meet(&mut self, wire: usize, hello: &Hello, env: &mut Env) -> Result<Down, Refusal> {
        admit(&self.me, hello)?;
        let worker = hello.sender.worker;
        self.learn(worker, hello.sender.epoch, env);
        let peer = self.peers.get_mut(&worker).expect("it was learnt of just now");
        let mut hello = hello.clone();
        if env.does_wrong(Sabotage::SkipFence) {
            hello.sender.epoch = peer.known.epoch;
        }
        if peer.known.meet(&hello)? {
            peer.reset_windows();
        }
        let next = peer.known.link.next();
        let before = peer.session.replace((wire, next));
        let welcome = Down::Welcome(next, peer.windows.announce_all());
        if let Some((before, _)) = before {
            env.count("sessions replaced");
            end(before, None, env);
        }
        Ok(welcome)
    }

    fn take_frame(&mut self, wire: usize, number: u64, payload: &Bytes, env: &mut Env) {
        let is_session = |peer: &&mut Peer| peer.session.is_some_and(|(held, _)| held == wire);
        let mut peers = self.peers.iter_mut();
        let found = peers.find_map(|(worker, peer)| is_session(&peer).then_some((*worker, peer)));
        let Some((worker, peer)) = found else { return end(wire, None, env) };
        let sabotaged = env.does_wrong(Sabotage::TakeTwice) || env.does_wrong(Sabotage::SkipGap);
        let due = number == peer.known.link.next() || sabotaged;
        let Ok(items) = (if due { items(payload) } else { Ok(Vec::new()) }) else {
            return self.end_session(worker, Some(Refusal::CannotResume), env);
        };
        let mut arrival = peer.known.link.accept(number);
        let again = arrival == Arrival::Duplicate && env.does_wrong(Sabotage::TakeTwice);
        let passed_over = arrival == Arrival::Gap && env.does_wrong(Sabotage::SkipGap);
        if passed_over {
            while peer.known.link.accept(peer.known.link.next()) == Arrival::Fresh
                && peer.known.link.next() <= number
            {}
        }
        if again || passed_over {
            arrival = Arrival::Fresh;
        }
        match arrival {
            Arrival::Fresh => {
                for item in &items {
                    if let Item::Batch { head, rows, .. } = item {
                        let bytes = rows.len() as u64;
                        peer.windows.received(head.target_task, u64::from(head.count), bytes);
                    }
                }
                let from = (worker, peer.resets);
                self.hand_over(from, items, env);
            }
            Arrival::Duplicate => env.count("duplicates"),
            Arrival::Gap => {
                env.count("gaps");
                return self.end_session(worker, None, env);
            }
        }
        self.schedule_news(worker, env);
    }

    pub(super) fn schedule_news(&self, peer: u32, env: &mut Env) {
        env.schedule_in(0..MS, Event::News { process: self.process, peer });
    }

    /// Tells a sender what is here and what it may send, if there is anything new.
    pub(super) fn tell_news(&mut self, worker: u32, env: &mut Env) {
        let Some(peer) = self.peers.get_mut(&worker) else { return };
        let Some((wire, said)) = &mut peer.session else { return };
        let next = peer.known.link.next();
        if next != *said || peer.windows.is_due() {
            *said = next;
            let progress = Down::Progress(next, peer.windows.announce_due());
            env.send_down(*wire, progress);
        }
    }

    /// A stream to us ended.
    pub(super) fn left(&mut self, wire: usize) {
        for peer in self.peers.values_mut() {
            if peer.session.is_some_and(|(held, _)| held == wire) {
                peer.session = None;
            }
        }
    }
}

/// Closes a stream, with last words if there are any.
fn end(wire: usize, refusal: Option<Refusal>, env: &mut Env) {
    if let Some(refusal) = refusal {
        env.send_down(wire, Down::Refused(refusal));
    }
    env.close(wire, Side::Receiver);
}
