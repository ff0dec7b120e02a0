//! What an executor has to tell the owner of some trees, until it is sent.
//!
//! A bolt that is done with an input contributes, for each root of that input, the input's edge
//! XOR the ids of all it emitted anchored to it. The tuples of a batch often belong to few trees
//! (ten words of one line), and their contributions come one after another, so what is folded here
//! makes one record of them and one XOR at the ledger.

use super::{Edge, FailReason};

/// The stamp of a contribution without children: it is not below the version of any table.
pub const NO_STAMP: u64 = u64::MAX;

/// Bytes of what is said of a failure: a sentence, for people.
pub const WHY_BYTES_MAX: usize = 256;

/// Most that is said in one batch: what a bolt says of one batch of tuples.
pub const WHYS_MAX: usize = 128;

/// What a component said of a failure: the text of its error, or of its panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// Bits of the root that fails.
    pub root: u64,
    /// At most [`WHY_BYTES_MAX`] bytes.
    pub text: Box<str>,
}

impl Why {
    /// Cuts a text to what may be said.
    ///
    /// ```
    /// use worker::engine::acking::{WHY_BYTES_MAX, Why};
    ///
    /// assert_eq!(&*Why::cut("no such user"), "no such user");
    /// assert_eq!(Why::cut(&"é".repeat(500)).len(), WHY_BYTES_MAX);
    /// ```
    #[must_use]
    pub fn cut(text: &str) -> Box<str> {
        text[..text.floor_char_boundary(WHY_BYTES_MAX)].into()
    }
}

/// A tree that cannot complete any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Bits of the root.
    pub root: u64,
    /// Why.
    pub reason: FailReason,
}

/// What travels to the executor that owns the roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckBatch {
    /// The lowest table version under which any child of these contributions was emitted;
    /// [`NO_STAMP`] if there was no child.
    ///
    /// It speaks for all of them: a contribution may be judged by a lower stamp than its own,
    /// which can only fail a root that might have lived, never let one pass.
    pub stamp: u64,
    /// What is added to checksums: a root, and as `id` the XOR of the edges that ended and of those
    /// that began.
    pub contributions: Vec<Edge>,
    /// Trees to fail.
    pub failures: Vec<Failure>,
    /// What was said of some of these; for people, so it may be missing.
    pub whys: Vec<Why>,
    /// Roots whose timeout starts again.
    pub resets: Vec<u64>,
}

impl AckBatch {
    /// A batch that says nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            stamp: NO_STAMP,
            contributions: Vec::new(),
            failures: Vec::new(),
            whys: Vec::new(),
            resets: Vec::new(),
        }
    }

    /// Whether it says nothing.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contributions.is_empty() && self.failures.is_empty() && self.resets.is_empty()
    }

    /// Number of records.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.contributions.len() + self.failures.len() + self.resets.len()
    }

    /// Forgets everything and keeps the buffers.
    pub fn clear(&mut self) {
        self.stamp = NO_STAMP;
        self.contributions.clear();
        self.failures.clear();
        self.whys.clear();
        self.resets.clear();
    }
}

impl Default for AckBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// What one executor has gathered for one owner since it last flushed.
///
/// A contribution of zero edges is kept. It says nothing to the checksum, but its stamp may be what
/// tells the owner that a child went to a worker that has died. It is rare beyond mention: among
/// the contributions to a root, the one of the tuple nearest to the spout holds an edge that none
/// of the others has, so they cancel only by the chance of 2⁻⁶⁴ that any tree takes.
///
/// ```
/// use worker::engine::acking::{AckBuffer, NO_STAMP};
///
/// let mut buffer = AckBuffer::new();
/// buffer.fold(7, 0b01, 40);
/// buffer.fold(7, 0b10, NO_STAMP);
/// let batch = buffer.take();
/// assert_eq!((batch.stamp, batch.contributions[0].id), (40, 0b11));
/// assert!(buffer.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct AckBuffer {
    batch: AckBatch,
}

