//! A histogram in few bytes: nimbus keeps one for each component of each worker.
//!
//! Buckets are those of HDR histograms with two significant digits, as workers have them: 128 to a
//! factor of two. Where more than [`BUCKETS_MAX`] are in use, neighbours are put together until they
//! are not, so a histogram takes a kilobyte or so however widely its values are spread, and is exact
//! to 0.8 % if they are not (Gil Tene's HDR histograms, 2012). No bucket goes across a power of two, so
//! how many values are below one stays exact. Only what is in use is written down: how far it is from
//! the one before, and its count, each in as many bytes as it needs (LEB128).

use prost::encoding::{decode_varint, encode_varint};

use super::Histogram;

/// Buckets for a factor of two, as a power of two: what workers tell apart.
const FINEST: u32 = 7;

/// The same where values are spread most widely.
const COARSEST: u32 = 3;

/// So many buckets are kept apart.
const BUCKETS_MAX: usize = 256;

/// A packed histogram.
///
/// ```
/// use nimbus::engine::counters::{Histogram, Packed};
///
/// let mut latencies = Histogram::default();
/// latencies.add_buckets([(1_023, 7), (2_047, 1)].into_iter());
/// let packed = Packed::of(&latencies);
/// let mut again = Histogram::default();
/// again.add_packed(&packed);
/// assert_eq!(again, latencies);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    sum: u64,
    fine: u32,
    bytes: Box<[u8]>,
}

impl Packed {
    /// Packs a histogram.
    #[must_use]
    pub fn of(histogram: &Histogram) -> Self {
        let mut fine = FINEST;
        loop {
            let pairs = pairs(histogram, fine);
            if pairs.len() <= BUCKETS_MAX || fine == COARSEST {
                return Self { sum: histogram.sum(), fine, bytes: write(pairs) };
            }
            fine -= 1;
        }
    }

    /// Lists its buckets: upper bound and count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let fine = self.fine;
        read(&self.bytes).map(move |(at, count)| (bound(at, fine), count))
    }

    /// Whether there is no value in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All values added up.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

/// The buckets in use, and what is in each.
fn pairs(histogram: &Histogram, fine: u32) -> Vec<(u64, u64)> {
    let mut pairs: Vec<(u64, u64)> = Vec::new();
    for (bound, count) in histogram.buckets() {
        let at = bucket(bound, fine);
        match pairs.last_mut().filter(|last| last.0 == at) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => pairs.push((at, count)),
        }
    }
    pairs
}

/// The bucket of a value.
fn bucket(value: u64, fine: u32) -> u64 {
    if value >> (fine + 1) == 0 {
        return value;
    }
    let octave = value.ilog2();
    let within = (value >> (octave - fine)) & ((1 << fine) - 1);
    (u64::from(octave - fine + 1) << fine) + within
}

/// The highest value of a bucket.
fn bound(bucket: u64, fine: u32) -> u64 {
    let octave = bucket >> fine;
    if octave <= 1 {
        return bucket;
    }
    let end = (bucket & ((1 << fine) - 1)) + (1 << fine) + 1;
    // The very last one ends where numbers do.
    (end << (octave - 1)).wrapping_sub(1)
}

/// Writes pairs of which the first numbers rise.
pub(in crate::engine) fn write(pairs: impl IntoIterator<Item = (u64, u64)>) -> Box<[u8]> {
    let (mut bytes, mut before) = (Vec::new(), 0);
    for (at, count) in pairs {
        encode_varint(at - before, &mut bytes);
        encode_varint(count, &mut bytes);
        before = at;
    }
    bytes.into_boxed_slice()
}

/// Reads what [`write`] wrote.
pub(in crate::engine) fn read(mut bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += decode_varint(&mut bytes).ok()?;
        Some((at, decode_varint(&mut bytes).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unpacked(packed: &Packed) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add_packed(packed);
        histogram
    }

    #[test]
    fn a_histogram_that_is_spread_widely_stays_small_and_its_powers_of_two_exact() {
        let mut wide = Histogram::default();
        let bounds = (0..58 * 128).map(|at| bound(at, FINEST));
        wide.add_buckets(bounds.map(|bound| (bound, 1_000)));
        let packed = Packed::of(&wide);
        assert!(packed.bytes.len() < 2_048, "{} bytes", packed.bytes.len());
        let below = |histogram: &Histogram| {
            let below = |power: u32| histogram.buckets().filter(move |it| it.0 >> power == 0);
            (0..64).map(|power| below(power).map(|it| it.1).sum::<u64>()).collect::<Vec<_>>()
        };
        assert_eq!(below(&unpacked(&packed)), below(&wide));
        assert_eq!((packed.sum(), unpacked(&packed).count()), (wide.sum(), wide.count()));
    }

    proptest! {
        #[test]
        fn a_bucket_ends_with_its_last_value(value: u64, fine in COARSEST..=FINEST) {
            let at = bucket(value, fine);
            let bound = bound(at, fine);
            prop_assert!(bound >= value && bound - value <= value >> fine, "{value} ends at {bound}");
            prop_assert_eq!(bucket(bound, fine), at);
            if let Some(next) = bound.checked_add(1) {
                prop_assert_eq!(bucket(next, fine), at + 1);
            }
        }

        #[test]
        fn what_workers_report_comes_back_as_it_was(
            values in prop::collection::btree_map(0..4_096_u64, 1..u64::MAX / 4_096, 0..200)
        ) {
            let mut histogram = Histogram::default();
            let buckets = values.into_iter().map(|(at, count)| (bound(at, FINEST), count));
            histogram.add_buckets(buckets);
            prop_assert_eq!(unpacked(&Packed::of(&histogram)), histogram);
        }
    }
}
