//! Between those who push and the spout: a bounded queue, and a verdict for who waits for one.
//!
//! Room is counted in records that were taken and have no verdict yet, so a sender that went away
//! makes no room. One lock guards the queue; the spout takes a batch under it. A batch that was posted
//! together has one verdict: when each of its records has one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::{Semaphore, oneshot};
use topology_api::{Counter, Tuple};

use crate::buffer::{Appender, NotStored, Rows};

/// What became of a batch: the records that failed, each with the name of its reason.
pub(crate) type Failed = Vec<(usize, &'static str)>;

/// The name of the reason of what has no verdict because its task ended.
const LOST: &str = "task-ended";

/// A batch that waits for the verdict of its last record.
struct Batch {
    /// Records without a verdict.
    open: AtomicUsize,
    state: Mutex<(Failed, Option<oneshot::Sender<Failed>>)>,
}

impl Batch {
    fn settle(&self, index: usize, failed: Option<&'static str>) {
        if let Some(reason) = failed {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).0.push((index, reason));
        }
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let (mut failed, teller) = (std::mem::take(&mut state.0), state.1.take());
            failed.sort_unstable();
            if let Some(teller) = teller {
                // Who went away does not want to know.
                teller.send(failed).ok();
            }
        }
    }
}

/// One record of a batch, without a verdict yet.
pub(crate) struct Ticket {
    batch: Option<Arc<Batch>>,
    index: usize,
}

impl Ticket {
    /// Gives the verdict: a reason, if it failed.
    pub(crate) fn settle(mut self, failed: Option<&'static str>) {
        if let Some(batch) = self.batch.take() {
            batch.settle(self.index, failed);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            batch.settle(self.index, Some(LOST));
        }
    }
}

/// A record in the queue.
pub(crate) struct Waiting<T> {
    pub(crate) tuple: T,
    /// None: nobody waits for its verdict, and it is emitted until it is processed.
    pub(crate) ticket: Option<Ticket>,
}

/// Why something was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no room now.
    Full,
    /// The topology is not active.
    Inactive,
    /// The task has ended.
    Ended,
    /// The buffer does not take it.
    NotStored(NotStored),
}

/// Records that were taken, and what will become of them.
pub(crate) enum Verdict {
    /// They are in the queue.
    Processed(oneshot::Receiver<Failed>),
    /// They are on their way into the buffer.
    Stored(oneshot::Receiver<Result<(), NotStored>>),
}

impl Verdict {
    /// Waits for what became of them.
    pub(crate) async fn wait(self) -> Result<Failed, Refused> {
        match self {
            Self::Processed(verdict) => verdict.await.map_err(|_| Refused::Ended),
            Self::Stored(stored) => match stored.await.unwrap_or(Err(NotStored::Closed)) {
                Ok(()) => Ok(Failed::new()),
                Err(why) => Err(Refused::NotStored(why)),
            },
        }
    }
}

struct Queue<T> {
    records: VecDeque<Waiting<T>>,
    waker: Option<Waker>,
    /// Nothing will come any more.
    finished: bool,
    /// Nobody takes anything any more.
    ended: bool,
}

/// What posters and the spout share.
pub(crate) struct Shared<T> {
    queue: Mutex<Queue<T>>,
    /// One permit for each record that can be taken.
    room: Semaphore,
    active: AtomicBool,
    buffer: Option<Appender>,
    refused: Counter,
}

/// Where records are posted to, from any thread.
pub(crate) struct Intake<T> {
    pub(crate) shared: Arc<Shared<T>>,
}

impl<T> Clone for Intake<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Shared<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to so many records; if there are none, `waker` is woken when there are. Tells whether
    /// there may be more.
    pub(crate) fn take(&self, count: usize, waker: &Waker, to: &mut VecDeque<Waiting<T>>) -> bool {
        let mut queue = self.queue();
        if queue.records.is_empty() {
            queue.waker = Some(waker.clone());
            return !queue.finished;
        }
        let count = queue.records.len().min(count);
        to.extend(queue.records.drain(..count));
        true
    }

    /// A record has its verdict: there is room for another.
    pub(crate) fn make_room(&self) {
        self.room.add_permits(1);
    }

    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    /// The spout ends: whoever waits for room hears of it, and for a verdict too.
    pub(crate) fn end(&self) {
        self.room.close();
        let mut queue = self.queue();
        queue.ended = true;
        let records = std::mem::take(&mut queue.records);
        drop(queue);
        // Dropped without a verdict, they tell who waits for one.
        drop(records);
    }
}

impl<T: Tuple> Intake<T> {
    /// A queue for so many records, in front of which may stand a buffer.
    pub(crate) fn new(capacity: usize, buffer: Option<Appender>, refused: Counter) -> Self {
        let (records, waker) = (VecDeque::new(), None);
        let queue = Queue { records, waker, finished: false, ended: false };
        Self {
            shared: Arc::new(Shared {
                queue: Mutex::new(queue),
                room: Semaphore::new(capacity),
                active: AtomicBool::new(true),
                buffer,
                refused,
            }),
        }
    }

    /// Posts records together, all or none, and gives what became of them: processed, or safe in the
    /// buffer. Refuses them if there is no room now.
    #[cfg(feature = "push")]
    pub(crate) async fn post(&self, records: Vec<T>) -> Result<Failed, Refused> {
        let entered = match &self.shared.buffer {
            Some(buffer) => self.store(buffer, &rows(&records)),
            None => self.enter_now(records),
        };
        match entered {
            Ok(verdict) => verdict.wait().await,
            Err(refused) => {
                self.shared.refused.add(1);
                Err(refused)
            }
        }
    }

