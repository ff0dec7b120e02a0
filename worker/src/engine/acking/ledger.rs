//! The ledger of a spout's executor: which of the tuple trees it opened have not ended.
//!
//! A slab of entries, one for each root that is open or whose verdict waits for the spout. The root
//! id holds the slot, so a contribution is an index, a comparison and an XOR. Nothing is allocated
//! after `new` but when many roots fail at once.
//!
//! **An entry's life.** `open` takes the slot that has been free for longest and gives it its next
//! generation. Contributions are folded in, in any order. `seal` brings the spout's own
//! contribution; only from then on does a checksum of zero mean "complete", so an ack may overtake
//! the emit. When the tree ends, its verdict is queued; `verdicts` hands it out, and then the slot
//! is free. So a root gets exactly one verdict, and what still arrives for it is counted as late.
//!
//! **Generations.** A contribution may come long after its root has ended, so a slot must not get
//! the same generation again within the life of anything that is under way, which is the hard
//! limit of ten timeouts. [`FREE_MIN`] slots stay free whatever happens. So between two roots of
//! one slot lie at least that many others, and a generation comes round after 4 096 × (2²⁴ - 1)
//! roots: 57 minutes at 20 million a second. Without them, a ledger full of stuck roots but for
//! one slot would come round within a second.
//!
//! **Time.** All roots of a ledger have the same timeout, so nothing can be due before the oldest
//! is. The ledger keeps a time that no open root is older than, and looks at its entries only when
//! that is due; this tells it the next such time. While trees end as they should, that is one look
//! a timeout, where a list in the order of opening would cost every root two updates.

mod roots;

use std::collections::HashMap;

use super::ids::{GENERATION_MAX, RootId, SLOT_BITS, generation_of, prefix_of, slot_of};
use super::ring::Ring;
use super::{AckBatch, FailReason};

/// Slots that stay free so that generations come round slowly.
pub const FREE_MIN: u32 = 4_096;

/// The most roots one executor can have open.
pub const PENDING_MAX: u32 = (1 << SLOT_BITS) - FREE_MIN;

/// After this many timeouts a root fails, whatever anyone says.
pub const HARD_LIMIT: u64 = 10;

/// How a tuple tree ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Every tuple of it was processed.
    Acked,
    /// It will never complete, or nobody can know.
    Failed(FailReason),
}

/// What the spout is told about one of its roots, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The root's slot: where its message id is kept. Free from now on.
    pub slot: u32,
    /// The task that emitted it, as `open` was told.
    pub task: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// When it was opened.
    pub opened_ns: u64,
}

/// One slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// XOR of the edges seen so far.
    checksum: u64,
    opened_ns: u64,
    task: u32,
    /// Generation in the upper 24 bits, state in the lower 8.
    tag: u32,
}

/// States of an entry; one that has failed has `FAILED` plus the code of the reason.
const FREE: u8 = 0;
/// The spout's own contribution is not in yet.
const OPEN: u8 = 1;
/// All is in but what the bolts contribute.
const SEALED: u8 = 2;
const ACKED: u8 = 3;
const FAILED: u8 = 16;

impl Entry {
    #[inline]
    fn state(&self) -> u8 {
        self.tag as u8
    }

    #[inline]
    fn set_state(&mut self, state: u8) {
        self.tag = self.tag & !0xff | u32::from(state);
    }

    #[inline]
    fn generation(&self) -> u32 {
        self.tag >> 8
    }

    #[inline]
    fn is_alive(&self) -> bool {
        matches!(self.state(), OPEN | SEALED)
    }
}

/// The tuple trees that one incarnation of a spout's executor opened and that have not ended.
///
/// ```
/// use worker::engine::acking::{Ledger, NO_STAMP, Outcome};
///
/// let mut ledger = Ledger::new(0, 0, 100);
/// let root = ledger.open(3, 0).expect("there is room");
/// ledger.fold(root.bits(), 0b01, NO_STAMP); // The ack overtakes the emit.
/// assert_eq!(ledger.verdicts(), None);
/// ledger.seal(root, 0b01);
/// let verdict = ledger.verdicts().expect("it is complete");
/// assert_eq!((verdict.task, verdict.outcome), (3, Outcome::Acked));
/// ```
#[derive(Debug)]
pub struct Ledger {
    /// By slot.
    entries: Box<[Entry]>,
    ring: Ring,
    /// What every root of this ledger begins with.
    prefix: u64,
    /// Contributions stamped below this may come from a tree that lost a tuple.
    stamp_min: u64,
    /// The latest time seen.
    newest_ns: u64,
    /// No open root was opened before this.
    oldest_ns: u64,
    /// By slot: when the timeout of its root started again, for the few that do.
    restarted: HashMap<u32, u64>,
    late: u64,
}

