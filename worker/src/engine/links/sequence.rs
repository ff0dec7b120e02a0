//! Numbered frames: what makes a link deliver each frame once and in order over many connections.
//!
//! The sender numbers its frames from 1, without gaps, and keeps each until the receiver said that
//! it has it. A new connection starts with the receiver's next number, and the sender goes on from
//! there. Numbers belong to one pair of incarnations; another incarnation is another link.
//!
//! A sender that had to give up its frames (see [`SendLink::abandon`]) does not know where the
//! receiver is and asks to be told: its next hello says [`ANY`] instead of a number.
//!
//! Pure: no clock, no socket.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

/// Stands in a hello for "I hold no frames: tell me the number to go on with".
pub const ANY: u64 = 0;

/// The two ends do not agree on which frames exist: those of the sender are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sender holds frames {oldest} to {newest}, the receiver wants {wanted}")]
pub struct CannotResume {
    /// Number of the oldest frame that the sender can still send.
    pub oldest: u64,
    /// Highest number that the sender has given away so far.
    pub newest: u64,
    /// Number that the receiver wants next.
    pub wanted: u64,
}

/// The sending end: frames that are not yet acknowledged, oldest first.
///
/// ```
/// use bytes::Bytes;
/// use worker::engine::links::sequence::SendLink;
///
/// let now = daemon::Clock::manual().now();
/// let mut link = SendLink::new();
/// link.push(Bytes::from_static(b"one"), now);
/// link.push(Bytes::from_static(b"two"), now);
/// assert_eq!(link.transmit(1024), Some((1, Bytes::from_static(b"one"))));
/// assert_eq!(link.transmit(1024), Some((2, Bytes::from_static(b"two"))));
///
/// // The connection broke; the receiver has the first.
/// link.resume(2).unwrap();
/// assert_eq!(link.transmit(1024), Some((2, Bytes::from_static(b"two"))));
/// ```
#[derive(Debug)]
pub struct SendLink {
    /// Number of the first frame in `frames`, or of the next one if there is none; `None` until
    /// the receiver says it.
    first: Option<u64>,
    frames: VecDeque<Held>,
    /// How many of `frames` went out on the connection in use.
    sent: usize,
    /// Bytes of those.
    sent_bytes: usize,
    /// Bytes of all `frames`.
    bytes: usize,
    /// Frames below this number went out on some connection: only they can have arrived.
    unsent_from: u64,
    /// How often the frames were given up.
    starts_over: u64,
}

#[derive(Debug)]
struct Held {
    frame: Bytes,
    since: Instant,
}

impl Default for SendLink {
    fn default() -> Self {
        Self::new()
    }
}

impl SendLink {
    /// Starts with number 1 and nothing to send.
    #[must_use]
    pub fn new() -> Self {
        Self {
            first: Some(1),
            frames: VecDeque::new(),
            sent: 0,
            sent_bytes: 0,
            bytes: 0,
            unsent_from: 1,
            starts_over: 0,
        }
    }

    /// Takes a frame and tells whether the connection had nothing left to send before it.
    pub fn push(&mut self, frame: Bytes, now: Instant) -> bool {
        let idle = self.sent == self.frames.len();
        self.bytes += frame.len();
        self.frames.push_back(Held { frame, since: now });
        idle
    }

    /// Returns the next frame for the connection in use.
    ///
    /// None while `in_flight_max` bytes or more are under way without acknowledgement, so that the
    /// socket does not hold what a reconnect must send again.
    pub fn transmit(&mut self, in_flight_max: usize) -> Option<(u64, Bytes)> {
        let first = self.first?;
        if self.sent_bytes >= in_flight_max {
            return None;
        }
        let frame = self.frames.get(self.sent)?.frame.clone();
        let sequence = first + self.sent as u64;
        self.sent += 1;
        self.sent_bytes += frame.len();
        self.unsent_from = self.unsent_from.max(sequence + 1);
        Some((sequence, frame))
    }

