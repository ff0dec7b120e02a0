//! What is wrong, and how hard components work, as metrics.

use std::collections::BTreeMap;

use daemon::exposition::{labels, with};

use super::{Page, each};
use crate::engine::findings::{Finding, Severity};
use crate::status::model::{Component, Topology};
use crate::status::pace::Time;

impl Page<'_> {
    /// How many executors there are and what they do with their time, over the last ten seconds.
    pub(super) fn work(&mut self, topologies: &[&Topology]) {
        let executors = each(topologies).map(|(labels, it)| (labels, it.executors));
        self.gauge("squall_component_executors", "Executors of the component.", executors);
        let of = |component: &Component| component.pace.time;
        let help = "What part of their time its executors spent so, 0 to 1: the mean.";
        self.gauge("squall_component_time_ratio", help, times(topologies, of));
        let of = |component: &Component| component.pace.busiest;
        let help = "The same of its busiest executor.";
        self.gauge("squall_component_busiest_time_ratio", help, times(topologies, of));
        let capacity =
            each(topologies).filter_map(|(labels, it)| Some((labels, it.pace.capacity?)));
        let help = "What part of its time its busiest executor was executing, 0 to 1.";
        self.gauge("squall_component_capacity", help, capacity);
        let edges = topologies.iter().flat_map(|topology| {
            topology.edges.iter().filter_map(|edge| {
                let names = [
                    ("topology", topology.name.as_str()),
                    ("from", &edge.from),
                    ("stream", &edge.stream),
                    ("to", &edge.to),
                ];
                Some((labels(names), edge.rate?))
            })
        });
        let help = "Tuples a second that go this way, each copy counted.";
        self.gauge("squall_edge_tuples_per_second", help, edges);
    }

    /// How much is wrong: of each topology, and (with an empty name) of the cluster and all of them.
    pub(super) fn findings(&mut self, cluster: &[Finding], topologies: &[&Topology]) {
        let mut samples = Vec::new();
        let all = topologies.iter().map(|it| (it.name.as_str(), &it.findings[..]));
        for (topology, findings) in [("", cluster)].into_iter().chain(all) {
            // All are there, so that an alarm sees it end.
            let severities = [Severity::Critical, Severity::Warning, Severity::Info];
            for (severity, word) in severities.into_iter().zip(["critical", "warning", "info"]) {
                let count = findings.iter().filter(|it| it.severity == severity).count();
                samples.push((labels([("topology", topology), ("severity", word)]), count));
            }
        }
        self.gauge("squall_findings", "What is wrong, as `squall describe` says.", samples);
        let mut codes: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for topology in topologies {
            for finding in &topology.findings {
                *codes.entry((&topology.name, finding.code)).or_default() += 1;
            }
        }
        let codes = codes.into_iter().map(|((topology, code), count)| {
            (labels([("topology", topology), ("code", code)]), count)
        });
        let help = "The same by what it is.";
        self.gauge("squall_findings_by_code", help, codes);
    }
}

fn times(
    topologies: &[&Topology],
    of: fn(&Component) -> Option<Time>,
) -> impl Iterator<Item = (String, f64)> {
    each(topologies).flat_map(move |(labels, component)| {
        let parts = of(component).map(|time| {
            let Time { busy, back_pressured, throttled, idle } = time;
            [
                ("busy", busy),
                ("back-pressured", back_pressured),
                ("throttled", throttled),
                ("idle", idle),
            ]
        });
        let parts = parts.into_iter().flatten();
        parts.map(move |(state, ms)| (with(&labels, "state", state), ms / 1_000.0))
    })
}
