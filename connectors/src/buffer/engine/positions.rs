//! Which records are done with: all below the lowest that is not, and some beyond it.

use std::collections::BTreeMap;
use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_64;

/// What the text of positions begins with.
const TITLE: &str = "squall buffer positions 1";

/// Most ranges that are written down: more would only be replayed after a crash.
const RANGES_WRITTEN_MAX: usize = 10_000;

/// Which records are done with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Positions {
    /// The lowest number that is not done.
    low: u64,
    /// Ranges that are done beyond it: the first number, and the one after the last. They neither
    /// touch nor overlap.
    done: BTreeMap<u64, u64>,
}

impl Positions {
    /// All below `low` are done.
    pub(in super::super) fn from_low(low: u64) -> Self {
        Self { low, done: BTreeMap::new() }
    }

    /// The lowest number that is not done.
    pub(in super::super) fn low(&self) -> u64 {
        self.low
    }

    /// The number after the highest that is done.
    pub(in super::super) fn high(&self) -> u64 {
        self.done.last_key_value().map_or(self.low, |(_, end)| *end)
    }

    /// The number at or after this one that is not done.
    pub(in super::super) fn next_open(&self, number: u64) -> u64 {
        let number = number.max(self.low);
        let range = self.done.range(..=number).next_back();
        range.map_or(number, |(_, end)| number.max(*end))
    }

    /// Notes that a record is done with.
    pub(in super::super) fn finish(&mut self, number: u64) {
        self.finish_range(number, number.saturating_add(1));
    }

    /// Notes that the records from `first` up to and without `end` are done with.
    pub(in super::super) fn finish_range(&mut self, first: u64, end: u64) {
        let (mut first, mut end) = (first.max(self.low), end);
        if first >= end {
            return;
        }
        if let Some((&before, &before_end)) = self.done.range(..=first).next_back()
            && before_end >= first
        {
            (first, end) = (before, end.max(before_end));
        }
        while let Some((&next, &next_end)) = self.done.range(first..=end).next() {
            end = end.max(next_end);
            self.done.remove(&next);
        }
        if first == self.low {
            self.low = end;
        } else {
            self.done.insert(first, end);
        }
    }

    /// Writes them down, with a checksum.
    pub(in super::super) fn encode(&self) -> String {
        let mut text = format!("{TITLE}\nlow {}\n", self.low);
        for (first, end) in self.done.iter().take(RANGES_WRITTEN_MAX) {
            // Writing to a text cannot fail.
            writeln!(text, "done {first} {end}").ok();
        }
        let sum = xxh3_64(text.as_bytes());
        text + &format!("sum {sum:016x}\n")
    }

    /// Reads what was written down; none if it is not whole.
    pub(in super::super) fn decode(text: &str) -> Option<Self> {
        let (body, sum) = text.strip_suffix('\n')?.rsplit_once("sum ")?;
        if format!("{:016x}", xxh3_64(body.as_bytes())) != sum {
            return None;
        }
        let mut lines = body.lines();
        (lines.next()? == TITLE).then_some(())?;
        let low = lines.next()?.strip_prefix("low ")?.parse().ok()?;
        let mut positions = Self::from_low(low);
        for line in lines {
            let (first, end) = line.strip_prefix("done ")?.split_once(' ')?;
            positions.finish_range(first.parse().ok()?, end.parse().ok()?);
        }
        Some(positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn they_know_what_a_set_would_know(
            low in 0_u64..5, finished in vec((0_u64..60, 0_u64..5), 0..60),
        ) {
            let mut positions = Positions::from_low(low);
            let mut set: BTreeSet<u64> = (0..low).collect();
            for (first, length) in finished {
                positions.finish_range(first, first + length);
                set.extend(first..first + length);
                let lowest = (0..).find(|number| !set.contains(number)).unwrap();
                prop_assert_eq!(positions.low(), lowest);
                for number in 0..70 {
                    let open = (number..).find(|it| !set.contains(it)).unwrap();
                    prop_assert_eq!(positions.next_open(number), open);
                }
                prop_assert_eq!(positions.high(), set.last().map_or(0, |last| last + 1));
            }
            prop_assert_eq!(Positions::decode(&positions.encode()), Some(positions));
        }

        #[test]
        fn what_was_cut_or_changed_is_not_believed(
            finished in vec(0_u64..60, 0..20), at in 0.0..1.0, change in 1_u8..,
        ) {
            let mut positions = Positions::default();
            finished.into_iter().for_each(|number| positions.finish(number));
            let text = positions.encode();
            let at = ((text.len() - 1) as f64 * at) as usize;
            prop_assert_eq!(Positions::decode(&text[..at]), None);
            let mut bytes = text.into_bytes();
            bytes[at] ^= change;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert_eq!(Positions::decode(&text), None);
            }
        }
    }
}