impl Ledger {
    /// An empty ledger for at most `max_pending` roots: those that are open and those whose verdict
    /// the spout has not taken yet.
    /// `max_pending` is held between 1 and [`PENDING_MAX`].
    #[must_use]
    pub fn new(executor: u16, incarnation: u8, max_pending: u32) -> Self {
        Self::with_generation(executor, incarnation, max_pending, 1)
    }

    /// As [`new`](Self::new), with the generation that each slot gives out first, so that a test
    /// need not open 2²⁴ roots to see one come round.
    #[must_use]
    pub fn with_generation(
        executor: u16,
        incarnation: u8,
        max_pending: u32,
        generation: u32,
    ) -> Self {
        let first = RootId::new(executor, incarnation, 0, generation);
        let tag = (first.generation() - 1) << 8 | u32::from(FREE);
        let entry = Entry { checksum: 0, opened_ns: 0, task: 0, tag };
        let slots = max_pending.clamp(1, PENDING_MAX) + FREE_MIN;
        Self {
            entries: vec![entry; slots as usize].into(),
            ring: Ring::new(slots),
            prefix: prefix_of(first.bits()),
            stamp_min: 0,
            newest_ns: 0,
            oldest_ns: 0,
            restarted: HashMap::new(),
            late: 0,
        }
    }

    /// Number of roots without a verdict.
    #[inline]
    #[must_use]
    pub fn open_count(&self) -> u32 {
        self.slot_count() - self.ring.free() - self.ring.ended()
    }

