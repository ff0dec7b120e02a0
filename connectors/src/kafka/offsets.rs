//! Up to where a partition may be committed: the offsets that are open, and those behind them that
//! are done, as ranges.
//!
//! What is committed is never above an offset that was emitted and not acked, so a crash loses
//! nothing. Between two ranges there is at least one open offset: the ranges are as many as there are
//! open tuples, at most, whatever was acked behind them. Pure.

use std::collections::BTreeMap;

/// The offsets of one partition, from its first emitted one.
#[derive(Clone, Debug, Default)]
pub(super) struct Offsets {
    /// All below are done: what may be committed.
    low: u64,
    /// All below were emitted, or do not exist.
    position: u64,
    /// What is done at or above `low`: first offset, and the one behind the last. They do not touch.
    done: BTreeMap<u64, u64>,
    begun: bool,
}

impl Offsets {
    /// An offset is emitted. Those that were left out do not exist: a compacted topic has holes, and
    /// transactions leave some. False: it was emitted before, so the partition begins again here.
    pub(super) fn emit(&mut self, offset: u64) -> bool {
        let begins = self.begun && offset < self.position;
        if begins || !self.begun {
            *self = Self { low: offset, position: offset, begun: true, ..Self::default() };
        }
        if offset > self.position {
            self.finish(self.position, offset);
        }
        self.position = offset + 1;
        !begins
    }

    /// An emitted offset is done.
    pub(super) fn ack(&mut self, offset: u64) {
        if offset < self.position {
            self.finish(offset, offset + 1);
        }
    }

    /// Up to where it may be committed: the first offset that is not done; none before the first one.
    pub(super) fn committable(&self) -> Option<u64> {
        self.begun.then_some(self.low)
    }

    /// How many ranges are kept.
    #[cfg(test)]
    fn ranges(&self) -> usize {
        self.done.len()
    }

    /// `from..to` is done.
    fn finish(&mut self, from: u64, to: u64) {
        if from < self.low {
            return;
        }
        if from == self.low {
            // The way of nearly all: in order, with nothing kept.
            self.low = to;
            if let Some(first) = self.done.first_entry().filter(|first| *first.key() == to) {
                self.low = first.remove();
            }
            return;
        }
        let end = self.done.remove(&to).unwrap_or(to);
        match self.done.range_mut(..=from).next_back() {
            Some((_, before)) if *before > from => {}
            Some((_, before)) if *before == from => *before = end,
            _ => drop(self.done.insert(from, end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn offsets_that_do_not_exist_hold_nothing_up() {
        let mut offsets = Offsets::default();
        assert_eq!(offsets.committable(), None);
        for offset in [10, 15, 16] {
            assert!(offsets.emit(offset));
        }
        offsets.ack(10);
        assert_eq!(offsets.committable(), Some(15));
        offsets.ack(16);
        assert_eq!((offsets.committable(), offsets.ranges()), (Some(15), 1));
        offsets.ack(15);
        assert_eq!((offsets.committable(), offsets.ranges()), (Some(17), 0));
    }

    #[test]
    fn a_partition_whose_offsets_begin_again_is_new() {
        let mut offsets = Offsets::default();
        offsets.emit(100);
        offsets.emit(101);
        offsets.ack(101);
        assert!(!offsets.emit(0), "the topic was made again");
        assert_eq!((offsets.committable(), offsets.ranges()), (Some(0), 0));
    }

    proptest! {
        /// Whatever is acked in which order: nothing that is open is below what is committed, what is
        /// committed is as high as it can be, and memory is bounded by what is open.
        #[test]
        fn nothing_open_is_ever_committed(
            first in 0_u64..100,
            gaps in proptest::collection::vec(1_u64..4, 1..60),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let mut offsets = Offsets::default();
            let mut open = BTreeSet::new();
            let mut next = first;
            let mut gaps = gaps.into_iter();
            for index in order {
                // Emit and ack by turns, at random places.
                if let Some(gap) = gaps.next() {
                    offsets.emit(next);
                    open.insert(next);
                    next += gap;
                }
                if let Some(offset) = open.iter().nth(index.index(open.len().max(1))).copied()
                    && index.index(3) > 0
                {
                    open.remove(&offset);
                    offsets.ack(offset);
                    offsets.ack(offset); // twice does no harm
                }
                let committable = offsets.committable().unwrap();
                match open.first() {
                    Some(lowest) => prop_assert!(committable <= *lowest && *lowest <= committable + 3),
                    None => prop_assert_eq!(committable, offsets.position),
                }
                prop_assert!(offsets.ranges() <= open.len(), "{:?}", offsets);
            }
        }
    }
}
