//! The layout of a frame's payload.
//!
//! ```text
//! frame   format byte (1), then items until the end
//! item    tag byte, then
//!   batch (1)          target task, source task, stream, ownership, count: varints
//!                      tracking: shape byte, then nothing | edges | lists
//!                      length of the rows: 4 bytes; the rows
//!   acks (2)           executor: varint; stamp: 8 bytes
//!                      contributions: varint, then edges
//!                      failures: varint, then root: 8 bytes, reason: 1 byte
//!                      whys: varint, then root: 8 bytes, length: varint, UTF-8
//!                      resets: varint, then root of each: 8 bytes
//!   end of stream (3)  target task, source task, stream, ownership of the source: varints
//!   waiting (4)        nanoseconds: varint
//!   adopted (5)        version: varint
//! edges   of all tuples, at most one each: see `edges`
//! lists   per tuple: number of edges: varint; root and edge of each: 8 bytes each
//! ```
//!
//! Numbers are little-endian. Rows are written by the tuple's own codec straight into the frame, and
//! a parsed batch holds a slice of the frame. Every length is compared with what is left before it
//! is used, and what takes no byte of its own is counted, so the memory that a parse takes is
//! bounded.

use std::ops::Range;

use bytes::Bytes;

use super::edges::put_edges;
use crate::engine::acking::{AckBatch, Tracking};

pub use super::parse::items;

/// First byte of every frame: the version of this layout.
pub(super) const FORMAT: u8 = 3;

pub(super) const BATCH: u8 = 1;
pub(super) const ACKS: u8 = 2;
pub(super) const END_OF_STREAM: u8 = 3;
pub(super) const WAITING: u8 = 4;
pub(super) const ADOPTED: u8 = 5;

pub(super) const NOT_TRACKED: u8 = 0;
pub(super) const SINGLES: u8 = 1;
pub(super) const LISTS: u8 = 2;

/// A frame of this size goes out: larger ones are no faster, and delay what is behind them.
pub const FRAME_BYTES: usize = 64 << 10;

/// Most tuples and contributions in one frame. They may take no bytes of their own, so the size of a
/// frame does not bound them.
pub const FRAME_TUPLES_MAX: usize = 1 << 20;

/// Most items in one frame, to bound what reading a broken one costs.
pub(super) const FRAME_ITEMS_MAX: usize = 1 << 16;

/// Frames below this are copied into a buffer of their size: an idle topology sends frames of a
/// few bytes, and each would pin a large buffer until it is acknowledged.
const COPIED_BELOW: usize = 4 << 10;

/// Why a payload could not be read: damage, or a sender of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// It ends before an item does.
    #[error("the frame is cut off")]
    Truncated,
    /// It begins with a format byte of another version.
    #[error("the frame has format {0}, not {FORMAT}")]
    Format(u8),
    /// An item begins with a tag of another version.
    #[error("an item has the unknown tag {0}")]
    Tag(u8),
    /// Bytes that no writer writes.
    #[error("{0}")]
    Invalid(&'static str),
}

/// For whom a batch is, and from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// Task that the tuples are for.
    pub target_task: u32,
    /// Task that emitted them.
    pub source_task: u32,
    /// Number of the stream among those of the source's component.
    pub stream: u16,
    /// Owner epoch of the target task that the sender knows.
    pub ownership: u64,
    /// How many tuples.
    pub count: u32,
}

/// One thing in a frame.
#[derive(Debug)]
pub enum Item {
    /// Tuples for one task.
    Batch {
        /// For whom, from whom.
        head: BatchHead,
        /// Their places in tuple trees.
        tracking: Tracking,
        /// Their encoded rows: a slice of the frame.
        rows: Bytes,
    },
    /// Contributions and failures for the roots of one executor.
    Acks {
        /// Index of the executor in the routing table.
        executor: u16,
        /// What it is told.
        batch: AckBatch,
    },
    /// The source task will emit no more on this stream.
    EndOfStream {
        /// Task that reads the stream.
        target_task: u32,
        /// Task that ended it.
        source_task: u32,
        /// Number of the stream among those of the source's component.
        stream: u16,
        /// Owner epoch of the source task under which it ended.
        ownership: u64,
    },
    /// The sending worker goes by this routing table, or a newer one: all that it sent by older ones
    /// came before.
    Adopted {
        /// The version of the table.
        version: u64,
    },
    /// How long the oldest tuple has been waiting in the sending worker.
    Waiting {
        /// In nanoseconds.
        nanoseconds: u64,
    },
}

