//! How far a file is done with: up to the lowest record that is neither acked nor given up.
//!
//! Records are emitted in the order in which they stand, and acked in any. What is kept is where each
//! open record begins; a record that was acked out of order stays until there are more of those than
//! open ones. So memory follows the number of open records, however long one of them stays open.
//!
//! Pure.

use std::collections::VecDeque;

/// How many settled records may stand among the open ones whatever their number.
const SETTLED_MIN: usize = 1_024;

/// Where the open records of one file begin.
#[derive(Clone, Debug, Default)]
pub(super) struct Offsets {
    /// Where a record begins, times two, plus one once it is settled; in ascending order.
    records: VecDeque<u64>,
    /// How many of them are not settled.
    open: usize,
    /// Up to where the file was read, and every record handed out or left out.
    read: u64,
}

impl Offsets {
    /// Begins at a position.
    pub(super) fn at(position: u64) -> Self {
        Self { read: position, ..Self::default() }
    }

    /// A record was emitted that begins here, behind all others.
    pub(super) fn emitted(&mut self, start: u64) {
        debug_assert!(self.records.back().is_none_or(|last| last >> 1 < start), "out of order");
        self.records.push_back(start << 1);
        self.open += 1;
    }

    /// The file was read up to here.
    pub(super) fn passed(&mut self, end: u64) {
        self.read = self.read.max(end);
    }

    /// The record that begins here was acked or given up; others are left alone.
    pub(super) fn settled(&mut self, start: u64) {
        if self.records.front() == Some(&(start << 1)) {
            self.records.pop_front();
        } else {
            let Ok(at) = self.records.binary_search(&(start << 1)) else { return };
            self.records[at] |= 1;
        }
        self.open -= 1;
        while self.records.front().is_some_and(|first| first & 1 == 1) {
            self.records.pop_front();
        }
        if self.records.len() > 2 * self.open + SETTLED_MIN {
            self.records.retain(|record| record & 1 == 0);
        }
    }

    /// Where to go on after a crash.
    pub(super) fn position(&self) -> u64 {
        self.records.front().map_or(self.read, |first| (first >> 1).min(self.read))
    }

    /// How many records are open.
    pub(super) fn open(&self) -> usize {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_position_is_that_of_the_lowest_open_record(
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 1_u64..50), 0..400),
        ) {
            let (mut offsets, mut open, mut end) = (Offsets::at(7), BTreeSet::new(), 7);
            for (emits, which, length) in steps {
                if emits || open.is_empty() {
                    offsets.emitted(end);
                    open.insert(end);
                    end += length;
                    offsets.passed(end);
                } else {
                    let start: u64 = *which.get(&open.iter().copied().collect::<Vec<_>>());
                    offsets.settled(start);
                    open.remove(&start);
                }
                let lowest = open.first().copied().unwrap_or(end);
                prop_assert_eq!((offsets.position(), offsets.open()), (lowest, open.len()));
            }
        }
    }

    #[test]
    fn memory_stays_flat_behind_one_record_that_stays_open() {
        let mut offsets = Offsets::default();
        offsets.emitted(0);
        for start in 1..1_000_000 {
            offsets.emitted(start);
            offsets.passed(start + 1);
            offsets.settled(start);
        }
        assert_eq!(offsets.position(), 0, "the first record is open");
        assert!(offsets.records.len() <= SETTLED_MIN + 3, "{} are kept", offsets.records.len());
        offsets.settled(0);
        assert_eq!(offsets.position(), 1_000_000);
    }

    #[test]
    fn a_record_that_is_not_open_changes_nothing() {
        let mut offsets = Offsets::at(10);
        offsets.emitted(10);
        offsets.passed(20);
        offsets.settled(3);
        assert_eq!((offsets.position(), offsets.open()), (10, 1));
        offsets.settled(10);
        offsets.settled(10);
        assert_eq!((offsets.position(), offsets.open()), (20, 0));
    }

    #[test]
    fn a_record_whose_end_was_not_read_yet_holds_the_position() {
        let mut offsets = Offsets::at(5);
        offsets.emitted(5);
        offsets.settled(5);
        assert_eq!(offsets.position(), 5, "its rest is still to be skipped");
        offsets.passed(5_000);
        assert_eq!(offsets.position(), 5_000);
    }
}