    /// Forgets the frames below `next`: the receiver has them.
    ///
    /// # Errors
    ///
    /// The receiver says it has what was never sent.
    pub fn acknowledged(&mut self, next: u64) -> Result<(), CannotResume> {
        let first = self.first.unwrap_or(next);
        // An older acknowledgement may follow a newer one after a resume; it says nothing new.
        let count = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
        if count > self.frames.len() || next > self.unsent_from {
            return Err(self.disagreement(next));
        }
        for held in self.frames.drain(..count) {
            self.bytes -= held.frame.len();
            if self.sent > 0 {
                self.sent -= 1;
                self.sent_bytes -= held.frame.len();
            }
        }
        self.first = Some(first.max(next));
        Ok(())
    }

    /// Starts over on a new connection whose receiver wants `next`.
    ///
    /// # Errors
    ///
    /// The receiver lacks what is no longer held, or says it has what was never sent: only
    /// [`SendLink::abandon`] helps.
    pub fn resume(&mut self, next: u64) -> Result<(), CannotResume> {
        self.sent = 0;
        self.sent_bytes = 0;
        match self.first {
            None => {
                self.first = Some(next);
                self.unsent_from = next;
                Ok(())
            }
            Some(first) if next < first => Err(self.disagreement(next)),
            Some(_) => self.acknowledged(next),
        }
    }

    /// Gives up every frame and returns them, oldest first; the next resume takes any number.
    pub fn abandon(&mut self) -> Vec<Bytes> {
        let frames = self.frames.drain(..).map(|held| held.frame).collect();
        let starts_over = self.starts_over + 1;
        *self = Self { first: None, starts_over, ..Self::new() };
        frames
    }

    /// Number of the oldest frame held (or of the next one), as the hello says it.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.first.unwrap_or(ANY)
    }

    /// How often the frames were given up, as the hello says it.
    #[must_use]
    pub fn starts_over(&self) -> u64 {
        self.starts_over
    }

    /// How many frames are not acknowledged.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Tells whether every frame was acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes of the frames that are not acknowledged.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest frame that is not acknowledged was taken.
    #[must_use]
    pub fn oldest_since(&self) -> Option<Instant> {
        self.frames.front().map(|held| held.since)
    }

    fn disagreement(&self, wanted: u64) -> CannotResume {
        CannotResume { oldest: self.oldest(), newest: self.unsent_from - 1, wanted }
    }
}

/// What to do with a frame that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the one that was due: take it.
    Fresh,
    /// It came before, over an earlier connection: drop it.
    Duplicate,
    /// Frames before it are missing: this connection is of no use.
    Gap,
}

/// The receiving end: the number of the frame that is due.
///
/// ```
/// use worker::engine::links::sequence::{Arrival, ReceiveLink};
///
/// let mut link = ReceiveLink::new();
/// assert_eq!(link.accept(1), Arrival::Fresh);
/// assert_eq!(link.accept(1), Arrival::Duplicate);
/// assert_eq!(link.accept(3), Arrival::Gap);
/// assert_eq!(link.next(), 2);
/// ```
#[derive(Debug)]
pub struct ReceiveLink {
    next: u64,
}

impl Default for ReceiveLink {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveLink {
    /// Expects frame 1.
    #[must_use]
    pub fn new() -> Self {
        Self { next: 1 }
    }

    /// Number of the frame that is due: every one below it was taken.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Says what to do with frame `sequence` and counts it if it is fresh.
    pub fn accept(&mut self, sequence: u64) -> Arrival {
        match sequence.cmp(&self.next) {
            std::cmp::Ordering::Less => Arrival::Duplicate,
            std::cmp::Ordering::Greater => Arrival::Gap,
            std::cmp::Ordering::Equal => {
                self.next += 1;
                Arrival::Fresh
            }
        }
    }

    /// Says whether a sender whose oldest frame is `oldest` can go on.
    #[must_use]
    pub fn can_resume(&self, oldest: u64) -> bool {
        oldest == ANY || oldest <= self.next
    }
}
