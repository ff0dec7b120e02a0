//! How other threads reach a loop: one queue, one wake.
//!
//! The queue itself has no bound because everything in it has one elsewhere: batches by the gauge or
//! credit of their mailbox, acks by the open trees, the rest by being rare.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;

use crate::engine::acking::{AckBatch, FailReason};
use crate::executor::mailbox::Item;
use crate::executor::routes::Routes;
use crate::transport::Item as FrameItem;

/// What a loop is told to let its spouts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Emit.
    Active,
    /// Stop emitting; trees finish.
    Inactive,
    /// Stop emitting for good; trees finish, then components close.
    Draining,
}

/// What reaches a loop from other threads.
#[derive(Debug)]
pub enum Message {
    /// For the mailbox of one of its executors.
    Item {
        /// The executor's place in the loop.
        executor: usize,
        /// What it is.
        item: Item,
    },
    /// For the ledger of the spout executor with this index in the topology.
    Acks(u16, AckBatch),
    /// Who has which tasks from now on.
    Routes(Arc<Routes>),
    /// What the spouts may do.
    Desired(Desired),
    /// Items of frames that will not arrive: the trees in them fail.
    Lost(Vec<FrameItem>, FailReason),
    /// How long the oldest tuple in a mailbox of this worker waits, in nanoseconds.
    Waiting(u64),
    /// Close all components and end the loop.
    Stop,
}

/// The queue of one loop.
#[derive(Debug, Default)]
pub struct Inbox {
    messages: Mutex<Vec<Message>>,
    /// The loop sleeps, or is about to: whoever sends must wake it.
    parked: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Inbox {
    /// Sends a message.
    pub fn send(&self, message: Message) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        self.wake();
    }

    /// Wakes the loop if it sleeps.
    pub fn wake(&self) {
        if self.parked.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Says which thread runs the loop.
    pub fn attach(&self, thread: Thread) {
        drop(self.thread.set(thread));
    }

    /// Moves everything that waits to `out`.
    pub fn drain(&self, out: &mut Vec<Message>) {
        out.append(&mut self.messages.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Announces that the loop is about to sleep; false if something came in the meantime.
    pub fn may_park(&self) -> bool {
        self.parked.store(true, Ordering::SeqCst);
        let empty = self.messages.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if !empty {
            self.parked.store(false, Ordering::SeqCst);
        }
        empty
    }

    /// Tells whether the loop sleeps: it has nothing to do.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed)
    }

    /// Notes that the loop is awake.
    pub fn awake(&self) {
        self.parked.store(false, Ordering::SeqCst);
    }
}
