//! What is spread over histograms, by component.
//!
//! A histogram has hundreds of buckets, and a worker may have hundreds of tasks, so it tells the histograms
//! of its components, and of each task three percentiles.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use proto::supervisor::{ComponentReport, Latency, Percentiles, Spread};

use crate::executor::counters::{TaskCounters, latency_histogram};

/// The sums of a worker, by component.
#[derive(Default)]
pub(super) struct Sums<'a>(BTreeMap<&'a str, Sum<'a>>);

#[derive(Default)]
struct Sum<'a> {
    execute: Times,
    complete: Times,
    histograms: BTreeMap<&'a str, BTreeMap<u64, u64>>,
}

/// Latencies of several tasks; none if nothing was measured.
#[derive(Default)]
struct Times(Option<Histogram<u64>>);

impl Times {
    /// Adds those of a task, and gives its percentiles.
    fn add(&mut self, histogram: &Histogram<u64>) -> Option<Percentiles> {
        if histogram.is_empty() {
            return None;
        }
        let sum = self.0.get_or_insert_with(latency_histogram);
        let (total, mut below) = (u128::from(histogram.len()), 0);
        let mut percentiles = [(50, 0), (95, 0), (99, 0)];
        for bucket in histogram.iter_recorded() {
            let (bound, count) = (bucket.value_iterated_to(), bucket.count_since_last_iteration());
            sum.saturating_record_n(bound, count);
            below += u128::from(count);
            for (percent, found) in &mut percentiles {
                if *found == 0 && below >= (total * *percent).div_ceil(100) {
                    *found = bound;
                }
            }
        }
        let [(_, p50), (_, p95), (_, p99)] = percentiles;
        Some(Percentiles { p50, p95, p99 })
    }

    fn into_report(self) -> Option<Latency> {
        let mut latency = Latency::default();
        for bucket in self.0?.iter_recorded() {
            latency.bounds_ns.push(bucket.value_iterated_to());
            latency.counts.push(bucket.count_since_last_iteration());
        }
        Some(latency)
    }
}

impl<'a> Sums<'a> {
    /// Adds a task, and gives the percentiles of its times in `execute`, and from emit to ack.
    pub(super) fn add(
        &mut self,
        task: &'a TaskCounters,
    ) -> (Option<Percentiles>, Option<Percentiles>) {
        let sum = self.0.entry(&task.component).or_default();
        for (name, buckets) in &task.histograms {
            let all = sum.histograms.entry(name).or_default();
            buckets.iter().for_each(|(bound, count)| *all.entry(*bound).or_default() += count);
        }
        (sum.execute.add(&task.execute), sum.complete.add(&task.complete))
    }

    pub(super) fn into_reports(self) -> Vec<ComponentReport> {
        let report = |(component, sum): (&str, Sum<'_>)| {
            let histograms = sum.histograms.into_iter().map(|(name, buckets)| {
                let (bounds, counts) = buckets.into_iter().unzip();
                (name.to_owned(), Spread { bounds, counts })
            });
            ComponentReport {
                component: component.to_owned(),
                execute: sum.execute.into_report(),
                complete: sum.complete.into_report(),
                histograms: histograms.collect(),
            }
        };
        self.0.into_iter().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(latencies: &[u64]) -> TaskCounters {
        let mut task = TaskCounters::new(0, 0, "split");
        latencies.iter().for_each(|latency| task.execute.record(*latency).unwrap());
        task.histograms.insert("size", latencies.iter().map(|latency| (*latency, 2)).collect());
        task
    }

    #[test]
    fn tasks_have_percentiles_and_their_component_all_buckets() {
        let hundred: Vec<u64> = (1..=100).collect();
        let (one, other, idle) = (task(&hundred), task(&[7, 50]), task(&[]));
        let mut sums = Sums::default();
        let expected = Percentiles { p50: 50, p95: 95, p99: 99 };
        assert_eq!(sums.add(&one), (Some(expected), None), "nothing was acked");
        assert_eq!(sums.add(&other).0, Some(Percentiles { p50: 7, p95: 50, p99: 50 }));
        assert_eq!(sums.add(&idle), (None, None));
        let [report] = sums.into_reports().try_into().unwrap();
        assert_eq!((&*report.component, &report.complete), ("split", &None));
        let execute = report.execute.unwrap();
        assert_eq!((execute.counts.iter().sum::<u64>(), execute.counts[49]), (102, 2));
        assert_eq!(execute.bounds_ns, hundred);
        let size = &report.histograms["size"];
        assert_eq!((size.bounds[6], size.counts[6]), (7, 4));
    }
}
