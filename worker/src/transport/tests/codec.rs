//! The layout of frames.

use bytes::Bytes;
use proptest::prelude::*;

use crate::engine::acking::{AckBatch, Edge, FailReason, Failure, Tracking, Why};
use crate::transport::codec::{BatchHead, CodecError, FRAME_TUPLES_MAX, FrameWriter, Item, items};

/// An item as plain values, to write and to compare.
#[derive(Clone, Debug, PartialEq)]
enum Plain {
    Batch { head: BatchHead, edges: Vec<Vec<Edge>>, rows: Vec<u8> },
    Acks { executor: u16, batch: AckBatch },
    EndOfStream((u32, u32), u16, u64),
    Waiting(u64),
    Adopted(u64),
}

impl Plain {
    fn write(&self, writer: &mut FrameWriter) {
        match self {
            Self::Batch { head, edges, rows } => {
                let mut tracking = Tracking::new();
                tracking.push_untracked();
                edges.iter().for_each(|edges| tracking.push_many(edges));
                // The batch is a part of a column, as when it is cut to size.
                let range = 1..tracking.len();
                let bytes = writer.batch(*head, &tracking, range, |out| out.extend(rows));
                assert_eq!(bytes, rows.len(), "credits count the rows");
            }
            Self::Acks { executor, batch } => writer.acks(*executor, batch),
            Self::Waiting(nanoseconds) => writer.waiting(*nanoseconds),
            Self::Adopted(version) => writer.adopted(*version),
            Self::EndOfStream(tasks, stream, ownership) => {
                writer.end_of_stream(*tasks, *stream, *ownership);
            }
        }
    }

    fn of(item: &Item) -> Self {
        match item {
            Item::Batch { head, tracking, rows } => {
                let edges = (0..tracking.len()).map(|tuple| tracking.of(tuple).to_vec());
                Self::Batch { head: *head, edges: edges.collect(), rows: rows.to_vec() }
            }
            Item::Acks { executor, batch } => {
                Self::Acks { executor: *executor, batch: batch.clone() }
            }
            Item::Waiting { nanoseconds } => Self::Waiting(*nanoseconds),
            Item::Adopted { version } => Self::Adopted(*version),
            Item::EndOfStream { target_task, source_task, stream, ownership } => {
                Self::EndOfStream((*target_task, *source_task), *stream, *ownership)
            }
        }
    }
}

fn edge() -> impl Strategy<Value = Edge> {
    // Few roots, so that some tuples follow each other in a run.
    (1_u64..4, any::<u64>()).prop_map(|(root, id)| Edge { root: root << 40, id })
}

fn batch() -> impl Strategy<Value = Plain> {
    let edges = (0_usize..4).prop_flat_map(|edges_max| {
        proptest::collection::vec(proptest::collection::vec(edge(), 0..=edges_max), 0..40)
    });
    let ids = (any::<u32>(), any::<u32>(), any::<u16>(), any::<u64>());
    let rows = proptest::collection::vec(any::<u8>(), 0..300);
    (ids, edges, rows).prop_map(|((target_task, source_task, stream, ownership), edges, rows)| {
        let count = edges.len() as u32;
        let head = BatchHead { target_task, source_task, stream, ownership, count };
        Plain::Batch { head, edges, rows }
    })
}

fn acks() -> impl Strategy<Value = Plain> {
    let contribution = (1_u64.., any::<u64>()).prop_map(|(root, id)| Edge { root, id });
    let reason = proptest::sample::select(&FailReason::ALL[..]);
    let failure = (1_u64.., reason).prop_map(|(root, reason)| Failure { root, reason });
    let contributions = proptest::collection::vec(contribution, 0..40);
    let failures = proptest::collection::vec(failure, 0..10);
    let resets = proptest::collection::vec(1..u64::MAX, 0..5);
    let why = (1_u64.., ".{0,400}").prop_map(|(root, text)| Why { root, text: Why::cut(&text) });
    let whys = proptest::collection::vec(why, 0..4);
    (any::<u16>(), any::<u64>(), contributions, failures, whys, resets).prop_map(
        |(executor, stamp, contributions, failures, whys, resets)| Plain::Acks {
            executor,
            batch: AckBatch { stamp, contributions, failures, whys, resets },
        },
    )
}

