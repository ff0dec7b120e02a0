//! Credits: how much may be under way to one task of another worker.
//!
//! The receiver opens a window per sending worker and target task and counts what the task's
//! executor took out of its mailbox. It grants *totals*: all that was taken since the two
//! incarnations met, and a window more. So a grant that is lost, repeated or overtaken does no
//! harm: the highest one counts. Tuples and bytes are counted apart, and the tighter one closes
//! the gate. Both ends start from the same [`WINDOW`], so the first grant needs no message.
//!
//! `bytes` means the encoded rows of a batch at both ends, and nothing around them.
//!
//! Pure: no clock, no socket.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::routing::ROOM_FULL;

/// Tuples and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many tuples.
    pub tuples: u64,
    /// How many bytes their rows have.
    pub bytes: u64,
}

/// What may be under way from one worker to one task of another.
///
/// 16 384 tuples are what a sender emits in the half millisecond that a grant takes to come back
/// when all cores are busy; 1 MiB is what a 10 Gbit/s network carries in a millisecond. A sender may pass it by
/// one batch.
pub const WINDOW: Amount = Amount { tuples: 16384, bytes: 1 << 20 };

/// A grant is worth a message when it is this part of the window larger than the last one said.
const WORTH: u64 = 4;

/// Most tasks of ours that one peer can have windows for: a bound for what a broken peer costs.
const WINDOWS_MAX: usize = 1 << 16;

/// The receiving end for one task and one peer.
///
/// ```
/// use worker::engine::flow::{WINDOW, Window};
///
/// let mut window = Window::new();
/// window.received(10_000, 40_000);
/// assert!(!window.consumed(100, 400), "a small part is not worth a message");
/// assert!(window.consumed(9_900, 39_600));
/// assert_eq!(window.announce().tuples, WINDOW.tuples + 10_000);
/// ```
#[derive(Debug, Default)]
pub struct Window {
    received: Amount,
    /// Invariant: never above `received`.
    consumed: Amount,
    /// What was consumed when the last grant was said.
    announced: Amount,
}

impl Window {
    /// Opens a window of [`WINDOW`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a batch that came in.
    pub fn received(&mut self, tuples: u64, bytes: u64) {
        self.received.tuples = self.received.tuples.saturating_add(tuples);
        self.received.bytes = self.received.bytes.saturating_add(bytes);
    }

    /// Counts a batch that the executor took, and tells whether a grant is worth a message.
    ///
    /// What passes the received is cut: a batch of the peer's last incarnation, taken after the
    /// new one came, must not widen the window for good.
    pub fn consumed(&mut self, tuples: u64, bytes: u64) -> bool {
        let (now, most) = (&mut self.consumed, self.received);
        now.tuples = now.tuples.saturating_add(tuples).min(most.tuples);
        now.bytes = now.bytes.saturating_add(bytes).min(most.bytes);
        self.due()
    }

    fn due(&self) -> bool {
        self.consumed.tuples - self.announced.tuples >= WINDOW.tuples / WORTH
            || self.consumed.bytes - self.announced.bytes >= WINDOW.bytes / WORTH
    }

    /// Returns the total that the sender may reach, and counts it as said.
    pub fn announce(&mut self) -> Amount {
        self.announced = self.consumed;
        Amount {
            tuples: self.consumed.tuples.saturating_add(WINDOW.tuples),
            bytes: self.consumed.bytes.saturating_add(WINDOW.bytes),
        }
    }
}

/// The receiving end for all tasks and one peer: knows which grants are due.
#[derive(Debug, Default)]
pub struct Windows {
    windows: HashMap<u32, Window>,
    /// Tasks whose grant is worth a message; may hold one twice.
    due: Vec<u32>,
}

impl Windows {
    /// Counts a batch for `task` that came in.
    pub fn received(&mut self, task: u32, tuples: u64, bytes: u64) {
        if self.windows.len() < WINDOWS_MAX || self.windows.contains_key(&task) {
            self.windows.entry(task).or_default().received(tuples, bytes);
        }
    }

    /// Counts a batch that `task`'s executor took, and tells whether some grant became due by it.
    pub fn consumed(&mut self, task: u32, tuples: u64, bytes: u64) -> bool {
        let Some(window) = self.windows.get_mut(&task) else { return false };
        let was_due = window.due();
        let became_due = window.consumed(tuples, bytes) && !was_due;
        if became_due {
            self.due.push(task);
        }
        became_due
    }

