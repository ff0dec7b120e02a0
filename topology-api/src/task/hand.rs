//! The batch that a task of a bolt has in hand.

use std::vec::IntoIter;

use crate::rows::{Batch, Pool, Rows, emptied};

/// A batch in hand: what is left of it, and where its inputs are held.
#[derive(Debug)]
pub(crate) struct Hand<T> {
    pub(crate) input: IntoIter<T>,
    /// What the batch came in.
    husk: Option<Box<Batch<T>>>,
    /// The slot of each input, if they are held.
    pub(crate) slots: Vec<u32>,
    /// Number of the next input within its batch.
    pub(crate) cursor: u32,
}

impl<T: crate::Tuple> Hand<T> {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self { input: Vec::new().into_iter(), husk: None, slots: Vec::new(), cursor: 0 }
    }

    /// Takes the next batch; the last one must be used up.
    pub(crate) fn load(&mut self, rows: Box<dyn Rows>, slots: &[u32]) {
        debug_assert!(self.input.len() == 0, "the last batch must be used up");
        let mut batch: Box<Batch<T>> =
            rows.into_any().downcast().expect("an input has the type that its bolt reads");
        self.input = std::mem::take(&mut batch.rows).into_iter();
        self.husk = Some(batch);
        self.slots.clear();
        self.slots.extend_from_slice(slots);
        self.cursor = 0;
    }

    /// Gives the emptied buffer of a batch that is used up to the pool.
    pub(crate) fn unload(&mut self, pool: &mut Pool) {
        debug_assert!(self.input.len() == 0, "the batch must be used up");
        let Some(mut husk) = self.husk.take() else { return };
        husk.rows = emptied(&mut self.input);
        pool.give(husk);
    }

    /// Tells whether there is a batch, used up or not.
    pub(crate) fn is_loaded(&self) -> bool {
        self.husk.is_some()
    }

    /// The next input that is held, with its slot.
    pub(crate) fn next_held(&mut self) -> Option<(T, u32)> {
        let tuple = self.input.next()?;
        let slot = self.slots[self.cursor as usize];
        self.cursor += 1;
        Some((tuple, slot))
    }
}
