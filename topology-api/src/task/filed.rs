//! Message ids of open trees, by the slot of their tree: what a spout of every manner keeps.

use super::DONE;

/// Message ids by slot.
pub(crate) struct Filed<Id>(Vec<Option<Id>>);

impl<Id> Filed<Id> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Files the ids under these slots, in order; those under [`DONE`] go to `done`.
    pub(crate) fn file(
        &mut self,
        slots: &[u32],
        ids: impl Iterator<Item = Id>,
        mut done: impl FnMut(Id),
    ) {
        for (slot, id) in slots.iter().zip(ids) {
            if *slot == DONE {
                done(id);
                continue;
            }
            let slot = *slot as usize;
            if slot >= self.0.len() {
                self.0.resize_with(slot + 1, || None);
            }
            self.0[slot] = Some(id);
        }
    }

    /// Takes the id under a slot.
    pub(crate) fn take(&mut self, slot: u32) -> Option<Id> {
        self.0.get_mut(slot as usize)?.take()
    }

    /// Takes the ids under these slots.
    pub(crate) fn take_each(&mut self, slots: &[u32]) -> impl Iterator<Item = Id> {
        slots.iter().filter_map(|slot| self.take(*slot))
    }
}