    /// Starts all windows over: the peer gave up what it had under way.
    pub fn reset(&mut self) {
        self.windows.clear();
        self.due.clear();
    }

    /// Tells whether [`Windows::announce_due`] has something to say.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Returns the grants that are worth a message.
    pub fn announce_due(&mut self) -> Vec<(u32, Amount)> {
        let due = std::mem::take(&mut self.due);
        due.into_iter()
            .filter_map(|task| self.windows.get_mut(&task).map(|w| (task, w.announce())))
            .collect()
    }

    /// Returns every grant, for a sender that may have missed some.
    pub fn announce_all(&mut self) -> Vec<(u32, Amount)> {
        self.due.clear();
        self.windows.iter_mut().map(|(task, window)| (*task, window.announce())).collect()
    }
}

/// The sending end for one task of a peer: shared by the executors that send to it and the
/// connection that brings the grants.
///
/// A sender looks before a batch and may pass the grant by that one batch. Sequentially
/// consistent, so that of a sender that just closed the gate and a grant that just opened it at
/// least one sees the other, and no sender sleeps through the grant.
///
/// ```
/// use worker::engine::flow::Gate;
///
/// let gate = Gate::new();
/// assert!(gate.may_send());
/// gate.took(20_000, 40_000);
/// assert!(!gate.may_send());
/// assert!(gate.granted(26_384, 1 << 20), "this grant opened it");
/// assert!(gate.may_send());
/// ```
#[derive(Debug)]
pub struct Gate {
    used_tuples: AtomicU64,
    used_bytes: AtomicU64,
    granted_tuples: AtomicU64,
    granted_bytes: AtomicU64,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// Opens with a grant of [`WINDOW`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            used_tuples: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
            granted_tuples: AtomicU64::new(WINDOW.tuples),
            granted_bytes: AtomicU64::new(WINDOW.bytes),
        }
    }

    /// Tells whether a batch may be sent.
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.used_tuples.load(Ordering::SeqCst) < self.granted_tuples.load(Ordering::SeqCst)
            && self.used_bytes.load(Ordering::SeqCst) < self.granted_bytes.load(Ordering::SeqCst)
    }

    /// How much of a window may be sent now, by tuples or by bytes, in parts of [`ROOM_FULL`]; the
    /// load signal of a shuffle.
    #[must_use]
    pub fn room(&self) -> u64 {
        let bytes = self.granted_bytes.load(Ordering::Relaxed);
        let bytes = bytes.saturating_sub(self.used_bytes.load(Ordering::Relaxed));
        let part = |left: u64, window: u64| left.min(window) * ROOM_FULL / window;
        part(self.left(), WINDOW.tuples).min(part(bytes, WINDOW.bytes))
    }

    /// How many tuples may be sent now.
    #[must_use]
    pub fn left(&self) -> u64 {
        let used = self.used_tuples.load(Ordering::Relaxed);
        self.granted_tuples.load(Ordering::Relaxed).saturating_sub(used)
    }

    /// Counts a batch that was put in a frame.
    pub fn took(&self, tuples: u64, bytes: u64) {
        self.used_tuples.fetch_add(tuples, Ordering::SeqCst);
        self.used_bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Starts over with nothing used and a grant of [`WINDOW`], as the other end does.
    pub fn reset(&self) {
        self.granted_tuples.store(WINDOW.tuples, Ordering::SeqCst);
        self.granted_bytes.store(WINDOW.bytes, Ordering::SeqCst);
        self.used_tuples.store(0, Ordering::SeqCst);
        self.used_bytes.store(0, Ordering::SeqCst);
    }

    /// Raises the totals that may be sent, and tells whether that opened the gate.
    pub fn granted(&self, tuples: u64, bytes: u64) -> bool {
        let before = Amount {
            tuples: self.granted_tuples.fetch_max(tuples, Ordering::SeqCst),
            bytes: self.granted_bytes.fetch_max(bytes, Ordering::SeqCst),
        };
        let used = Amount {
            tuples: self.used_tuples.load(Ordering::SeqCst),
            bytes: self.used_bytes.load(Ordering::SeqCst),
        };
        let was_closed = used.tuples >= before.tuples || used.bytes >= before.bytes;
        let is_open =
            used.tuples < before.tuples.max(tuples) && used.bytes < before.bytes.max(bytes);
        was_closed && is_open
    }

    /// Opens it for good: the peer is gone, and what is sent to it is lost at once.
    pub fn release(&self) -> bool {
        self.granted(u64::MAX, u64::MAX)
    }
}