fn item() -> impl Strategy<Value = Plain> {
    let end = (any::<(u32, u32)>(), any::<u16>(), any::<u64>());
    prop_oneof![
        batch(),
        acks(),
        end.prop_map(|(tasks, stream, owner)| Plain::EndOfStream(tasks, stream, owner)),
        any::<u64>().prop_map(Plain::Waiting),
        any::<u64>().prop_map(Plain::Adopted),
    ]
}

fn frame() -> impl Strategy<Value = Vec<Plain>> {
    proptest::collection::vec(item(), 1..8)
}

fn write(plain: &[Plain], writer: &mut FrameWriter) -> Bytes {
    plain.iter().for_each(|item| item.write(writer));
    writer.finish()
}

proptest! {
    #[test]
    fn what_is_written_is_read(first in frame(), second in frame()) {
        let mut writer = FrameWriter::new();
        for plain in [first, second] {
            let payload = write(&plain, &mut writer);
            let read: Vec<_> = items(&payload).unwrap().iter().map(Plain::of).collect();
            prop_assert_eq!(read, plain);
            prop_assert!(writer.is_empty(), "a finished frame leaves nothing behind");
        }
    }

    #[test]
    fn a_frame_that_was_cut_off_is_refused(plain in frame(), keep in 0.0..1.0_f64) {
        let payload = write(&plain, &mut FrameWriter::new());
        let cut = payload.slice(..(payload.len() as f64 * keep) as usize);
        // A cut between two items cannot be seen: gRPC's length does not allow it.
        if let Ok(read) = items(&cut) {
            let whole = read.len();
            let read: Vec<_> = read.iter().map(Plain::of).collect();
            prop_assert_eq!(&read[..], &plain[..whole]);
        }
    }

    #[test]
    fn damaged_bytes_never_panic(plain in frame(), at in any::<prop::sample::Index>(), to: u8) {
        let mut payload = write(&plain, &mut FrameWriter::new()).to_vec();
        let at = at.index(payload.len());
        payload[at] = to;
        drop(items(&payload.into()));
    }

    #[test]
    fn garbage_never_panics(mut garbage in proptest::collection::vec(any::<u8>(), 0..200), tag in 0_u8..5) {
        drop(items(&Bytes::copy_from_slice(&garbage)));
        garbage.splice(0..0, [3, tag]);
        drop(items(&garbage.into()));
    }
}

#[test]
fn an_empty_payload_is_not_a_frame() {
    assert_eq!(items(&Bytes::new()).unwrap_err(), CodecError::Truncated);
}

#[test]
fn another_format_is_named() {
    assert_eq!(items(&Bytes::from_static(&[1])).unwrap_err(), CodecError::Format(1));
    assert_eq!(items(&Bytes::from_static(&[3, 9])).unwrap_err(), CodecError::Tag(9));
}

#[test]
fn lengths_beyond_the_frame_take_no_memory() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0x7f];
    let acks = [&[3, 2, 0][..], &[0; 8], &huge].concat();
    let over = CodecError::Invalid("contributions are over 32 bits");
    assert_eq!(items(&acks.into()).unwrap_err(), over, "2³⁵ contributions");
    let too_many = CodecError::Invalid("a frame has too many tuples");
    let acks = [&[3, 2, 0][..], &[0; 8], &[0xff, 0xff, 0x7f]].concat();
    assert_eq!(items(&acks.into()).unwrap_err(), too_many, "2²¹ contributions");
    let batch = [&[3, 1, 0, 0, 0, 0][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0]].concat();
    assert_eq!(items(&batch.into()).unwrap_err(), too_many, "2³² tuples of no bytes");
    let number = [3, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let over = CodecError::Invalid("a number is over 64 bits");
    assert_eq!(items(&Bytes::copy_from_slice(&number)).unwrap_err(), over, "70 bits");
}

#[test]
fn the_most_tuples_of_no_bytes_are_read() {
    let mut tracking = Tracking::new();
    (0..FRAME_TUPLES_MAX).for_each(|_| tracking.push_untracked());
    let count = FRAME_TUPLES_MAX as u32;
    let head = BatchHead { target_task: 0, source_task: 0, stream: 0, ownership: 0, count };
    let mut writer = FrameWriter::new();
    writer.batch(head, &tracking, 0..FRAME_TUPLES_MAX, |_| ());
    let read = items(&writer.finish()).unwrap();
    assert!(matches!(&read[0], Item::Batch { tracking, .. } if tracking.len() == FRAME_TUPLES_MAX));
}
