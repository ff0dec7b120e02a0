//! Which root a slot stands for: for who looks at trees, of which a verdict tells only the slot.

use super::Ledger;
use crate::engine::acking::RootId;

impl Ledger {
    /// The root that had a slot last: of a verdict, until the slot is used again.
    #[must_use]
    pub fn root_at(&self, slot: u32) -> Option<RootId> {
        let generation = self.entries.get(slot as usize)?.generation();
        (generation != 0).then(|| RootId::from_prefix(self.prefix, slot, generation))
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::acking::{Ledger, NO_STAMP};

    #[test]
    fn the_root_of_a_verdict_is_known_until_its_slot_is_used_again() {
        let mut ledger = Ledger::new(3, 2, 10);
        assert_eq!(ledger.root_at(0), None, "nothing was opened there");
        let root = ledger.open(0, 0).unwrap();
        ledger.seal(root, 5);
        ledger.fold(root.bits(), 5, NO_STAMP);
        let verdict = ledger.verdicts().unwrap();
        assert_eq!(ledger.root_at(verdict.slot), Some(root));
        assert_eq!(ledger.root_at(u32::MAX), None, "there is no such slot");
    }
}
