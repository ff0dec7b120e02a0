//! Payload: tuples that are mostly bytes.

use topology_api::prelude::*;

use super::{Case, Numbered, Stamped};
use crate::bolts::{Null, Passed};
use crate::meter::TICK;
use crate::source::{Feed, Source};

/// Bytes of a number.
const NUMBER_BYTES: usize = size_of::<u64>();

/// Bytes, of which the first and the last eight are the tuple's number.
#[derive(Clone, Debug, Tuple)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
    sent_ns: u64,
}

impl Stamped for Payload {
    fn sent_ns(&self) -> u64 {
        self.sent_ns
    }
}

impl Numbered for Payload {
    /// The number, if it stands at both ends; otherwise one that no tuple has.
    #[inline]
    fn number(&self) -> u64 {
        let first = self.bytes.first_chunk::<NUMBER_BYTES>();
        let last = self.bytes.last_chunk::<NUMBER_BYTES>();
        match (first, last) {
            (Some(first), Some(last)) if first == last => u64::from_le_bytes(*first),
            _ => u64::MAX,
        }
    }
}

/// Makes payloads.
pub(crate) struct Payloads(Vec<u8>);

impl Payloads {
    /// All of this length, at least 16.
    pub(crate) fn new(bytes: u32) -> Self {
        Self(vec![0x5a; bytes as usize])
    }
}

impl Feed for Payloads {
    type Tuple = Payload;

    #[inline]
    fn make(&mut self, number: u64, sent_ns: u64) -> Payload {
        let mut bytes = self.0.clone();
        let number = number.to_le_bytes();
        if let Some(first) = bytes.first_chunk_mut() {
            *first = number;
        }
        if let Some(last) = bytes.last_chunk_mut() {
            *last = number;
        }
        Payload { bytes, sent_ns }
    }
}

/// Declares it.
pub(super) fn declare(t: &mut TopologyBuilder, case: &Case, bytes: u32) {
    let own = case.clone();
    let spout = t.spout("spout", move |cx| Source::new(&own, Payloads::new(bytes), cx));
    let payloads = spout.parallelism(case.parallelism()).tick_every(TICK).stream();
    let own = case.clone();
    let sink = t.bolt("sink", move |cx| Null::<Payload>::new(Passed::new(&own, cx)));
    sink.parallelism(case.parallelism()).shuffle(&payloads);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_was_damaged_has_another_number() {
        let mut payload = Payloads::new(16).make(7, 0);
        assert_eq!(payload.number(), 7);
        payload.bytes.truncate(15);
        assert_eq!(payload.number(), u64::MAX, "it is cut off");
    }
}
