//! From the thread that fetches to the spout, and back: records by the batch, and how far they are done.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

use super::client::Place;
use super::record::KafkaRecord;

/// Records that wait for the spout, at most, when others are fetched.
const RECORDS_MAX: usize = 8_192;

/// Bytes that a record takes besides its key, value and headers, about.
const OVERHEAD: usize = 128;

/// What the spout is told, in order.
#[derive(Debug)]
pub(super) enum Told {
    /// A partition is read from now on; how far it is done goes here.
    Gained(Place, Arc<Done>),
    /// It is not any more.
    Lost(Place),
    /// Records, those of a partition in order.
    Records(Vec<KafkaRecord>),
    /// There are no more.
    Finished,
}

/// Up to where a partition may be committed, as the spout knows it.
#[derive(Debug)]
pub(super) struct Done(AtomicU64);

/// Nothing was emitted yet.
const NOTHING: u64 = u64::MAX;

impl Default for Done {
    fn default() -> Self {
        Self(AtomicU64::new(NOTHING))
    }
}

impl Done {
    pub(super) fn set(&self, committable: u64) {
        self.0.store(committable, Ordering::Release);
    }

    pub(super) fn committable(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|it| *it != NOTHING)
    }
}

/// The queue between both.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Bytes of records that wait for the spout, at most, when others are fetched.
    bytes_max: usize,
    /// There is room again.
    room: Notify,
    /// The spout is gone.
    stopping: AtomicBool,
    stop: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// With what it weighs.
    told: VecDeque<(Told, usize)>,
    records: usize,
    bytes: usize,
    /// Of the spout that found nothing.
    idle: Option<Waker>,
}

impl Queue {
    /// An empty one that has room below so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            bytes_max,
            room: Notify::new(),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
        }
    }

    fn takes_more(&self, waiting: &Waiting) -> bool {
        waiting.records < RECORDS_MAX && waiting.bytes < self.bytes_max
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the spout.
    pub(super) fn tell(&self, told: Told) {
        let (count, bytes) = match &told {
            Told::Records(records) => (records.len(), records.iter().map(weight).sum()),
            _ => (0, 0),
        };
        let mut waiting = self.waiting();
        waiting.records += count;
        waiting.bytes += bytes;
        waiting.told.push_back((told, bytes));
        let idle = waiting.idle.take();
        drop(waiting);
        if let Some(waker) = idle {
            waker.wake();
        }
    }

    /// What was told; none: the waker is called when there is something.
    pub(super) fn hear(&self, waker: impl FnOnce() -> Waker) -> Option<Told> {
        let mut waiting = self.waiting();
        let Some((told, bytes)) = waiting.told.pop_front() else {
            waiting.idle = Some(waker());
            return None;
        };
        if let Told::Records(records) = &told {
            waiting.records -= records.len();
            waiting.bytes -= bytes;
            let has_room = self.takes_more(&waiting);
            drop(waiting);
            if has_room {
                self.room.notify_one();
            }
        }
        Some(told)
    }

    /// Whether more should be fetched.
    pub(super) fn has_room(&self) -> bool {
        self.takes_more(&self.waiting())
    }

    /// Waits until there may be room.
    pub(super) async fn room(&self) {
        self.room.notified().await;
    }

    /// Asks the thread to stop.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.notify_one();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits until the thread is to stop.
    pub(super) async fn stopped(&self) {
        while !self.is_stopping() {
            self.stop.notified().await;
        }
    }
}

/// About how many bytes a record takes.
fn weight(record: &KafkaRecord) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = record.headers.iter().map(|(name, value)| name.len() + length(value));
    let texts = length(record.key.as_deref()) + length(record.value.as_deref());
    OVERHEAD + texts + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize, bytes: usize) -> Told {
        Told::Records(vec![KafkaRecord::new("t", vec![b'x'; bytes]); count])
    }

    #[test]
    fn there_is_room_until_records_or_bytes_of_them_wait_and_again_when_they_are_taken() {
        let queue = Queue::new(1 << 20);
        for (count, bytes) in [(RECORDS_MAX, 1), (4, 300_000)] {
            assert!(queue.has_room());
            queue.tell(records(count / 2, bytes));
            assert!(queue.has_room(), "{count} of {bytes}: half of it is not too much");
            queue.tell(records(count - count / 2, bytes));
            assert!(!queue.has_room(), "{count} of {bytes}");
            assert!(queue.hear(|| Waker::noop().clone()).is_some());
            assert!(queue.has_room(), "{count} of {bytes}: half of it was taken");
            queue.hear(|| Waker::noop().clone());
        }
        assert!(queue.hear(|| Waker::noop().clone()).is_none());
    }
}
