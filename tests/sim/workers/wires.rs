//! Connections: first in, first out, late, and gone when somebody cuts them.

use std::collections::VecDeque;

use bytes::Bytes;
use worker::engine::flow::Amount;
use worker::engine::links::{Hello, Refusal};

use super::env::{Env, Event};
use super::plan::MS;

/// The longest that a broken connection stays unnoticed.
const NOTICED: u64 = 500 * MS;

/// How long a receiver has for its answer to a hello, as in the worker.
const ANSWER: u64 = 2_000 * MS;

/// One end of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Sender,
    Receiver,
}

/// What a sender says.
#[derive(Clone, Debug)]
pub(super) enum Up {
    Hello(Hello),
    Frame(u64, Bytes),
}

/// What a receiver says: the number of the frame that is due, and grants by task.
#[derive(Clone, Debug)]
pub(super) enum Down {
    Welcome(u64, Vec<(u32, Amount)>),
    Progress(u64, Vec<(u32, Amount)>),
    Refused(Refusal),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Wire {
    /// The process that dialled, and the number of its link.
    pub(super) sender: (usize, usize),
    /// The process that listens.
    pub(super) receiver: usize,
    pub(super) up: VecDeque<Up>,
    pub(super) down: VecDeque<Down>,
    /// When the last message in each direction arrives.
    last: [u64; 2],
    /// A frame on it was lost, repeated or damaged, and may not have arrived yet.
    pub(super) tampered: bool,
    /// Nothing can be sent any more.
    pub(super) closed: bool,
}

impl Env {
    /// Connects a link to a process that listens.
    pub(super) fn connect(&mut self, sender: (usize, usize), receiver: usize) -> usize {
        let (up, down) = (VecDeque::new(), VecDeque::new());
        let (last, tampered, closed) = ([0, 0], false, false);
        self.wires.push(Wire { sender, receiver, up, down, last, tampered, closed });
        let wire = self.wires.len() - 1;
        self.schedule(self.now + ANSWER, Event::Answer { wire });
        wire
    }

    pub(super) fn send_up(&mut self, wire: usize, message: Up) {
        if !self.wires[wire].closed {
            self.wires[wire].up.push_back(message);
            self.arrives(wire, Side::Receiver);
        }
    }

    pub(super) fn send_down(&mut self, wire: usize, message: Down) {
        if !self.wires[wire].closed {
            self.wires[wire].down.push_back(message);
            self.arrives(wire, Side::Sender);
        }
    }

    fn arrives(&mut self, wire: usize, side: Side) {
        let delay = self.below(0..self.plan.delay);
        let at = self.wires[wire].last[side as usize].max(self.now + delay);
        self.wires[wire].last[side as usize] = at;
        self.schedule(at, Event::Arrive { wire, side });
    }

    /// One side closes a wire: what it sent may still arrive, then the other side notices.
    pub(super) fn close(&mut self, wire: usize, by: Side) {
        let lost = self.chance(0.5);
        let it = &mut self.wires[wire];
        if it.closed {
            return;
        }
        it.closed = true;
        let (side, theirs) = match by {
            Side::Sender => (Side::Receiver, it.last[Side::Receiver as usize]),
            Side::Receiver => (Side::Sender, it.last[Side::Sender as usize]),
        };
        match (by, lost) {
            (Side::Sender, false) => it.down.clear(),
            (Side::Receiver, false) => it.up.clear(),
            (_, true) => {
                it.up.clear();
                it.down.clear();
            }
        }
        let at = theirs.max(self.now) + self.below(0..MS);
        self.schedule(at, Event::Broken { wire, side });
    }

    /// A wire breaks: what is on its way is lost, in both directions or in one. Both sides notice.
    pub(super) fn cut(&mut self, wire: usize) {
        let (up, down) = (self.chance(0.7), self.chance(0.7));
        let it = &mut self.wires[wire];
        if it.closed {
            return;
        }
        it.closed = true;
        if up {
            it.up.clear();
        }
        if down {
            it.down.clear();
        }
        for side in [Side::Sender, Side::Receiver] {
            self.schedule_in(0..NOTICED, Event::Broken { wire, side });
        }
    }

    /// Changes a frame that is on its way; `change` gives what arrives in its place.
    pub(super) fn tamper(&mut self, wire: usize, change: impl Fn(u64, &Bytes) -> Vec<Up>) -> bool {
        let up = &self.wires[wire].up;
        let frames: Vec<usize> =
            (0..up.len()).filter(|&at| matches!(up[at], Up::Frame(..))).collect();
        let Some(at) = self.pick(&frames) else { return false };
        let up = &mut self.wires[wire].up;
        let Some(Up::Frame(number, frame)) = up.remove(at) else { return false };
        let instead = change(number, &frame);
        let more = instead.len() > 1;
        for message in instead.into_iter().rev() {
            up.insert(at, message);
        }
        if more {
            self.arrives(wire, Side::Receiver);
        }
        true
    }
}