impl AckBuffer {
    /// A buffer with nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self { batch: AckBatch::new() }
    }

    /// Adds what an input that is done with contributes to one of its roots.
    ///
    /// `stamp` is the version of the table under which the input's children were emitted (the
    /// lowest, if there were several), [`NO_STAMP`] if it has none.
    #[inline]
    pub fn fold(&mut self, root: u64, edges: u64, stamp: u64) {
        debug_assert!(root != 0, "an untracked tuple contributes nothing");
        self.batch.stamp = self.batch.stamp.min(stamp);
        match self.batch.contributions.last_mut() {
            Some(last) if last.root == root => last.id ^= edges,
            _ => self.batch.contributions.push(Edge { root, id: edges }),
        }
    }

    /// Fails one of the roots of an input, or of a tuple that was refused or lost.
    ///
    /// It does not matter whether it is sent before or after contributions to the same root: the
    /// failed tuple's own edge is contributed by no one, so the tree cannot complete.
    pub fn fail(&mut self, root: u64, reason: FailReason) {
        debug_assert!(root != 0, "an untracked tuple fails silently");
        if self.batch.failures.last().is_none_or(|last| last.root != root) {
            self.batch.failures.push(Failure { root, reason });
        }
    }

    /// Adds what was said of the failure of a root.
    pub fn why(&mut self, root: u64, text: &str) {
        if self.batch.whys.len() < WHYS_MAX {
            self.batch.whys.push(Why { root, text: Why::cut(text) });
        }
    }

    /// Starts the timeout of a root again.
    pub fn reset(&mut self, root: u64) {
        debug_assert!(root != 0, "an untracked tuple has no timeout");
        if self.batch.resets.last() != Some(&root) {
            self.batch.resets.push(root);
        }
    }

    /// Gathers again what could not be sent yet; its stamp stays with it.
    pub fn put_back(&mut self, batch: AckBatch) {
        for contribution in batch.contributions {
            self.fold(contribution.root, contribution.id, batch.stamp);
        }
        for failure in batch.failures {
            self.fail(failure.root, failure.reason);
        }
        batch.whys.iter().for_each(|why| self.why(why.root, &why.text));
        batch.resets.into_iter().for_each(|root| self.reset(root));
    }

    /// Whether there is nothing to send.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Number of records to send.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// What there is to send; the buffer is empty afterwards.
    #[must_use]
    pub fn take(&mut self) -> AckBatch {
        std::mem::take(&mut self.batch)
    }

    /// As [`take`](Self::take), and goes on with the buffers of a batch that was dealt with.
    #[must_use]
    pub fn take_reusing(&mut self, mut spent: AckBatch) -> AckBatch {
        spent.clear();
        std::mem::replace(&mut self.batch, spent)
    }
}

#[cfg(test)]
mod tests {
    use super::{AckBatch, AckBuffer, Failure, NO_STAMP};
    use crate::engine::acking::{Edge, FailReason};

    #[test]
    fn neighbours_of_one_root_become_one_record() {
        let mut buffer = AckBuffer::new();
        for (root, edges) in [(1, 0b001), (1, 0b010), (2, 0b100), (1, 0b111)] {
            buffer.fold(root, edges, NO_STAMP);
        }
        let edges = |root, id| Edge { root, id };
        let expected = [edges(1, 0b011), edges(2, 0b100), edges(1, 0b111)];
        assert_eq!(buffer.take().contributions, expected, "only neighbours are folded");
    }

    #[test]
    fn a_batch_carries_its_lowest_stamp() {
        let mut buffer = AckBuffer::new();
        buffer.fold(1, 1, 9);
        buffer.fold(2, 1, 4);
        buffer.fold(3, 1, NO_STAMP);
        assert_eq!(buffer.take().stamp, 4, "the lowest speaks for all");
        buffer.fold(1, 1, 9);
        assert_eq!(buffer.take().stamp, 9, "a batch does not remember the one before");
    }

    #[test]
    fn a_contribution_of_no_edges_still_brings_its_stamp() {
        let mut buffer = AckBuffer::new();
        buffer.fold(1, 0, 3);
        assert!(!buffer.is_empty(), "it must be sent");
        assert_eq!(buffer.take().stamp, 3, "for its stamp");
    }

    #[test]
    fn a_root_that_fails_twice_in_a_row_is_told_once() {
        let mut buffer = AckBuffer::new();
        buffer.fail(1, FailReason::Error);
        buffer.fail(1, FailReason::Panic);
        let expected = [Failure { root: 1, reason: FailReason::Error }];
        assert_eq!(buffer.take().failures, expected, "the first reason is the cause");
    }

    #[test]
    fn what_is_put_back_keeps_its_stamp() {
        let mut buffer = AckBuffer::new();
        buffer.fold(1, 0b01, 3);
        buffer.fail(2, FailReason::Error);
        let unsent = buffer.take();
        buffer.fold(5, 0b10, 9);
        buffer.put_back(unsent);
        let batch = buffer.take();
        assert_eq!(batch.stamp, 3, "the lowest of what was there and what came back");
        assert_eq!((batch.contributions.len(), batch.failures.len()), (2, 1), "and all of it");
    }

    #[test]
    fn spent_buffers_are_used_again() {
        let mut buffer = AckBuffer::new();
        (1..100).for_each(|root| buffer.fold(root, 1, 5));
        let spent = buffer.take();
        let capacity = spent.contributions.capacity();
        buffer.fold(1, 1, 6);
        let batch = buffer.take_reusing(spent);
        assert_eq!((batch.len(), batch.stamp), (1, 6), "what was gathered");
        assert!(buffer.is_empty(), "nothing of the spent batch is left");
        assert_eq!(buffer.batch.stamp, NO_STAMP, "nor its stamp");
        assert_eq!(buffer.batch.contributions.capacity(), capacity, "only its buffers");
        assert_eq!(buffer.take(), AckBatch::new(), "empty");
    }
}
