//! Metrics of the author's own, as the status shows them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::counters::Histogram;
use crate::engine::reports::work::{Gauge, Part};

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
pub(super) fn gauges(live: &[&Part]) -> BTreeMap<String, GaugeValues> {
    let mut gauges: BTreeMap<&str, Gauge> = BTreeMap::new();
    for (name, gauge) in live.iter().flat_map(|part| &part.gauges) {
        let known = gauges.get(&**name).map_or(*gauge, |known| known.with(*gauge));
        gauges.insert(name, known);
    }
    let shown = |(name, it): (&str, Gauge)| {
        (name.to_owned(), GaugeValues { min: it.min, max: it.max, sum: it.sum })
    };
    gauges.into_iter().map(shown).collect()
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
    fn a_histogram_without_values_is_left_out() {
        let mut known = Histogram::default();
        known.add_buckets([(10, 99), (500, 1)].into_iter());
        let of = [("size".to_owned(), known), ("none".to_owned(), Histogram::default())].into();
        let shown = histograms(&of);
        let expected = HistogramValues { count: 100, p50: 10, p95: 10, p99: 10, max: 500 };
        assert_eq!((shown.len(), shown["size"]), (1, expected));
    }
}
