//! A spout that is fed from other threads: a bounded channel into a topology.
//!
//! One lock guards the queue. The spout takes a batch of tuples under one lock, so that it costs each
//! tuple a fraction of it; feeders take it once a tuple. A spout that found the queue empty leaves its
//! waker there, and is asked again as soon as there is something.

mod receipt;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

pub use self::receipt::{Outcome, Receipt};

use self::receipt::Sender;
use crate::{FailReason, Next, Spout, SpoutOutput, SpoutResult, Tuple};

/// Most tuples that the spout takes under one lock.
const AT_ONCE: usize = 256;

/// Makes a channel into a topology: what a [`Feeder`] sends, the spout emits. At most `capacity`
/// tuples wait in it.
///
/// A spout that reads from a thread of its own makes the channel in its factory:
///
/// ```
/// use topology_api::{channel, prelude::*};
///
/// let mut t = TopologyBuilder::new("typed");
/// let typed = t.spout("typed", |_| {
///     let (feeder, spout) = channel(1_000);
///     std::thread::spawn(move || {
///         for line in std::io::stdin().lines().map_while(Result::ok) {
///             if feeder.send(Line { text: line.into() }).is_err() {
///                 break; // the topology has ended
///             }
///         }
///     });
///     spout
/// });
/// # drop(typed);
/// assert!(t.build().is_ok());
/// ```
///
/// A program that runs a topology inside itself makes it outside. Clones of the spout share the
/// queue, one for each task:
///
/// ```
/// use topology_api::{channel, prelude::*};
/// use topology_api::testing::SpoutDriver;
///
/// let (feeder, spout) = channel(1_000);
/// let mut typed = SpoutDriver::new(move |_| spout.clone()).unwrap();
/// feeder.send(Line { text: "hello".into() }).unwrap();
/// assert_eq!(typed.run().unwrap(), [Line { text: "hello".into() }]);
/// drop(feeder);
/// assert_eq!(typed.call_next().unwrap().0, Next::Finished);
/// ```
pub fn channel<T: Tuple>(capacity: usize) -> (Feeder<T>, ChannelSpout<T>) {
    let queue = Arc::new(Queue {
        waiting: Mutex::new(Waiting {
            tuples: VecDeque::new(),
            feeders: 1,
            spouts: 1,
            idle: Vec::new(),
        }),
        room: Condvar::new(),
        capacity: capacity.max(1),
    });
    let spout =
        ChannelSpout { queue: Arc::clone(&queue), taken: VecDeque::new(), again: VecDeque::new() };
    (Feeder { queue }, spout)
}

/// A tuple on its way, and who waits to hear of it.
#[derive(Debug)]
pub struct Fed<T> {
    tuple: T,
    /// Boxed: most tuples have none.
    receipt: Option<Box<Sender>>,
}

#[derive(Debug)]
struct Waiting<T> {
    tuples: VecDeque<Fed<T>>,
    feeders: usize,
    spouts: usize,
    /// Spouts that found nothing.
    idle: Vec<Waker>,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    /// There is room again, or there will never be.
    room: Condvar,
    capacity: usize,
}

