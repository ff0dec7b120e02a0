//! The memory budget of a worker: what its runtime holds, and what follows when that is much.
//!
//! Everything that waits is charged where it begins to wait and discharged where it is taken:
//! batches in outboxes and mailboxes, received batches, frames that are not acknowledged, and open
//! trees. Charging must not make loops wait for each other, so each loop has a figure of its own,
//! which it alone writes, once a round; the budget is their sum. One loop may charge what another
//! discharges, so a figure alone means nothing and may run below zero.
//!
//! Two things keep the sum below the limit. [`Shares`] divides three quarters of it among the
//! queues there are, so that no queue, however long it stands still, takes the room of another.
//! What does not keep to shares (tuples larger than a share, many queues, trees) is for
//! [`Budget::is_tight`]: from three quarters on spouts are not asked and peers are granted little,
//! until half is free. Bolts go on, so what is there can drain, and nothing is dropped.
//!
//! Pure: no clock, no socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// About what a waiting tuple takes beside its fields: its place in a tree, and in lists.
pub const TUPLE_BYTES: u64 = 32;

/// About what an open tree takes: its entry in the ledger and its message id.
pub const TREE_BYTES: u64 = 64;

/// What batches in a queue are charged with: their fields, and what stands beside them.
#[must_use]
pub fn charge(tuples: u64, bytes: u64) -> u64 {
    bytes.saturating_add(tuples.saturating_mul(TUPLE_BYTES))
}

/// A figure on a cache line of its own, so that the loops do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part(AtomicU64);

/// What the runtime of one worker holds, and may hold.
///
/// ```
/// use std::sync::Arc;
/// use worker::engine::flow::{Account, Budget};
///
/// let budget = Arc::new(Budget::new(1000, 2));
/// let (mut one, mut other) = (Account::new(&budget, 0), Account::new(&budget, 1));
/// one.charge(800); // a batch is put into a mailbox of the other loop
/// one.publish();
/// assert_eq!((budget.used(), budget.is_tight()), (800, true));
/// other.discharge(300); // and taken there
/// other.publish();
/// assert_eq!((budget.used(), budget.is_tight()), (500, true), "until half is free");
/// other.discharge(1);
/// other.publish();
/// assert!(!budget.is_tight());
/// ```
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    /// One a loop, and the last for all other threads; they count modulo 2⁶⁴.
    parts: Box<[Part]>,
    tight: AtomicBool,
}

impl Budget {
    /// A budget of `limit` bytes for so many loops.
    #[must_use]
    pub fn new(limit: u64, loops: usize) -> Self {
        let parts = (0..=loops).map(|_| Part::default()).collect();
        Self { limit, parts, tight: AtomicBool::new(false) }
    }

    /// A budget that nothing reaches.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(u64::MAX, 0)
    }

    /// What may be held, in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// What is held, in bytes; a round behind.
    #[must_use]
    pub fn used(&self) -> u64 {
        let parts = self.parts.iter().map(|part| part.0.load(Ordering::Relaxed));
        let sum = parts.fold(0_u64, u64::wrapping_add);
        // A discharge may be seen before its charge.
        u64::try_from(sum.cast_signed()).unwrap_or(0)
    }

    /// Tells whether so much is held that no more should be asked for: from three quarters of the
    /// limit on, until less than half is held.
    pub fn is_tight(&self) -> bool {
        let (used, was) = (self.used(), self.tight.load(Ordering::Relaxed));
        let is = if was { used >= self.limit / 2 } else { used >= self.limit / 4 * 3 };
        if is != was {
            self.tight.store(is, Ordering::Relaxed);
        }
        is
    }

    /// What [`Budget::is_tight`] told last.
    #[must_use]
    pub fn was_tight(&self) -> bool {
        self.tight.load(Ordering::Relaxed)
    }

    /// Replaces a charge of `before` by one of `after`, from a thread that is no loop.
    pub fn change(&self, before: u64, after: u64) {
        if before != after {
            let by = after.wrapping_sub(before);
            self.parts[self.parts.len() - 1].0.fetch_add(by, Ordering::Relaxed);
        }
    }
}

/// What one loop has charged and discharged.
#[derive(Debug)]
pub struct Account {
    budget: Arc<Budget>,
    at: usize,
    sum: u64,
}

impl Account {
    /// The account of the loop with this number; each must have one only.
    ///
    /// # Panics
    ///
    /// If the budget was made for fewer loops.
    #[must_use]
    pub fn new(budget: &Arc<Budget>, at: usize) -> Self {
        assert!(at + 1 < budget.parts.len(), "a budget is made for all loops of its worker");
        Self { budget: Arc::clone(budget), at, sum: 0 }
    }

    /// Counts what begins to wait.
    #[inline]
    pub fn charge(&mut self, bytes: u64) {
        self.sum = self.sum.wrapping_add(bytes);
    }

    /// Counts what was taken, wherever it was charged.
    #[inline]
    pub fn discharge(&mut self, bytes: u64) {
        self.sum = self.sum.wrapping_sub(bytes);
    }

    /// Replaces a charge of `before` by one of `after`.
    #[inline]
    pub fn change(&mut self, before: u64, after: u64) {
        self.sum = self.sum.wrapping_add(after.wrapping_sub(before));
    }

    /// Shows the others what was counted.
    pub fn publish(&self) {
        self.budget.parts[self.at].0.store(self.sum, Ordering::Relaxed);
    }
}

/// Most bytes that wait in one mailbox before its senders hold back.
pub const MAILBOX_BYTES: u64 = 1 << 20;

/// Most bytes that one target may leave in one outbox before its executor takes no more input.
pub const OUTBOX_BYTES: u64 = 128 << 10;

/// What the queues of one worker may hold each, in bytes.
///
/// A queue may pass its share by one batch.
///
/// ```
/// use worker::engine::flow::Shares;
///
/// let shares = Shares::of(512 << 20, 16, 64);
/// assert_eq!((shares.mailbox, shares.outbox), (1 << 20, 128 << 10), "enough for few queues");
/// let shares = Shares::of(64 << 20, 64, 4096);
/// assert_eq!((shares.mailbox, shares.outbox), (256 << 10, 4 << 10), "divided among many");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// In the mailbox of an executor.
    pub mailbox: u64,
    /// In the outbox of an executor, for one target.
    pub outbox: u64,
}

impl Default for Shares {
    fn default() -> Self {
        Self { mailbox: MAILBOX_BYTES, outbox: OUTBOX_BYTES }
    }
}

impl Shares {
    /// Least share of a queue; with so many queues that it is too much, the budget gets tight.
    const LEAST: u64 = 4 << 10;

    /// Divides a budget: a quarter among the mailboxes, and a quarter among the targets of all
    /// outboxes.
    #[must_use]
    pub fn of(limit: u64, mailboxes: u64, targets: u64) -> Self {
        let share = |among: u64, most: u64| (limit / 4 / among.max(1)).clamp(Self::LEAST, most);
        Self { mailbox: share(mailboxes, MAILBOX_BYTES), outbox: share(targets, OUTBOX_BYTES) }
    }
}
