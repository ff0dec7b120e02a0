//! Credits: how much may be under way to one task of another worker.
//!
//! The receiver opens a window per sending worker and target task and counts what the task's
//! executor took out of its mailbox. It grants *totals*: all that was taken since the two
//! incarnations met, and a window more. So a grant that is lost, repeated or overtaken does no
//! harm: the highest one counts. Tuples and bytes are counted apart, and the tighter one closes
//! the gate. Both ends start from the same [`WINDOW`], so the first grant needs no message.
//!
//! A grant is never taken back. A window that is to be smaller, because there are many or because
//! the worker holds too much (see [`window_among`]), grants less than was consumed until it is.
//!
//! `bytes` means the encoded rows of a batch at both ends, and nothing around them.
//!
//! Pure: no clock, no socket.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// What a peer may always have under way to a task, however little memory there is.
pub const RESERVE: Amount = Amount { tuples: 1024, bytes: 64 << 10 };

/// The size of each of so many windows, for a worker that may hold `limit` bytes: together a quarter
/// of that, and only the [`RESERVE`] while it holds too much.
///
/// ```
/// use worker::engine::flow::credit::{RESERVE, WINDOW, window_among};
///
/// assert_eq!(window_among(512 << 20, 100, false), WINDOW);
/// assert_eq!(window_among(512 << 20, 256, false).bytes, WINDOW.bytes / 2);
/// assert_eq!(window_among(512 << 20, 1, true), RESERVE);
/// ```
#[must_use]
pub fn window_among(limit: u64, windows: u64, is_tight: bool) -> Amount {
    if is_tight {
        return RESERVE;
    }
    let bytes = (limit / 4 / windows.max(1)).clamp(RESERVE.bytes, WINDOW.bytes);
    let tuples = WINDOW.tuples * bytes / WINDOW.bytes;
    Amount { tuples: tuples.max(RESERVE.tuples), bytes }
}

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
#[derive(Debug)]
pub struct Window {
    received: Amount,
    /// Invariant: never above `received`.
    consumed: Amount,
    /// The total that the sender was told.
    granted: Amount,
    /// What should be granted beyond what was consumed.
    size: Amount,
}

impl Default for Window {
    fn default() -> Self {
        let none = Amount::default();
        Self { received: none, consumed: none, granted: WINDOW, size: WINDOW }
    }
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
        let (to, size) = (self.to_grant(), self.size);
        to.tuples >= self.granted.tuples.saturating_add(size.tuples / WORTH)
            || to.bytes >= self.granted.bytes.saturating_add(size.bytes / WORTH)
    }

    fn to_grant(&self) -> Amount {
        Amount {
            tuples: self.consumed.tuples.saturating_add(self.size.tuples),
            bytes: self.consumed.bytes.saturating_add(self.size.bytes),
        }
    }

    /// Makes the window larger, or smaller once what was granted is consumed.
    pub fn resize(&mut self, size: Amount) {
        self.size = size;
    }

    /// Returns the total that the sender may reach, and counts it as said.
    pub fn announce(&mut self) -> Amount {
        let to = self.to_grant();
        self.granted.tuples = self.granted.tuples.max(to.tuples);
        self.granted.bytes = self.granted.bytes.max(to.bytes);
        self.granted
    }
}

/// The receiving end for all tasks and one peer: knows which grants are due.
#[derive(Debug)]
pub struct Windows {
    windows: HashMap<u32, Window>,
    size: Amount,
    /// Tasks whose grant is worth a message; may hold one twice.
    due: Vec<u32>,
}

impl Default for Windows {
    fn default() -> Self {
        Self { windows: HashMap::new(), size: WINDOW, due: Vec::new() }
    }
}

impl Windows {
    /// Counts a batch for `task` that came in.
    pub fn received(&mut self, task: u32, tuples: u64, bytes: u64) {
        if self.windows.len() < WINDOWS_MAX || self.windows.contains_key(&task) {
            let size = self.size;
            let new = || Window { size, ..Window::default() };
            self.windows.entry(task).or_insert_with(new).received(tuples, bytes);
        }
    }

    /// How many windows are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Tells whether no window is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Makes every window of this size, as [`Window::resize`] does.
    pub fn resize(&mut self, size: Amount) {
        if size == self.size {
            return;
        }
        self.size = size;
        for (task, window) in &mut self.windows {
            let was_due = window.due();
            window.resize(size);
            if window.due() && !was_due {
                self.due.push(*task);
            }
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
    connected: Arc<AtomicBool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// Opens with a grant of [`WINDOW`], on a link that is always connected.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Arc::new(AtomicBool::new(true)))
    }

    /// The same, on a link that is connected while `connected` says so.
    #[must_use]
    pub fn on(connected: Arc<AtomicBool>) -> Self {
        Self {
            connected,
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
    /// load signal of a shuffle. None without a connection: a tuple that another task could have
    /// would wait there until the peer is back, or is found to be dead.
    #[must_use]
    pub fn room(&self) -> u64 {
        if !self.connected.load(Ordering::Relaxed) {
            return 0;
        }
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