/// Gathers items into frames.
///
/// ```
/// use worker::engine::acking::Tracking;
/// use worker::transport::codec::{BatchHead, FrameWriter, Item, items};
///
/// let mut tracking = Tracking::new();
/// tracking.push_untracked();
/// let head = BatchHead { target_task: 3, source_task: 1, stream: 0, ownership: 0, count: 1 };
///
/// let mut writer = FrameWriter::new();
/// let row_bytes = writer.batch(head, &tracking, 0..1, |out| out.extend(b"row"));
/// writer.end_of_stream((3, 1), 0, 0);
/// assert_eq!(row_bytes, 3);
///
/// let items = items(&writer.finish()).unwrap();
/// assert!(matches!(&items[0], Item::Batch { rows, .. } if rows == "row"));
/// assert!(matches!(items[1], Item::EndOfStream { target_task: 3, .. }));
/// assert!(writer.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct FrameWriter {
    buffer: Vec<u8>,
}

impl FrameWriter {
    /// Starts with an empty frame and no buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells whether the frame has no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes of the frame so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Tells whether the frame should go out.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= FRAME_BYTES
    }

    /// Adds the tuples `range` of a batch; `rows` appends their rows. Returns the bytes of the
    /// rows, which is what credits count.
    ///
    /// `head.count` must be the length of `range`.
    pub fn batch(
        &mut self,
        head: BatchHead,
        tracking: &Tracking,
        range: Range<usize>,
        rows: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        debug_assert_eq!(head.count as usize, range.len(), "a head counts its tuples");
        let out = self.item(BATCH);
        put_varint(out, u64::from(head.target_task));
        put_varint(out, u64::from(head.source_task));
        put_varint(out, u64::from(head.stream));
        put_varint(out, head.ownership);
        put_varint(out, u64::from(head.count));
        put_tracking(out, tracking, range);
        let length_at = out.len();
        out.extend([0; 4]);
        let start = out.len();
        rows(out);
        let bytes = out.len() - start;
        let length = u32::try_from(bytes).expect("the rows of a batch are far below 4 GiB");
        out[length_at..start].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Adds acks for the executor with this index.
    pub fn acks(&mut self, executor: u16, batch: &AckBatch) {
        let out = self.item(ACKS);
        put_varint(out, u64::from(executor));
        put_word(out, batch.stamp);
        put_varint(out, batch.contributions.len() as u64);
        put_edges(out, &batch.contributions);
        put_varint(out, batch.failures.len() as u64);
        for failure in &batch.failures {
            put_word(out, failure.root);
            out.push(failure.reason.code());
        }
        put_varint(out, batch.whys.len() as u64);
        for why in &batch.whys {
            put_word(out, why.root);
            put_varint(out, why.text.len() as u64);
            out.extend_from_slice(why.text.as_bytes());
        }
        put_varint(out, batch.resets.len() as u64);
        batch.resets.iter().for_each(|root| put_word(out, *root));
    }

    /// Adds the end of a stream, for the target from the source, which ended under this ownership.
    pub fn end_of_stream(&mut self, (target, source): (u32, u32), stream: u16, ownership: u64) {
        let out = self.item(END_OF_STREAM);
        put_varint(out, u64::from(target));
        put_varint(out, u64::from(source));
        put_varint(out, u64::from(stream));
        put_varint(out, ownership);
    }

    /// Adds that this worker goes by a routing table.
    pub fn adopted(&mut self, version: u64) {
        let out = self.item(ADOPTED);
        put_varint(out, version);
    }

    /// Adds how long the oldest tuple has been waiting here.
    pub fn waiting(&mut self, nanoseconds: u64) {
        let out = self.item(WAITING);
        put_varint(out, nanoseconds);
    }

    /// Returns the frame and starts the next one.
    pub fn finish(&mut self) -> Bytes {
        if self.buffer.len() < COPIED_BELOW {
            let frame = Bytes::copy_from_slice(&self.buffer);
            self.buffer.clear();
            return frame;
        }
        // The next frame will be about as large; a buffer that grows would copy it many times.
        let next = Vec::with_capacity(self.buffer.len().min(2 * FRAME_BYTES) * 9 / 8);
        Bytes::from(std::mem::replace(&mut self.buffer, next))
    }

    fn item(&mut self, tag: u8) -> &mut Vec<u8> {
        if self.buffer.is_empty() {
            self.buffer.push(FORMAT);
        }
        self.buffer.push(tag);
        &mut self.buffer
    }
}

#[inline]
pub(super) fn put_word(out: &mut Vec<u8>, word: u64) {
    out.extend_from_slice(&word.to_le_bytes());
}

#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut rest: u64) {
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_tracking(out: &mut Vec<u8>, tracking: &Tracking, range: Range<usize>) {
    if !tracking.is_tracked() {
        out.push(NOT_TRACKED);
    } else if let Some(edges) = tracking.singles() {
        out.push(SINGLES);
        put_edges(out, &edges[range]);
    } else {
        out.push(LISTS);
        for tuple in range {
            let edges = tracking.of(tuple);
            put_varint(out, edges.len() as u64);
            for edge in edges {
                put_word(out, edge.root);
                put_word(out, edge.id);
            }
        }
    }
}
