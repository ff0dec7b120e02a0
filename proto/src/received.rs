//! A report of a supervisor as it comes in: what its slots say is not read yet.
//!
//! It tells of thousands of tasks, each with its latencies, and takes several times as much memory read
//! as it does written. Who takes such reports reads one slot after the other and keeps what it needs of
//! each, so that what was read of a whole report is never there at once.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType, encoded_len_varint};
use prost::{DecodeError, Message};

use crate::supervisor::{SlotReport, SupervisorReport};

/// The number of the field `slots` of a `SupervisorReport`.
const SLOTS: u32 = 3;

/// A `SupervisorReport` on the wire, whose slots are bytes.
///
/// ```
/// use prost::Message;
/// use proto::received::Received;
/// use proto::supervisor::{SlotReport, SupervisorReport};
///
/// let slot = SlotReport { slot: 7, ..SlotReport::default() };
/// let report = SupervisorReport { sequence: 3, slots: vec![slot], ..SupervisorReport::default() };
/// let received = Received::decode(report.encode_to_vec().as_slice()).unwrap();
/// assert_eq!((received.report.sequence, received.slots.len()), (3, 1));
/// assert_eq!(received.slot(0).unwrap().map(|it| it.slot), Some(7));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// All but the slots.
    pub report: SupervisorReport,
    /// What each slot says, as it is written.
    pub slots: Vec<Bytes>,
}

impl Received {
    /// Reads what a slot says; nothing if there are fewer.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn slot(&self, at: usize) -> Result<Option<SlotReport>, DecodeError> {
        self.slots.get(at).cloned().map(SlotReport::decode).transpose()
    }
}

impl Message for Received {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.report.encode_raw(buf);
        encoding::bytes::encode_repeated(SLOTS, &self.slots, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            SLOTS => encoding::bytes::merge_repeated(wire_type, &mut self.slots, buf, context),
            _ => self.report.merge_field(tag, wire_type, buf, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let slots = self.slots.iter().map(Bytes::len);
        let key = encoding::key_len(SLOTS);
        let slots = slots.map(|len| key + encoded_len_varint(len as u64) + len);
        self.report.encoded_len() + slots.sum::<usize>()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    unused_qualifications,
    unreachable_pub,
    reason = "generated"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/squall.nimbus.Reports.rs"));
}

pub use generated::reports_server;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{LettersReport, WorkerReport};

    #[test]
    fn it_is_written_as_the_report_that_it_was_read_from() {
        let slot = |slot: u32| SlotReport {
            slot,
            topology: "t".repeat(200),
            report: Some(WorkerReport { rss_bytes: 7, ..WorkerReport::default() }),
            ..SlotReport::default()
        };
        let report = SupervisorReport {
            supervisor: "machine-1".to_owned(),
            incarnation: 4,
            slots: (0..3).map(slot).collect(),
            letters: vec![LettersReport::default()],
            ..SupervisorReport::default()
        };
        let received = Received::decode(report.encode_to_vec().as_slice()).expect("it is one");
        assert_eq!(received.slot(2), Ok(Some(slot(2))));
        assert_eq!(received.slot(3), Ok(None));
        assert_eq!(received.encoded_len(), report.encoded_len());
        let again = SupervisorReport::decode(received.encode_to_vec().as_slice());
        assert_eq!(again, Ok(report));
    }

    #[test]
    fn a_slot_that_is_none_is_an_error_when_it_is_read() {
        let broken = Bytes::from_static(&[0xff]);
        let received = Received { slots: vec![broken], ..Received::default() };
        received.slot(0).expect_err("that is no slot");
    }
}
