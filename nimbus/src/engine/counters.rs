//! Adding up what tasks count: totals that survive the workers that counted them.

pub(super) mod packed;

use std::collections::BTreeMap;

use daemon::exposition::middle;
use proto::supervisor::{ComponentReport, Latency, TaskReport};

pub use packed::Packed;

/// A histogram that others can be added to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Upper bound and count of each bucket that is not empty, by bound.
    buckets: Vec<(u64, u64)>,
    sum: u64,
}

impl Histogram {
    /// Adds what a task reported.
    pub fn add(&mut self, latency: &Latency) {
        let buckets = latency.bounds_ns.iter().copied().zip(latency.counts.iter().copied());
        self.add_buckets(buckets);
    }

    /// Adds buckets: upper bound and count.
    pub fn add_buckets(&mut self, buckets: impl Iterator<Item = (u64, u64)>) {
        let before = self.buckets.len();
        self.buckets.extend(buckets.filter(|(_, count)| *count > 0));
        for (bound, count) in &self.buckets[before..] {
            self.sum = self.sum.saturating_add(middle(*bound).saturating_mul(*count));
        }
        self.put_in_order();
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.extend_from_slice(&other.buckets);
        self.sum = self.sum.saturating_add(other.sum);
        self.put_in_order();
    }

    /// Adds a packed one.
    pub fn add_packed(&mut self, packed: &Packed) {
        self.buckets.extend(packed.buckets());
        self.sum = self.sum.saturating_add(packed.sum());
        self.put_in_order();
    }

    fn put_in_order(&mut self) {
        // Two runs, each in order: a stable sort does no more than merge them.
        self.buckets.sort_by_key(|(bound, _)| *bound);
        self.buckets.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
    }

    /// Lists the buckets: upper bound (of a latency, in nanoseconds) and count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.buckets.iter().copied()
    }

    /// All values added up, each taken for the middle of its bucket: off by 0.4 % at most.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
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
        self.buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Returns the bound that the `percent`th percentile does not pass; `None` if there is no value.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let total: u128 = self.buckets.iter().map(|(_, count)| u128::from(*count)).sum();
        let rank = (total * u128::from(percent)).div_ceil(100).max(1);
        let mut below = 0;
        self.buckets
            .iter()
            .find(|(_, count)| {
                below += u128::from(*count);
                below >= rank
            })
            .map(|(bound, _)| *bound)
    }
}

/// What tasks of one component have counted, by name.
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
    }

    /// Adds what the tasks of a worker reported together.
    pub fn add_together(&mut self, component: &ComponentReport) {
        component.execute.iter().for_each(|latency| self.execute.add(latency));
        component.complete.iter().for_each(|latency| self.complete.add(latency));
        for (name, spread) in &component.histograms {
            let buckets = spread.bounds.iter().copied().zip(spread.counts.iter().copied());
            self.histograms.entry(name.clone()).or_default().add_buckets(buckets);
        }
    }

    /// Returns how many failed, for whatever reason.
    #[must_use]
    pub fn failed_total(&self) -> u64 {
        self.failed.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

fn add_up(totals: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    more.iter().for_each(|(name, count)| add_to(totals, name, *count));
}

/// Adds a count to what has this name.
pub(super) fn add_to(totals: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    match totals.get_mut(name) {
        Some(total) => *total = total.saturating_add(count),
        None => drop(totals.insert(name.to_owned(), count)),
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
    fn values_are_added_up_in_the_middle_of_their_buckets() {
        let mut histogram = Histogram::default();
        histogram.add_buckets([(1_027, 3), (1_023, 2), (7, 1), (9, 0)].into_iter());
        assert_eq!(histogram.sum(), 3 * 1_023 + 2 * 1_021 + 7);
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!((twice.count(), twice.sum()), (12, 2 * histogram.sum()));
    }

    #[test]
    fn totals_of_tasks_add_up_by_reason() {
        let task = TaskReport {
            emitted: 1,
            acked: 2,
            failed: [("error".to_owned(), 3), ("timeout".to_owned(), 4)].into(),
            ..TaskReport::default()
        };
        let together = ComponentReport {
            execute: Some(latency(&[(1_000, 50)])),
            histograms: [("size".to_owned(), Spread { bounds: vec![8], counts: vec![2] })].into(),
            ..ComponentReport::default()
        };
        let mut totals = Totals::default();
        totals.add(&task);
        totals.add_together(&together);
        assert_eq!(totals.histograms["size"].percentile(50), Some(8));
        totals.add(&task);
        totals.add_together(&together);
        assert_eq!((totals.emitted, totals.acked, totals.failed_total()), (2, 4, 14));
        assert_eq!(totals.failed["timeout"], 8);
        assert_eq!((totals.histograms["size"].count(), totals.execute.count()), (4, 100));
    }
}
