//! A latency histogram of a fixed size, of which two can be subtracted: what was measured between.
//!
//! Buckets are logarithmic, sixteen a factor of two (as in HDR histograms, but coarser), from 64 ns
//! to 73 minutes: a percentile is too high by at most 6 %.

use super::super::counters::{Packed, packed};

/// Buckets for a factor of two, as a power of two.
const FINE: u32 = 4;

/// The power of two of the shortest latency that is told from others, in ns.
const LOWEST: u32 = 6;

/// Powers of two that are told apart.
const OCTAVES: usize = 36;

/// How many buckets there are.
const BUCKETS: usize = OCTAVES << FINE;

/// How often each latency was measured, since some start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets(Box<[u64; BUCKETS]>);

impl Default for Buckets {
    fn default() -> Self {
        Self(Box::new([0; BUCKETS]))
    }
}

impl Buckets {
    /// Counts all of a histogram.
    pub fn add(&mut self, histogram: &Packed) {
        histogram.buckets().for_each(|(bound, count)| self.count(bound, count));
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (mine, other) in self.0.iter_mut().zip(other.0.iter()) {
            *mine = mine.saturating_add(*other);
        }
    }

    /// Packs them: few are in use.
    #[must_use]
    pub fn sparse(&self) -> Sparse {
        let used = (0..).zip(self.0.iter().copied()).filter(|(_, count)| *count > 0);
        Sparse(packed::write(used))
    }

    fn count(&mut self, bound: u64, count: u64) {
        let bucket = &mut self.0[bucket(bound)];
        *bucket = bucket.saturating_add(count);
    }

    /// The percentiles of what was measured since `before`, in ns; nothing if nothing was.
    #[must_use]
    pub fn percentiles<const N: usize>(
        &self,
        before: &Self,
        percents: [u64; N],
    ) -> [Option<u64>; N] {
        let counts =
            || self.0.iter().zip(before.0.iter()).map(|(now, then)| now.saturating_sub(*then));
        let total: u128 = counts().map(u128::from).sum();
        percents.map(|percent| {
            let rank = (total * u128::from(percent)).div_ceil(100).max(1);
            let mut below = 0;
            let found = counts().position(|count| {
                below += u128::from(count);
                below >= rank
            });
            found.map(bound)
        })
    }
}

/// Buckets of which only those in use take room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sparse(Box<[u8]>);

impl Sparse {
    /// The buckets as they were.
    #[must_use]
    pub fn buckets(&self) -> Buckets {
        let mut buckets = Buckets::default();
        for (at, count) in packed::read(&self.0) {
            if let Some(bucket) = usize::try_from(at).ok().and_then(|at| buckets.0.get_mut(at)) {
                *bucket = count;
            }
        }
        buckets
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.len()
    }
}

/// The bucket of a latency.
fn bucket(nanoseconds: u64) -> usize {
    let nanoseconds = nanoseconds.max(1 << LOWEST);
    let octave = nanoseconds.ilog2();
    let within = (nanoseconds >> (octave - FINE)) & ((1 << FINE) - 1);
    let at = ((octave - LOWEST) << FINE) as usize + usize::try_from(within).unwrap_or(0);
    at.min(BUCKETS - 1)
}

/// The highest latency of a bucket.
fn bound(bucket: usize) -> u64 {
    let octave = LOWEST + u32::try_from(bucket >> FINE).unwrap_or(0);
    let within = (bucket & ((1 << FINE) - 1)) as u64 + 1;
    (1 << octave) + (within << (octave - FINE)) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::counters::Histogram;
    use super::*;

    fn histogram(counts: &[(u64, u64)]) -> Packed {
        let mut histogram = Histogram::default();
        histogram.add_buckets(counts.iter().copied());
        Packed::of(&histogram)
    }

    #[test]
    fn percentiles_are_of_what_came_since() {
        let (mut before, mut now) = (Buckets::default(), Buckets::default());
        before.add(&histogram(&[(1_000, 1_000)]));
        now.add(&histogram(&[(1_000, 1_000), (1_000_000, 99), (8_000_000, 1)]));
        let [half, most, all] = now.percentiles(&before, [50, 99, 100]);
        assert!((1_000_000..1_063_000).contains(&half.unwrap()), "{half:?}");
        assert_eq!(half, most);
        assert!(all.unwrap() >= 8_000_000, "{all:?}");
        assert_eq!(now.percentiles(&now, [50]), [None], "nothing came since now");
        assert_eq!(now.sparse().buckets(), now);
        assert!(now.sparse().bytes() < 32, "three are in use");
    }

    proptest! {
        #[test]
        fn a_bucket_ends_no_more_than_a_sixteenth_after_what_is_in_it(ns in 64..4_000_000_000_000_u64) {
            let bound = bound(bucket(ns));
            prop_assert!(bound >= ns && bound <= ns + ns / 16, "{ns} is in the bucket up to {bound}");
        }
    }
}
