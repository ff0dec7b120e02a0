//! Latencies of one task, and of several together.
//!
//! Each task keeps its own histogram and leaves it as its non-empty buckets, so that quantiles are
//! those of all tasks and not means of quantiles.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart: one hour.
const LATENCY_MAX_NS: u64 = 3_600_000_000_000;

/// How often each latency was seen, in buckets of about 1 %.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// The buckets that are not empty: a latency in nanoseconds, and how often it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Buckets(Vec<(u64, u64)>);

impl Latencies {
    /// Starts with none.
    pub(crate) fn new() -> Self {
        let bounds = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 2);
        Self(bounds.expect("the bounds are valid constants"))
    }

    /// Adds one.
    #[inline]
    pub(crate) fn record(&mut self, latency_ns: u64) {
        self.0.saturating_record(latency_ns);
    }

    /// Adds all that another task saw.
    pub(crate) fn join(&mut self, buckets: &Buckets) {
        buckets.0.iter().for_each(|(latency, times)| self.0.saturating_record_n(*latency, *times));
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// So much of all latencies is at most this, in microseconds.
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        crate::figures::as_f64(self.0.value_at_quantile(quantile)) / 1e3
    }

    /// What a task leaves of them.
    pub(crate) fn buckets(&self) -> Buckets {
        let recorded = self.0.iter_recorded();
        Buckets(recorded.map(|at| (at.value_iterated_to(), at.count_at_value())).collect())
    }
}

impl Buckets {
    /// How many latencies they hold.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|(_, times)| times).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tasks_together_have_the_quantiles_of_all() {
        let (mut one, mut other, mut all) = (Latencies::new(), Latencies::new(), Latencies::new());
        for latency in 1..=1_000 {
            let task = if latency % 3 == 0 { &mut one } else { &mut other };
            task.record(latency * 1_000);
            all.record(latency * 1_000);
        }
        let mut joined = Latencies::new();
        joined.join(&one.buckets());
        joined.join(&other.buckets());
        assert_eq!(joined.buckets(), all.buckets());
        assert_eq!(joined.quantile_us(0.99).to_bits(), all.quantile_us(0.99).to_bits());
        assert_eq!(one.buckets().count() + other.buckets().count(), 1_000);
    }
}
