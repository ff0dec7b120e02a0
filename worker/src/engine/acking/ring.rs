//! The slots of a ledger that hold no open tree, in the order they ended.
//!
//! Verdicts are taken in the order in which trees ended, and slots are used again in the order in
//! which their verdicts were taken. So one ring serves for both queues: a slot is put at its back
//! when its tree ends and leaves at its front when it is opened again; a mark in between says up to
//! where the verdicts were taken, and taking one moves nothing but the mark.

/// Slots of a ledger that are not open: first the free ones, then those whose verdict waits.
///
/// The three places count for ever, modulo 2³²; the ring is longer than any distance between them.
#[derive(Debug)]
pub(super) struct Ring {
    slots: Box<[u32]>,
    /// The slot to open next.
    front: u32,
    /// The verdict to take next.
    mark: u32,
    /// Where the next one that ends is put.
    back: u32,
}

impl Ring {
    /// This many slots, all of them free.
    pub(super) fn new(count: u32) -> Self {
        let slots = (0..count.next_power_of_two()).collect();
        Self { slots, front: 0, mark: count, back: count }
    }

    #[inline]
    fn at(&self, place: u32) -> u32 {
        self.slots[place as usize & (self.slots.len() - 1)]
    }

    /// Number of free slots.
    #[inline]
    pub(super) fn free(&self) -> u32 {
        self.mark.wrapping_sub(self.front)
    }

    /// Number of verdicts that wait.
    #[inline]
    pub(super) fn ended(&self) -> u32 {
        self.back.wrapping_sub(self.mark)
    }

    /// Takes the slot that has been free for longest.
    #[inline]
    pub(super) fn open(&mut self) -> u32 {
        debug_assert!(self.free() > 0, "a free slot was asked for and there is none");
        let slot = self.at(self.front);
        self.front = self.front.wrapping_add(1);
        slot
    }

    /// Puts back a slot whose tree has ended.
    #[inline]
    pub(super) fn end(&mut self, slot: u32) {
        let place = self.back as usize & (self.slots.len() - 1);
        self.slots[place] = slot;
        self.back = self.back.wrapping_add(1);
    }

    /// The slot of the next verdict; it is free from now on.
    #[inline]
    pub(super) fn take(&mut self) -> Option<u32> {
        if self.ended() == 0 {
            return None;
        }
        let slot = self.at(self.mark);
        self.mark = self.mark.wrapping_add(1);
        Some(slot)
    }
}
