//! What waits for an executor: batches in order of arrival, and how full that is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use topology_api::runtime::Rows;

use crate::engine::acking::Tracking;
use crate::engine::flow::budget::MAILBOX_BYTES;
use crate::engine::routing::ROOM_FULL;

/// Tuples an executor's mailbox takes before its senders hold back: 8 full batches.
pub const MAILBOX_TUPLES: u64 = 1024;

/// The tuples of a batch: typed, or still as they came from another worker.
#[derive(Debug)]
pub enum Payload {
    /// Emitted in this process.
    Typed(Box<dyn Rows>),
    /// Received; decoded by the executor that takes it.
    Encoded {
        /// The rows.
        bytes: Bytes,
        /// How many.
        count: u32,
    },
}

/// Which stream of which component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamRef {
    /// Index of the component in the topology.
    pub component: usize,
    /// Index among its outputs.
    pub stream: usize,
}

/// One batch for one task.
#[derive(Debug)]
pub struct Delivery {
    /// The task it is for.
    pub target: u32,
    /// The stream it belongs to.
    pub from: StreamRef,
    /// The tuples.
    pub payload: Payload,
    /// The trees they belong to.
    pub tracking: Tracking,
    /// How many tuples.
    pub tuples: u64,
    /// About how many bytes.
    pub bytes: u64,
    /// The worker it came from, if not this one: its credit is given back when it is taken.
    pub peer: Option<u32>,
    /// When it was put here.
    pub since: Instant,
}

/// What a mailbox holds.
#[derive(Debug)]
pub enum Item {
    /// Tuples.
    Batch(Delivery),
    /// The source task will send no more on this stream.
    End {
        /// The task it is for.
        target: u32,
        /// The task that ended.
        source: u32,
        /// The stream that ended.
        from: StreamRef,
        /// Owner epoch of the task that ended, under which it did.
        ownership: u64,
    },
}

/// How full a mailbox is; its senders look at it, on whatever loop they run.
#[derive(Debug)]
pub struct Gauge {
    tuples: AtomicU64,
    bytes: AtomicU64,
    /// How many of them it takes.
    bytes_max: u64,
    /// Somebody waits for room.
    starved: AtomicBool,
}

impl Default for Gauge {
    fn default() -> Self {
        Self::new(MAILBOX_BYTES)
    }
}

impl Gauge {
    /// The gauge of an empty mailbox that takes so many bytes.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self {
            tuples: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            bytes_max,
            starved: AtomicBool::new(false),
        }
    }

    /// Tells whether more may be sent; if not, the loops are woken when there is room again.
    pub fn has_room(&self) -> bool {
        if self.fits() {
            return true;
        }
        self.starved.store(true, Ordering::SeqCst);
        // It may have been emptied between the look and the flag.
        self.fits()
    }

    /// How much still fits, by tuples or by bytes, in parts of [`ROOM_FULL`]; the load signal of a
    /// shuffle.
    pub fn room(&self) -> u64 {
        let tuples = MAILBOX_TUPLES.saturating_sub(self.tuples.load(Ordering::Relaxed));
        let bytes = self.bytes_max.saturating_sub(self.bytes.load(Ordering::Relaxed));
        (tuples * ROOM_FULL / MAILBOX_TUPLES).min(bytes * ROOM_FULL / self.bytes_max)
    }

    /// Tuples that wait.
    pub fn tuples(&self) -> u64 {
        self.tuples.load(Ordering::Relaxed)
    }

    fn fits(&self) -> bool {
        self.tuples.load(Ordering::SeqCst) < MAILBOX_TUPLES
            && self.bytes.load(Ordering::SeqCst) < self.bytes_max
    }

    /// Notes a batch that is on its way.
    pub fn put(&self, tuples: u64, bytes: u64) {
        self.tuples.fetch_add(tuples, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Notes a batch that was taken; tells whether somebody waited for room.
    pub fn taken(&self, tuples: u64, bytes: u64) -> bool {
        self.tuples.fetch_sub(tuples, Ordering::SeqCst);
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.fits() && self.starved.swap(false, Ordering::SeqCst)
    }
}

/// What waits for one executor.
#[derive(Debug, Default)]
pub struct Mailbox {
    items: VecDeque<Item>,
    /// Shared with senders on other loops.
    pub gauge: Arc<Gauge>,
}

impl Mailbox {
    /// Makes an empty mailbox whose senders look at `gauge`.
    pub fn new(gauge: Arc<Gauge>) -> Self {
        Self { items: VecDeque::new(), gauge }
    }

    /// Puts an item at the end; its sender has noted it in the gauge.
    pub fn push(&mut self, item: Item) {
        self.items.push_back(item);
    }

    /// Takes the first item, and tells whether somebody waited for the room.
    pub fn pop(&mut self) -> Option<(Item, bool)> {
        let item = self.items.pop_front()?;
        let starved = match &item {
            Item::Batch(delivery) => self.gauge.taken(delivery.tuples, delivery.bytes),
            Item::End { .. } => false,
        };
        Some((item, starved))
    }

    /// Tells whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// When the first waiting batch was put here.
    pub fn oldest(&self) -> Option<Instant> {
        self.items.iter().find_map(|item| match item {
            Item::Batch(delivery) => Some(delivery.since),
            Item::End { .. } => None,
        })
    }
}
