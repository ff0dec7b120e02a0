//! How latencies and values of the author's own are spread, as histograms: by component, since tasks are
//! many. Of tasks a worker's own page has them (`worker.metrics.listen`).

use daemon::exposition::{Edges, Spread, labels, with};

use super::Page;
use crate::engine::Engine;
use crate::engine::counters::{Histogram, Totals};
use crate::status::topology::counted;

impl Page {
    /// Writes the histograms of every component that has measured something.
    pub(super) fn spread(&mut self, engine: &Engine) {
        let mut all: Vec<(String, Totals)> = Vec::new();
        for (id, told) in &engine.reports().topologies {
            let Some(known) = engine.view().topologies.get(id) else { continue };
            let counted = counted(told).into_iter().map(|(component, (totals, _))| {
                let names = [("topology", known.record.name.as_str()), ("component", component)];
                (labels(names), totals)
            });
            all.extend(counted);
        }
        let times = |of: fn(&Totals) -> &Histogram| {
            let times = all.iter().map(move |(labels, totals)| (labels.clone(), of(totals)));
            times.filter(|(_, it)| it.count() > 0).map(|(labels, it)| (labels, spread(it)))
        };
        self.page.histogram(
            "squall_execute_seconds",
            "Time in execute, by how many took how long.",
            &Edges::EXECUTE,
            times(|totals| &totals.execute),
        );
        self.page.histogram(
            "squall_complete_seconds",
            "Time from emit to ack, by how many took how long.",
            &Edges::COMPLETE,
            times(|totals| &totals.complete),
        );
        let own = all.iter().flat_map(|(labels, totals)| {
            let named = totals.histograms.iter();
            named.map(|(name, it)| (with(labels, "histogram", name), spread(it)))
        });
        let help = "Histograms of the author's own, by how many values are how large.";
        self.page.histogram("squall_task_values", help, &Edges::PLAIN, own);
    }
}

fn spread(histogram: &Histogram) -> Spread<impl Iterator<Item = (u64, u64)>> {
    Spread { buckets: histogram.buckets(), sum: histogram.sum() }
}
