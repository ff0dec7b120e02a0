//! How other threads reach a loop: one queue, one wake.
//!
//! The queue itself has no bound because everything in it has one elsewhere: batches by the gauge or
//! credit of their mailbox, acks by the open trees, the rest by being rare.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Instant;

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
    /// All that this worker sent by routing tables before this version is here.
    Adopted(u32, u64),
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
    /// Somebody wanted it awake since it last went to sleep.
    poked: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Inbox {
    /// Sends a message.
    pub fn send(&self, message: Message) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        self.wake();
    }

    /// Wakes the loop if it sleeps, and keeps it from falling asleep before its next round.
    pub fn wake(&self) {
        // A loop that is busy has been poked before: a look is cheaper than a store.
        if !self.poked.load(Ordering::SeqCst) {
            self.poked.store(true, Ordering::SeqCst);
        }
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

    /// Since when the oldest batch waits that the loop has not looked at: for long only while it is
    /// in a call or gets no time.
    pub fn oldest(&self) -> Option<Instant> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().find_map(|message| match message {
            Message::Item { item: Item::Batch(batch), .. } => Some(batch.since),
            _ => None,
        })
    }

    /// Announces that the loop is about to sleep; false if something came in the meantime.
    ///
    /// The loop looked for work before this: a wake between that look and the announcement found
    /// it awake, and would be lost if it were not remembered.
    pub fn may_park(&self) -> bool {
        self.parked.store(true, Ordering::SeqCst);
        let poked = self.poked.swap(false, Ordering::SeqCst);
        if poked {
            self.parked.store(false, Ordering::SeqCst);
        }
        !poked
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_before_the_loop_sleeps_is_not_lost() {
        let inbox = Inbox::default();
        inbox.wake();
        assert!(!inbox.may_park(), "it was woken since it looked for work");
        assert!(inbox.may_park(), "nothing came since");
        inbox.awake();
        inbox.send(Message::Waiting(0));
        assert!(!inbox.may_park(), "a message wakes too");
    }
}