    #[cfg(feature = "push")]
    fn enter_now(&self, records: Vec<T>) -> Result<Verdict, Refused> {
        use tokio::sync::TryAcquireError;

        if !self.shared.active.load(Ordering::Relaxed) {
            return Err(Refused::Inactive);
        }
        let permits = u32::try_from(records.len()).map_err(|_| Refused::Full)?;
        match self.shared.room.try_acquire_many(permits) {
            Ok(room) => room.forget(),
            Err(TryAcquireError::NoPermits) => return Err(Refused::Full),
            Err(TryAcquireError::Closed) => return Err(Refused::Ended),
        }
        Ok(self.put_batch(records))
    }

    /// Takes records in as [`post`](Self::post) does, but waits until there is room for them. Not more
    /// at once than there can be room for.
    #[cfg(feature = "relay")]
    pub(crate) async fn enter(&self, records: Vec<T>) -> Result<Verdict, Refused> {
        if let Some(buffer) = &self.shared.buffer {
            let rows = rows(&records);
            loop {
                match self.store(buffer, &rows) {
                    Err(Refused::NotStored(NotStored::Full)) => {
                        tokio::time::sleep(FULL_PAUSE).await;
                    }
                    entered => return entered,
                }
            }
        }
        let permits = u32::try_from(records.len()).map_err(|_| Refused::Full)?;
        let room = self.shared.room.acquire_many(permits).await.map_err(|_| Refused::Ended)?;
        room.forget();
        Ok(self.put_batch(records))
    }

    fn store(&self, buffer: &Appender, rows: &Arc<Rows>) -> Result<Verdict, Refused> {
        let stored = buffer.append(Arc::clone(rows)).map_err(Refused::NotStored)?;
        Ok(Verdict::Stored(stored))
    }

    fn put_batch(&self, records: Vec<T>) -> Verdict {
        let (teller, verdict) = oneshot::channel();
        let count = records.len();
        if count == 0 {
            // Nothing waits for a verdict that nobody would give.
            teller.send(Failed::new()).ok();
            return Verdict::Processed(verdict);
        }
        let state = Mutex::new((Failed::new(), Some(teller)));
        let batch = Arc::new(Batch { open: AtomicUsize::new(count), state });
        self.put(records.into_iter().enumerate().map(|(index, tuple)| {
            let ticket = Ticket { batch: Some(Arc::clone(&batch)), index };
            Waiting { tuple, ticket: Some(ticket) }
        }));
        Verdict::Processed(verdict)
    }

    /// Hands records over, and waits until there is room for them or they are safe in the buffer.
    /// Nobody is told what becomes of them: they are emitted until they are processed. Not more at
    /// once than there can be room for.
    #[cfg(feature = "push")]
    pub(crate) async fn hand_over(&self, records: Vec<T>) -> Result<(), Refused> {
        if let Some(buffer) = &self.shared.buffer {
            let mut groups = vec![Rows::default()];
            for record in &records {
                if groups.last().is_none_or(|rows| rows.bytes() >= buffer.group_bytes()) {
                    groups.push(Rows::default());
                }
                if let Some(rows) = groups.last_mut() {
                    rows.push(|out| record.encode(out));
                }
            }
            drop(records);
            return store_all(buffer, groups).await.map_err(Refused::NotStored);
        }
        let permits = u32::try_from(records.len()).map_err(|_| Refused::Full)?;
        let room = self.shared.room.acquire_many(permits).await.map_err(|_| Refused::Ended)?;
        room.forget();
        self.put(records.into_iter().map(|tuple| Waiting { tuple, ticket: None }));
        Ok(())
    }

    /// Hands records over as [`hand_over`](Self::hand_over) does, if there is room for them now.
    #[cfg(feature = "push")]
    pub(crate) async fn try_hand_over(&self, records: Vec<T>) -> Result<(), Refused> {
        if let Some(buffer) = &self.shared.buffer {
            return store(buffer, rows(&records)).await.map_err(Refused::NotStored);
        }
        let permits = u32::try_from(records.len()).map_err(|_| Refused::Full)?;
        let room = self.shared.room.try_acquire_many(permits).map_err(|_| Refused::Full)?;
        room.forget();
        self.put(records.into_iter().map(|tuple| Waiting { tuple, ticket: None }));
        Ok(())
    }

    fn put(&self, records: impl Iterator<Item = Waiting<T>>) {
        let mut queue = self.shared.queue();
        if queue.ended {
            drop(queue);
            return records.for_each(drop);
        }
        queue.records.extend(records);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing will come any more.
    #[cfg(feature = "push")]
    pub(crate) fn finish(&self) {
        let mut queue = self.shared.queue();
        queue.finished = true;
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }
}

/// How long to wait before a full buffer is tried again.
const FULL_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Tuples as the buffer keeps them.
fn rows<T: Tuple>(records: &[T]) -> Arc<Rows> {
    let mut rows = Rows::default();
    records.iter().for_each(|record| rows.push(|out| record.encode(out)));
    Arc::new(rows)
}

#[cfg(feature = "push")]
async fn store(buffer: &Appender, rows: Arc<Rows>) -> Result<(), NotStored> {
    let stored = buffer.append(rows)?;
    stored.await.map_err(|_| NotStored::Closed)?
}

/// Stores one group after the other, and waits while the buffer is full or the disk does not work.
#[cfg(feature = "push")]
async fn store_all(buffer: &Appender, groups: Vec<Rows>) -> Result<(), NotStored> {
    for rows in groups {
        let rows = Arc::new(rows);
        while let Err(why) = store(buffer, Arc::clone(&rows)).await {
            if !matches!(why, NotStored::Full | NotStored::Disk(_)) {
                return Err(why);
            }
            tokio::time::sleep(FULL_PAUSE).await;
        }
    }
    Ok(())
}
