//! Metrics of the author's own, as the status shows them.

use std::collections::BTreeMap;

use proto::supervisor::TaskReport;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::counters::Histogram;

/// A gauge, over the tasks of a component.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct GaugeValues {
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// All together.
    pub sum: f64,
}

/// A histogram, the tasks of a component together; values are in the author's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistogramValues {
    /// How many values.
    pub count: u64,
    /// Half of them are not above this.
    pub p50: u64,
    /// 95 of 100 are not above this.
    pub p95: u64,
    /// 99 of 100 are not above this.
    pub p99: u64,
    /// None is above this.
    pub max: u64,
}

/// The gauges of these tasks, by name.
pub(super) fn gauges(live: &[&TaskReport]) -> BTreeMap<String, GaugeValues> {
    let mut gauges: BTreeMap<String, GaugeValues> = BTreeMap::new();
    for (name, value) in live.iter().flat_map(|task| &task.gauges) {
        let value = *value;
        gauges
            .entry(name.clone())
            .and_modify(|known| {
                known.min = known.min.min(value);
                known.max = known.max.max(value);
                known.sum += value;
            })
            .or_insert(GaugeValues { min: value, max: value, sum: value });
    }
    gauges
}

/// What these histograms say, by name; those without a value are left out.
pub(super) fn histograms(of: &BTreeMap<String, Histogram>) -> BTreeMap<String, HistogramValues> {
    let values = |it: &Histogram| {
        let [p50, p95, p99, max] = [50, 95, 99, 100].map(|percent| it.percentile(percent));
        Some(HistogramValues { count: it.count(), p50: p50?, p95: p95?, p99: p99?, max: max? })
    };
    of.iter().filter_map(|(name, it)| Some((name.clone(), values(it)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_of_tasks_show_the_least_the_most_and_all_together() {
        let task = |value| TaskReport {
            gauges: [("depth".to_owned(), value)].into(),
            ..TaskReport::default()
        };
        let (one, other) = (task(1.5), task(-2.0));
        let shown = gauges(&[&one, &other]);
        assert_eq!(shown["depth"], GaugeValues { min: -2.0, max: 1.5, sum: -0.5 });
    }

    #[test]
    fn a_histogram_without_values_is_left_out() {
        let mut known = Histogram::default();
        known.add_buckets([(10, 99), (500, 1)].into_iter());
        let of = [("size".to_owned(), known), ("none".to_owned(), Histogram::default())].into();
        let shown = histograms(&of);
        let expected = HistogramValues { count: 100, p50: 10, p95: 10, p99: 10, max: 500 };
        assert_eq!((shown.len(), shown["size"]), (1, expected));
    }
}