impl<T> Queue<T> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a tuple in, if there is room; waits for it if `patient`.
    fn put(&self, fed: Fed<T>, patient: bool) -> Result<(), NotSent<Fed<T>>> {
        let mut waiting = self.waiting();
        loop {
            if waiting.spouts == 0 {
                return Err(NotSent::Ended(fed));
            }
            if waiting.tuples.len() < self.capacity {
                waiting.tuples.push_back(fed);
                let idle = waiting.idle.pop();
                drop(waiting);
                idle.iter().for_each(Waker::wake_by_ref);
                return Ok(());
            }
            if !patient {
                return Err(NotSent::Full(fed));
            }
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Why a tuple was not sent, with the tuple.
///
/// ```
/// use topology_api::{Line, NotSent, channel};
///
/// let (feeder, spout) = channel(1);
/// let line = Line { text: "one".into() };
/// feeder.try_send(line.clone()).unwrap();
/// assert_eq!(feeder.try_send(line.clone()), Err(NotSent::Full(line.clone())));
/// drop(spout);
/// assert_eq!(feeder.send(line.clone()), Err(NotSent::Ended(line)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent<T> {
    /// The channel is full: wait, or give it up.
    #[error("the channel is full: the topology is behind")]
    Full(T),
    /// The spout is gone: the topology has ended.
    #[error("the channel's spout is gone: the topology has ended")]
    Ended(T),
}

impl<T> NotSent<Fed<T>> {
    fn given_back(self) -> NotSent<T> {
        match self {
            Self::Full(fed) => NotSent::Full(fed.tuple),
            Self::Ended(fed) => NotSent::Ended(fed.tuple),
        }
    }
}

/// Sends tuples into a topology, from any thread; [`channel`] makes it.
///
/// When the last clone of it is dropped and all that was sent was processed, the spout is finished.
///
/// ```
/// use topology_api::{Line, Outcome, channel};
/// use topology_api::testing::SpoutDriver;
///
/// let (feeder, spout) = channel(10);
/// let mut spout = SpoutDriver::new(move |_| spout.clone()).unwrap();
/// let receipt = feeder.send_with_receipt(Line { text: "one".into() }).unwrap();
/// spout.run().unwrap();
/// assert_eq!(receipt.outcome(), None, "under way");
/// spout.ack(0);
/// assert_eq!(receipt.wait(), Outcome::Acked);
/// ```
pub struct Feeder<T> {
    queue: Arc<Queue<T>>,
}

impl<T: Tuple> Feeder<T> {
    /// Sends a tuple, and waits while the channel is full. It is emitted again when it fails.
    ///
    /// Blocks the thread: not for use inside a component, whose worker would wait.
    ///
    /// # Errors
    ///
    /// [`NotSent::Ended`] if the spout is gone.
    pub fn send(&self, tuple: T) -> Result<(), NotSent<T>> {
        self.queue.put(Fed { tuple, receipt: None }, true).map_err(NotSent::given_back)
    }

    /// Sends a tuple if there is room for it. It is emitted again when it fails.
    ///
    /// # Errors
    ///
    /// [`NotSent`], with the tuple.
    pub fn try_send(&self, tuple: T) -> Result<(), NotSent<T>> {
        self.queue.put(Fed { tuple, receipt: None }, false).map_err(NotSent::given_back)
    }

    /// Sends a tuple as [`Feeder::send`] does; the receipt tells what becomes of it. If it fails it
    /// is *not* emitted again: who waits for the receipt decides what to do.
    ///
    /// # Errors
    ///
    /// [`NotSent::Ended`] if the spout is gone.
    pub fn send_with_receipt(&self, tuple: T) -> Result<Receipt, NotSent<T>> {
        self.with_receipt(tuple, true)
    }

    /// Sends a tuple as [`Feeder::send_with_receipt`] does, if there is room for it.
    ///
    /// # Errors
    ///
    /// [`NotSent`], with the tuple.
    pub fn try_send_with_receipt(&self, tuple: T) -> Result<Receipt, NotSent<T>> {
        self.with_receipt(tuple, false)
    }

    fn with_receipt(&self, tuple: T, patient: bool) -> Result<Receipt, NotSent<T>> {
        let (sender, receipt) = receipt::new();
        let fed = Fed { tuple, receipt: Some(Box::new(sender)) };
        self.queue.put(fed, patient).map_err(NotSent::given_back)?;
        Ok(receipt)
    }
}

impl<T> Clone for Feeder<T> {
    fn clone(&self) -> Self {
        self.queue.waiting().feeders += 1;
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<T> Drop for Feeder<T> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting();
        waiting.feeders -= 1;
        if waiting.feeders == 0 {
            let idle = std::mem::take(&mut waiting.idle);
            drop(waiting);
            idle.into_iter().for_each(Waker::wake);
        }
    }
}

impl<T> fmt::Debug for Feeder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a feeder of a channel's spout")
    }
}

/// Emits what its [`Feeder`]s send; [`channel`] makes it. Its clones share the queue.
///
/// ```
/// use topology_api::{ChannelSpout, Line, channel, prelude::*};
///
/// fn lines(spout: ChannelSpout<Line>) -> TopologyBuilder {
///     let mut t = TopologyBuilder::new("lines");
///     t.spout("lines", move |_| spout.clone()).parallelism(2);
///     t
/// }
/// let (feeder, spout) = channel(100);
/// # drop(feeder);
/// assert!(lines(spout).build().is_ok());
/// ```
pub struct ChannelSpout<T> {
    queue: Arc<Queue<T>>,
    /// Taken off the queue and not yet emitted.
    taken: VecDeque<Fed<T>>,
    again: VecDeque<Fed<T>>,
}

impl<T> Clone for ChannelSpout<T> {
    fn clone(&self) -> Self {
        self.queue.waiting().spouts += 1;
        let (taken, again) = (VecDeque::new(), VecDeque::new());
        Self { queue: Arc::clone(&self.queue), taken, again }
    }
}

impl<T> Drop for ChannelSpout<T> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting();
        waiting.spouts -= 1;
        if waiting.spouts == 0 {
            // Nobody will emit them; whoever waits for a receipt is told as they are dropped.
            let tuples = std::mem::take(&mut waiting.tuples);
            drop(waiting);
            drop(tuples);
            self.queue.room.notify_all();
        }
    }
}

impl<T> fmt::Debug for ChannelSpout<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a spout that is fed through a channel")
    }
}

impl<T: Tuple> Spout for ChannelSpout<T> {
    type Output = T;
    type Id = Fed<T>;

    fn next(&mut self, out: &mut SpoutOutput<T, Fed<T>>) -> SpoutResult {
        if self.again.is_empty() && self.taken.is_empty() {
            let mut waiting = self.queue.waiting();
            if waiting.tuples.is_empty() {
                if waiting.feeders == 0 {
                    return Ok(Next::Finished);
                }
                let waker = out.context().waker();
                if !waiting.idle.iter().any(|other| other.will_wake(&waker)) {
                    waiting.idle.push(waker);
                }
                return Ok(Next::Idle);
            }
            let count = waiting.tuples.len().min(AT_ONCE);
            self.taken.extend(waiting.tuples.drain(..count));
            drop(waiting);
            self.queue.room.notify_all();
        }
        if let Some(fed) = self.again.pop_front().or_else(|| self.taken.pop_front()) {
            let tuple = fed.tuple.clone();
            out.emit(fed, tuple);
        }
        Ok(Next::Emitted)
    }

    fn ack(&mut self, fed: Fed<T>) {
        if let Some(receipt) = fed.receipt {
            receipt.tell(Outcome::Acked);
        }
    }

    fn fail(&mut self, fed: Fed<T>, reason: FailReason) {
        match fed.receipt {
            Some(receipt) => receipt.tell(Outcome::Failed(reason.name())),
            None => self.again.push_back(fed),
        }
    }
}
