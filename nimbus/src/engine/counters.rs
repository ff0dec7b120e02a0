//! Adding up what tasks count: totals that survive the workers that counted them.

use std::collections::BTreeMap;

use proto::supervisor::{Latency, TaskReport};

/// A latency histogram that others can be added to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Counts by upper bound, in nanoseconds.
    counts: BTreeMap<u64, u64>,
}

impl Histogram {
    /// Adds what a task reported.
    pub fn add(&mut self, latency: &Latency) {
        let buckets = latency.bounds_ns.iter().copied().zip(latency.counts.iter().copied());
        self.add_buckets(buckets);
    }

    /// Adds buckets: upper bound and count.
    pub fn add_buckets(&mut self, buckets: impl Iterator<Item = (u64, u64)>) {
        for (bound, count) in buckets {
            let total = self.counts.entry(bound).or_default();
            *total = total.saturating_add(count);
        }
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.add_buckets(other.buckets());
    }

    /// Lists the buckets: upper bound in nanoseconds, and count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().map(|(bound, count)| (*bound, *count))
    }

    /// Returns the bound in µs that the `percent`th percentile does not pass; `None` if nothing was
    /// measured.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a latency of 2^53 ns is three months")]
    pub fn percentile_us(&self, percent: u64) -> Option<f64> {
        self.percentile(percent).map(|bound| bound as f64 / 1_000.0)
    }

    /// Returns how many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns the bound that the `percent`th percentile does not pass; `None` if there is no value.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let total: u128 = self.counts.values().map(|count| u128::from(*count)).sum();
        let rank = (total * u128::from(percent)).div_ceil(100).max(1);
        let mut below = 0;
        self.counts
            .iter()
            .find(|(_, count)| {
                below += u128::from(**count);
                below >= rank
            })
            .map(|(bound, _)| *bound)
    }
}

/// What tasks of one component have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tuples emitted.
    pub emitted: u64,
    /// Tuples executed.
    pub executed: u64,
    /// Tuples, or trees of a spout, that were acked.
    pub acked: u64,
    /// Those that failed, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Everything else that was counted.
    pub counters: BTreeMap<String, u64>,
    /// How values of the author's own are spread, by name.
    pub histograms: BTreeMap<String, Histogram>,
    /// Time in `execute`.
    pub execute: Histogram,
    /// Time from emit to ack.
    pub complete: Histogram,
}

impl Totals {
    /// Adds what a task reported.
    pub fn add(&mut self, task: &TaskReport) {
        self.emitted = self.emitted.saturating_add(task.emitted);
        self.executed = self.executed.saturating_add(task.executed);
        self.acked = self.acked.saturating_add(task.acked);
        add_up(&mut self.failed, &task.failed);
        add_up(&mut self.counters, &task.counters);
        for (name, spread) in &task.histograms {
            let buckets = spread.bounds.iter().copied().zip(spread.counts.iter().copied());
            self.histograms.entry(name.clone()).or_default().add_buckets(buckets);
        }
        if let Some(latency) = &task.execute {
            self.execute.add(latency);
        }
        if let Some(latency) = &task.complete {
            self.complete.add(latency);
        }
    }

    /// Adds other totals.
    pub fn merge(&mut self, other: &Self) {
        self.emitted = self.emitted.saturating_add(other.emitted);
        self.executed = self.executed.saturating_add(other.executed);
        self.acked = self.acked.saturating_add(other.acked);
        add_up(&mut self.failed, &other.failed);
        add_up(&mut self.counters, &other.counters);
        for (name, spread) in &other.histograms {
            self.histograms.entry(name.clone()).or_default().merge(spread);
        }
        self.execute.merge(&other.execute);
        self.complete.merge(&other.complete);
    }

    /// Returns how many failed, for whatever reason.
    #[must_use]
    pub fn failed_total(&self) -> u64 {
        self.failed.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

fn add_up(totals: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, count) in more {
        match totals.get_mut(name) {
            Some(total) => *total = total.saturating_add(*count),
            None => drop(totals.insert(name.clone(), *count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::supervisor::Spread;

    use super::*;

    fn latency(buckets: &[(u64, u64)]) -> Latency {
        let (bounds_ns, counts) = buckets.iter().copied().unzip();
        Latency { bounds_ns, counts }
    }

    #[test]
    fn percentiles_come_from_the_merged_buckets() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile_us(50), None, "nothing was measured");
        histogram.add(&latency(&[(1_000, 50), (2_000, 49)]));
        histogram.add(&latency(&[(1_500_500, 1)]));
        assert_eq!(histogram.percentile_us(50), Some(1.0));
        assert_eq!(histogram.percentile_us(99), Some(2.0));
        assert_eq!(histogram.percentile_us(100), Some(1_500.5));
    }

    #[test]
    fn totals_of_tasks_add_up_by_reason() {
        let task = TaskReport {
            emitted: 1,
            acked: 2,
            failed: [("error".to_owned(), 3), ("timeout".to_owned(), 4)].into(),
            histograms: [("size".to_owned(), Spread { bounds: vec![8], counts: vec![2] })].into(),
            ..TaskReport::default()
        };
        let mut totals = Totals::default();
        totals.add(&task);
        assert_eq!(totals.histograms["size"].percentile(50), Some(8));
        let mut twice = totals.clone();
        twice.merge(&totals);
        assert_eq!((twice.emitted, twice.acked, twice.failed_total()), (2, 4, 14));
        assert_eq!(twice.failed["timeout"], 8);
        assert_eq!(twice.histograms["size"].count(), 4);
    }
}
