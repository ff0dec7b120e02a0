//! Frames of encoded tuples: how many there are in four bytes, then their rows.

use std::marker::PhantomData;

use bytes::Bytes;
use topology_api::Tuple;

use crate::bolts::Numbered;
use crate::meter::now_ns;
use crate::source::Feed;
use crate::tally::Tally;

/// Bytes of the number in front.
const COUNT_BYTES: usize = 4;

/// What was sent, or arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) frames: u64,
    pub(super) tuples: u64,
    pub(super) bytes: u64,
    /// Of the tuples' numbers, where each is encoded and decoded.
    pub(super) tally: Tally,
}

/// Makes frames until its time is over.
pub(super) struct Sender<F> {
    feed: F,
    frame_bytes: usize,
    /// The frame that is sent again and again, where tuples are not encoded one by one.
    ready: Option<Vec<u8>>,
    until_ns: u64,
    number: u64,
    sent: Received,
}

/// Reads frames.
pub(super) struct Receiver<F> {
    decodes: bool,
    received: Received,
    feed: PhantomData<fn(F)>,
}

impl<F: Feed> Sender<F>
where
    F::Tuple: Numbered,
{
    /// Starts at the first tuple.
    pub(super) fn new(feed: F, frame_bytes: usize, encodes: bool, until_ns: u64) -> Self {
        let sent = Received::default();
        let mut sender = Self { feed, frame_bytes, ready: None, until_ns, number: 0, sent };
        if !encodes {
            sender.ready = Some(sender.encoded());
            sender.sent = Received::default();
        }
        sender
    }

    /// The other end.
    pub(super) fn receiver(&self) -> Receiver<F> {
        Receiver { decodes: self.ready.is_none(), received: Received::default(), feed: PhantomData }
    }

    /// What was sent so far.
    pub(super) fn sent(&self) -> Received {
        self.sent
    }

    /// Makes the next frame, in a buffer of its own as one that may be sent again has.
    pub(super) fn next_frame(&mut self) -> Option<Bytes> {
        if now_ns() >= self.until_ns {
            return None;
        }
        let frame = match &self.ready {
            Some(ready) => ready.clone(),
            None => self.encoded(),
        };
        self.sent.frames += 1;
        self.sent.tuples += u64::from(count_of(&frame));
        self.sent.bytes += frame.len() as u64;
        Some(Bytes::from(frame))
    }

    fn encoded(&mut self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.frame_bytes + self.frame_bytes / 8);
        frame.extend([0; COUNT_BYTES]);
        let mut count: u32 = 0;
        while frame.len() < self.frame_bytes {
            let tuple = self.feed.make(self.number, 0);
            self.number += 1;
            self.sent.tally.add(tuple.number());
            tuple.encode(&mut frame);
            count += 1;
        }
        frame[..COUNT_BYTES].copy_from_slice(&count.to_le_bytes());
        frame
    }
}

impl<F: Feed> Receiver<F>
where
    F::Tuple: Numbered,
{
    /// Takes a frame in; what cannot be read shows in the sums.
    pub(super) fn take(&mut self, frame: &[u8]) {
        self.received.frames += 1;
        self.received.bytes += frame.len() as u64;
        let count = count_of(frame);
        self.received.tuples += u64::from(count);
        if !self.decodes {
            return;
        }
        let mut rows = frame.get(COUNT_BYTES..).unwrap_or_default();
        for _ in 0..count {
            if let Ok(tuple) = F::Tuple::decode(&mut rows) {
                self.received.tally.add(tuple.number());
            }
        }
    }

    /// What arrived so far.
    pub(super) fn received(&self) -> Received {
        self.received
    }
}

fn count_of(frame: &[u8]) -> u32 {
    frame.first_chunk().map_or(0, |count| u32::from_le_bytes(*count))
}
