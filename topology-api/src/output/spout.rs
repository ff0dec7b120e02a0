//! The emit side of spouts: tuples with the message ids that name them.

use std::mem::ManuallyDrop;

use super::hand_over::{Away, SpoutHandOver};
use super::{MakeLane, Output, Port, UNANCHORED};
use crate::Tuple;
use crate::raw::Column;

/// Takes what a spout emits.
///
/// With a message id a tuple is tracked: [`Spout::ack`](crate::Spout::ack) or
/// [`Spout::fail`](crate::Spout::fail) will name the id, once.
pub struct SpoutOutput<T: Tuple, Id> {
    pub(crate) output: Output<T>,
    /// Message ids of the tuples emitted and not yet taken, in order.
    pub(crate) ids: Column<Id>,
    /// From how many tuples on they are handed over, and where to.
    pub(super) hand_over_at: usize,
    pub(super) away: Option<Box<Away<SpoutHandOver<Id>>>>,
}

impl<T: Tuple, Id> SpoutOutput<T, Id> {
    pub(crate) fn new(side: &[MakeLane]) -> Self {
        let output = Output::new(side, usize::MAX);
        Self { output, ids: Column::new(), hand_over_at: usize::MAX, away: None }
    }

    /// Emits a tuple under a message id.
    #[inline(always)]
    pub fn emit(&mut self, id: Id, value: T) {
        // First of all: nothing below may find a tuple to drop if it unwinds.
        let (id, value) = (ManuallyDrop::new(id), ManuallyDrop::new(value));
        if self.output.count() >= self.hand_over_at {
            self.hand_over();
        }
        let anchor = u32::try_from(self.ids.len()).unwrap_or(UNANCHORED);
        self.ids.push(ManuallyDrop::into_inner(id));
        self.output.push(ManuallyDrop::into_inner(value), anchor);
    }

    /// Emits a tuple that nobody tracks.
    #[inline(always)]
    pub fn emit_untracked(&mut self, value: T) {
        let value = ManuallyDrop::new(value);
        if self.output.count() >= self.hand_over_at {
            self.hand_over();
        }
        self.output.push(ManuallyDrop::into_inner(value), UNANCHORED);
    }

    /// Emits a tuple under a message id to a declared side output.
    pub fn emit_to<S: Tuple>(&mut self, port: &Port<S>, id: Id, value: S) {
        if self.output.count() >= self.hand_over_at {
            self.hand_over();
        }
        self.output.anchor = u32::try_from(self.ids.len()).unwrap_or(UNANCHORED);
        self.ids.push(id);
        self.output.to(port).emit(value);
    }

    /// Takes what was emitted to the main stream, with the message ids; all ids must be of tuples
    /// of that stream.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Option<Id>, T)> {
        let mut ids = self.ids.drain();
        let emitted = self.output.drain();
        emitted.map(move |(tuple, anchor)| {
            ((anchor != UNANCHORED).then(|| ids.next()).flatten(), tuple)
        })
    }

    /// How many tuples were emitted since the worker last took them.
    #[inline]
    #[must_use]
    pub fn count(&self) -> usize {
        self.output.count()
    }
}
