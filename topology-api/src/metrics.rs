//! Metrics of an author's own: counters, gauges and histograms of a task, shown with the rest.
//!
//! A task asks its [`Context`](crate::Context) for each once and keeps the handle. Using it costs an
//! atomic operation or two, and no lock: on the hot path too. Who asks for the same name again, as the
//! next instance of a task after a panic does, gets what was there.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

/// Values below this have a bucket each.
const EXACT: u64 = 32;

/// Above, each power of two is cut into so many buckets: a value is known to one part in sixteen.
const CUTS_BITS: u32 = 4;

/// Buckets up to 2⁶⁴.
const BUCKETS: usize = EXACT as usize + ((64 - 5) << CUTS_BITS);

/// Counts something; a total that only rises.
///
/// ```
/// use topology_api::{Counter, prelude::*};
///
/// struct Parse { empty: Counter }
/// impl Bolt for Parse {
///     type Input = Line;
///     type Output = Line;
///     fn execute(&mut self, line: Line, out: &mut Output<Line>) -> BoltResult {
///         if line.text.is_empty() {
///             self.empty.add(1);
///         } else {
///             out.emit(line);
///         }
///         Ok(())
///     }
/// }
///
/// let mut t = TopologyBuilder::new("counts");
/// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
/// t.bolt("parse", |cx| Parse { empty: cx.counter("empty-lines") }).shuffle(&lines);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds so many.
    #[inline]
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Relaxed);
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Shows a value that rises and falls: the newest one. What is not a number is left out.
///
/// ```
/// let temperature = topology_api::Gauge::default();
/// temperature.set(21.5);
/// assert_eq!(temperature.get(), 21.5);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Shows this from now on.
    #[inline]
    pub fn set(&self, value: f64) {
        if value.is_finite() {
            self.0.store(value.to_bits(), Relaxed);
        }
    }

    /// What is shown; 0 before the first value.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

/// Shows how values are spread: percentiles that are at most one part in sixteen too high, exact below
/// 32. The unit is yours; say it in the name, as in `payload-bytes`. Takes 8 KiB.
///
/// Each power of two is cut into equal buckets, as HDR histograms do it (G. Tene, 2012).
///
/// ```
/// let sizes = topology_api::Histogram::default();
/// (1..=100).for_each(|size| sizes.record(size));
/// assert_eq!(sizes.buckets().iter().map(|(_, count)| count).sum::<u64>(), 100);
/// ```
#[derive(Clone, Debug)]
pub struct Histogram(Arc<[AtomicU64]>);

impl Default for Histogram {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Histogram {
    /// Counts a value.
    #[inline]
    pub fn record(&self, value: u64) {
        self.0[bucket_of(value)].fetch_add(1, Relaxed);
    }

    /// Lists the buckets that are not empty: the highest value of each, and how many values it has.
    #[must_use]
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let counts = self.0.iter().map(|count| count.load(Relaxed)).enumerate();
        counts.filter(|(_, count)| *count > 0).map(|(at, count)| (highest_of(at), count)).collect()
    }
}

#[inline]
fn bucket_of(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let power = value.ilog2();
    let cut = (value >> (power - CUTS_BITS)) as usize & ((1 << CUTS_BITS) - 1);
    EXACT as usize + (((power - EXACT.ilog2()) as usize) << CUTS_BITS) + cut
}

fn highest_of(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(EXACT as usize) else { return bucket as u64 };
    let (power, cut) =
        ((above >> CUTS_BITS) as u32 + EXACT.ilog2(), above & ((1 << CUTS_BITS) - 1));
    let width = 1_u64 << (power - CUTS_BITS);
    (1 << power) + width * cut as u64 + (width - 1)
}

/// All metrics of one task; kept by the worker.
#[derive(Debug, Default)]
pub struct Metrics {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    counters: BTreeMap<&'static str, Counter>,
    gauges: BTreeMap<&'static str, Gauge>,
    histograms: BTreeMap<&'static str, Histogram>,
}

/// What the metrics of a task say now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricValues {
    /// Totals.
    pub counters: Vec<(&'static str, u64)>,
    /// Newest values.
    pub gauges: Vec<(&'static str, f64)>,
    /// Buckets that are not empty: the highest value of each, and how many.
    pub histograms: Vec<(&'static str, Vec<(u64, u64)>)>,
}

impl Metrics {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counter of this name.
    pub fn counter(&self, name: &'static str) -> Counter {
        self.kept().counters.entry(name).or_default().clone()
    }

    /// The gauge of this name.
    pub fn gauge(&self, name: &'static str) -> Gauge {
        self.kept().gauges.entry(name).or_default().clone()
    }

    /// The histogram of this name.
    pub fn histogram(&self, name: &'static str) -> Histogram {
        self.kept().histograms.entry(name).or_default().clone()
    }

    /// Reads all of them.
    pub fn values(&self) -> MetricValues {
        let kept = self.kept();
        MetricValues {
            counters: kept.counters.iter().map(|(name, it)| (*name, it.get())).collect(),
            gauges: kept.gauges.iter().map(|(name, it)| (*name, it.get())).collect(),
            histograms: kept.histograms.iter().map(|(name, it)| (*name, it.buckets())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Metrics, bucket_of, highest_of};
    use proptest::prelude::{any, proptest};

    #[test]
    fn every_bucket_begins_where_the_one_before_ends() {
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BUCKETS - 1));
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(highest_of(bucket)), bucket, "its highest value");
            let next = highest_of(bucket).checked_add(1);
            assert!(next.is_none_or(|next| bucket_of(next) == bucket + 1), "after {bucket}");
        }
    }

    proptest! {
        #[test]
        fn a_value_is_known_to_one_part_in_sixteen(value in any::<u64>(), down in 0_u32..64) {
            let value = value >> down;
            let shown = highest_of(bucket_of(value));
            assert!(shown >= value && shown - value <= value / 16, "{value} is shown as {shown}");
        }
    }

    #[test]
    fn who_asks_for_a_name_again_goes_on_with_what_was_there() {
        let metrics = Metrics::default();
        metrics.counter("seen").add(2);
        metrics.counter("seen").add(3);
        metrics.gauge("depth").set(1.5);
        metrics.gauge("depth").set(f64::NAN);
        metrics.histogram("size").record(7);
        let values = metrics.values();
        assert_eq!(values.counters, [("seen", 5)]);
        assert_eq!(values.gauges, [("depth", 1.5)], "what is not a number is left out");
        assert_eq!(values.histograms, [("size", vec![(7, 1)])]);
    }
}
