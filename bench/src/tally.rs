//! Sums that show whether each of many values was there once.

use serde::{Deserialize, Serialize};

/// How many values there were, their sum and the sum of their squares, modulo 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    sum: u64,
    squares: u64,
}

impl Tally {
    /// Adds a value.
    #[inline]
    pub(crate) fn add(&mut self, value: u64) {
        self.add_times(value, 1);
    }

    /// Adds a value that was there so many times.
    #[inline]
    pub(crate) fn add_times(&mut self, value: u64, times: u64) {
        self.count += times;
        self.sum = self.sum.wrapping_add(value.wrapping_mul(times));
        self.squares = self.squares.wrapping_add(value.wrapping_mul(value).wrapping_mul(times));
    }

    /// Adds what another saw, so many times.
    pub(crate) fn join(&mut self, other: Self, times: u64) {
        self.count += other.count * times;
        self.sum = self.sum.wrapping_add(other.sum.wrapping_mul(times));
        self.squares = self.squares.wrapping_add(other.squares.wrapping_mul(times));
    }

    /// Adds `first`, `first + step`, and so on, `count` values in all.
    pub(crate) fn add_every(&mut self, first: u64, step: u64, count: u64) {
        // The sums of 0..count and of their squares, before they are cut to 64 bits.
        let n = u128::from(count);
        let sum = low(n * n.saturating_sub(1) / 2);
        let squares = low(n.saturating_sub(1) * n / 2 * (2 * n).saturating_sub(1) / 3);
        let mixed = first.wrapping_mul(step).wrapping_mul(sum);
        self.count += count;
        let added = first.wrapping_mul(count).wrapping_add(step.wrapping_mul(sum));
        self.sum = self.sum.wrapping_add(added);
        let of_first = first.wrapping_mul(first).wrapping_mul(count);
        let of_steps = step.wrapping_mul(step).wrapping_mul(squares);
        let added = of_first.wrapping_add(of_steps).wrapping_add(mixed.wrapping_mul(2));
        self.squares = self.squares.wrapping_add(added);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the sums are modulo 2^64")]
fn low(number: u128) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_numbers_adds_up_as_one_by_one() {
        for (first, step, count) in [(0, 1, 0), (0, 1, 1), (0, 1, 1000), (3, 4, 777), (7, 1, 2)] {
            let (mut at_once, mut each) = (Tally::default(), Tally::default());
            at_once.add_every(first, step, count);
            (0..count).for_each(|number| each.add(first + number * step));
            assert_eq!(at_once, each, "{count} from {first} by {step}");
        }
    }

    #[test]
    fn joining_is_adding() {
        let (mut joined, mut each) = (Tally::default(), Tally::default());
        each.add_every(5, 1, 10);
        joined.join(each, 3);
        (0..2).for_each(|_| each.add_every(5, 1, 10));
        assert_eq!(joined, each);
    }
}
