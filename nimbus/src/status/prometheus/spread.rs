//! How latencies and values of the author's own are spread, as histograms: of whole topologies, and for
//! who asks by component, of which there may be many. Of tasks a worker's own page has them (`worker.metrics.listen`).

use daemon::exposition::{Edges, Spread, labels, with};

use super::Page;
use super::gather::{Kept, Told};
use crate::engine::counters::Packed;

impl Page<'_> {
    /// Writes the histograms of every topology that has measured something. Their names are not those
    /// of components, so that sums over both do not count twice.
    pub(super) fn spread_of_topologies(&mut self, topologies: &[Told]) {
        let times = |of: fn(&Kept) -> &Packed| {
            let sums = topologies
                .iter()
                .map(move |it| (labels([("topology", it.topology.name.as_str())]), of(&it.whole)));
            sums.filter(|(_, sum)| !sum.is_empty()).map(|(labels, sum)| (labels, spread(sum)))
        };
        self.page.histogram(
            "squall_topology_execute_seconds",
            "Time in execute of all components, by how many took how long.",
            &Edges::EXECUTE,
            times(|it| &it.execute),
        );
        self.page.histogram(
            "squall_topology_complete_seconds",
            "Time from emit to ack of all spouts, by how many took how long.",
            &Edges::COMPLETE,
            times(|it| &it.complete),
        );
    }

    /// Writes the histograms of every component that has measured something.
    pub(super) fn spread(&mut self, topologies: &[Told]) {
        let all = topologies.iter().flat_map(|Told { topology, components, .. }| {
            topology.components.iter().zip(components).map(|(component, spreads)| {
                let names = [("topology", topology.name.as_str()), ("component", &component.name)];
                (labels(names), spreads)
            })
        });
        let all: Vec<(String, &Kept)> = all.collect();
        let times = |of: fn(&Kept) -> &Packed| {
            let times = all.iter().map(move |(labels, spreads)| (labels.clone(), of(spreads)));
            times.filter(|(_, it)| !it.is_empty()).map(|(labels, it)| (labels, spread(it)))
        };
        self.page.histogram(
            "squall_execute_seconds",
            "Time in execute, by how many took how long.",
            &Edges::EXECUTE,
            times(|spreads| &spreads.execute),
        );
        self.page.histogram(
            "squall_complete_seconds",
            "Time from emit to ack, by how many took how long.",
            &Edges::COMPLETE,
            times(|spreads| &spreads.complete),
        );
        let own = all.iter().flat_map(|(labels, spreads)| {
            let named = spreads.own.iter();
            named.map(|(name, it)| (with(labels, "histogram", name), spread(it)))
        });
        let help = "Histograms of the author's own, by how many values are how large.";
        self.page.histogram("squall_task_values", help, &Edges::PLAIN, own);
    }
}

fn spread(histogram: &Packed) -> Spread<impl Iterator<Item = (u64, u64)>> {
    Spread { buckets: histogram.buckets(), sum: histogram.sum() }
}