    /// Number of roots without a verdict and of verdicts that were not taken.
    #[inline]
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.slot_count() - self.ring.free()
    }

    /// Number of roots that may still be opened before a verdict is taken.
    #[inline]
    #[must_use]
    pub fn room(&self) -> u32 {
        self.ring.free() - FREE_MIN
    }

    /// Whether another root may be opened.
    #[inline]
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// One more than the highest slot there can be: the size of a table of message ids.
    #[inline]
    #[must_use]
    pub fn slot_count(&self) -> u32 {
        self.entries.len() as u32
    }

    /// What arrived for roots that are not open: ended ones, those of another incarnation, and
    /// those of another executor.
    #[inline]
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Opens a root for a tuple of `task`; `None` if there is no room.
    ///
    /// It may fail from now on, so the message id must be put in its slot before anything else is
    /// done; it cannot complete before [`seal`](Self::seal). A `now_ns` that went back is taken
    /// for the latest one seen.
    #[inline]
    pub fn open(&mut self, task: u32, now_ns: u64) -> Option<RootId> {
        if !self.has_room() {
            return None;
        }
        self.newest_ns = self.newest_ns.max(now_ns);
        if self.open_count() == 0 {
            self.oldest_ns = self.newest_ns;
        }
        let slot = self.ring.open();
        let entry = &mut self.entries[slot as usize];
        debug_assert!(entry.state() == FREE, "slot {slot} is in use");
        let generation = match entry.generation() {
            GENERATION_MAX => 1,
            generation => generation + 1,
        };
        *entry = Entry {
            checksum: 0,
            opened_ns: self.newest_ns,
            task,
            tag: generation << 8 | u32::from(OPEN),
        };
        Some(RootId::from_prefix(self.prefix, slot, generation))
    }

    /// Brings the spout's own contribution: the XOR of the ids of all copies it emitted.
    ///
    /// 0 if there were none, which completes the tree unless contributions are in that say
    /// otherwise. The copies must have been emitted under the table version that was adopted last;
    /// a spout on a thread of its own, which may be behind, first folds its stamp with edges of 0.
    #[inline]
    pub fn seal(&mut self, root: RootId, edges: u64) {
        let Some((slot, entry)) = self.alive(root.bits()) else {
            // It failed while it was being emitted.
            return;
        };
        debug_assert!(entry.state() == OPEN, "{root} is sealed twice");
        entry.checksum ^= edges;
        if entry.checksum == 0 {
            entry.set_state(ACKED);
            self.ring.end(slot);
        } else {
            entry.set_state(SEALED);
        }
    }

    /// Adds a contribution to the checksum of its root.
    ///
    /// `stamp` is the lowest table version under which children of this contribution (or of those
    /// that came with it) were emitted, [`NO_STAMP`](super::NO_STAMP) if there are none.
    #[inline]
    pub fn fold(&mut self, root: u64, edges: u64, stamp: u64) {
        let stamp_min = self.stamp_min;
        let Some((slot, entry)) = self.alive(root) else {
            self.late += 1;
            return;
        };
        entry.checksum ^= edges;
        if stamp < stamp_min {
            // A child may have gone to a worker that has died since.
            entry.set_state(FAILED + FailReason::WorkerLost.code());
            self.ring.end(slot);
        } else if entry.checksum == 0 && entry.state() == SEALED {
            entry.set_state(ACKED);
            self.ring.end(slot);
        }
    }

    /// Fails a root, unless it has ended.
    #[inline]
    pub fn fail(&mut self, root: u64, reason: FailReason) {
        match self.alive(root) {
            Some((slot, entry)) => {
                entry.set_state(FAILED + reason.code());
                self.ring.end(slot);
            }
            None => self.late += 1,
        }
    }

    /// Starts the timeout of a root again. The hard limit stays.
    pub fn reset_timeout(&mut self, root: u64, now_ns: u64) {
        let Some((slot, _)) = self.alive(root) else { return self.late += 1 };
        self.restarted.insert(slot, now_ns);
    }

    /// Folds and fails all that a batch says; its `resets` need the time and are not looked at.
    pub fn apply(&mut self, batch: &AckBatch) {
        for contribution in &batch.contributions {
            self.fold(contribution.root, contribution.id, batch.stamp);
        }
        for failure in &batch.failures {
            self.fail(failure.root, failure.reason);
        }
    }

    /// Goes over to another routing table.
    ///
    /// `retired_at` is the latest version, of those after the table before and up to this one,
    /// that retired an incarnation of a worker (`Table::retired_since`). All open roots fail: a
    /// tuple of theirs may have been there. Roots opened from now on cannot have been sent there
    /// by the spout, but a bolt with an older table may still send their children there; it stamps
    /// what it contributes with that table's version, and that fails the root in `fold`. For this
    /// reason a new ledger adopts its first table too (`Table::retired_since` from the empty table).
    pub fn adopt(&mut self, retired_at: Option<u64>) {
        if let Some(version) = retired_at {
            self.stamp_min = self.stamp_min.max(version);
            self.fail_all(FailReason::WorkerLost);
        }
    }

    /// Fails the roots that are too old.
    ///
    /// Their time is `timeout_ns` plus `waiting_ns`, the time that tuples now spend in queues and
    /// that components hold them on purpose; but never more than [`HARD_LIMIT`] × `timeout_ns`.
    pub fn expire(&mut self, now_ns: u64, timeout_ns: u64, waiting_ns: u64) {
        let hard_limit = timeout_ns.saturating_mul(HARD_LIMIT);
        let limit = timeout_ns.saturating_add(waiting_ns).min(hard_limit);
        let age = |since| now_ns.saturating_sub(since);
        if age(self.oldest_ns) >= limit {
            let restarted = std::mem::take(&mut self.restarted);
            self.fail_where(FailReason::Timeout, |slot, opened_ns| {
                let since = *restarted.get(&slot).unwrap_or(&opened_ns);
                age(since) >= limit || age(opened_ns) >= hard_limit
            });
            self.restarted = restarted;
        }
    }

    /// Fails every open root, the oldest first.
    pub fn fail_all(&mut self, reason: FailReason) {
        self.fail_where(reason, |_, _| true);
    }

    /// Takes the next verdict; they come in the order in which the trees ended.
    #[inline]
    pub fn verdicts(&mut self) -> Option<Verdict> {
        let slot = self.ring.take()?;
        let entry = &mut self.entries[slot as usize];
        let outcome = match entry.state() {
            ACKED => Outcome::Acked,
            state => Outcome::Failed(
                FailReason::from_code(state - FAILED).expect("the state was made from a reason"),
            ),
        };
        entry.set_state(FREE);
        if !self.restarted.is_empty() {
            self.restarted.remove(&slot);
        }
        Some(Verdict { slot, task: entry.task, outcome, opened_ns: entry.opened_ns })
    }

    /// The entry of a root that is open here.
    #[inline]
    fn alive(&mut self, root: u64) -> Option<(u32, &mut Entry)> {
        if prefix_of(root) != self.prefix {
            return None;
        }
        let slot = slot_of(root);
        let entry = self.entries.get_mut(slot as usize)?;
        (entry.generation() == generation_of(root) && entry.is_alive()).then_some((slot, entry))
    }

    /// Fails the open roots that are `due` by slot and time of opening, the oldest first.
    fn fail_where(&mut self, reason: FailReason, due: impl Fn(u32, u64) -> bool) {
        if self.open_count() == 0 {
            return;
        }
        let mut failed = Vec::new();
        self.oldest_ns = u64::MAX;
        for (slot, entry) in (0..).zip(&mut self.entries).filter(|(_, entry)| entry.is_alive()) {
            if due(slot, entry.opened_ns) {
                entry.set_state(FAILED + reason.code());
                failed.push((entry.opened_ns, slot));
            } else {
                self.oldest_ns = self.oldest_ns.min(entry.opened_ns);
            }
        }
        failed.sort_unstable();
        failed.into_iter().for_each(|(_, slot)| self.ring.end(slot));
    }
}
