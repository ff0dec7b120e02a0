//! From the thread that fetches to the spout, and back: records by the batch, and how far they are done.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

use super::client::Place;
use super::record::KafkaRecord;

/// Records that wait for the spout, at most, when another batch is put behind them.
const RECORDS_MAX: usize = 8_192;

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
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// There is room again.
    room: Notify,
    /// The spout is gone.
    stopping: AtomicBool,
    stop: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    told: VecDeque<Told>,
    records: usize,
    /// Of the spout that found nothing.
    idle: Option<Waker>,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the spout.
    pub(super) fn tell(&self, told: Told) {
        let mut waiting = self.waiting();
        if let Told::Records(records) = &told {
            waiting.records += records.len();
        }
        waiting.told.push_back(told);
        let idle = waiting.idle.take();
        drop(waiting);
        if let Some(waker) = idle {
            waker.wake();
        }
    }

    /// What was told; none: the waker is called when there is something.
    pub(super) fn hear(&self, waker: impl FnOnce() -> Waker) -> Option<Told> {
        let mut waiting = self.waiting();
        let told = waiting.told.pop_front();
        match &told {
            None => waiting.idle = Some(waker()),
            Some(Told::Records(records)) => {
                waiting.records -= records.len();
                let has_room = waiting.records < RECORDS_MAX;
                drop(waiting);
                if has_room {
                    self.room.notify_one();
                }
            }
            Some(_) => {}
        }
        told
    }

    /// Whether more should be fetched.
    pub(super) fn has_room(&self) -> bool {
        self.waiting().records < RECORDS_MAX
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
