//! The status as metrics, in the text format of Prometheus, made of the same documents.

mod gather;
mod insight;
mod spread;

use std::fmt::Display;
use std::io::{self, Write};

use daemon::exposition::{self, labels, with};
use daemon::listen::Security;
use daemon::tls::Tls;

use super::model::{self, Component, Supervisor, Topology};

pub(super) use gather::{Gathered, Histograms, Wanted, gather};
use gather::{Led, Own};

/// Writes the page there, a part at a time.
///
/// # Errors
///
/// Those of where it goes.
pub(super) fn write(gathered: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { page: exposition::Page::new(to) };
    page.refusals(&gathered.security);
    page.own(&gathered.own);
    if let Some(led) = &gathered.led {
        page.led(led, gathered.wanted.histograms);
    }
    page.page.end()
}

/// The page as it is written, one method a group of families.
struct Page<'a> {
    page: exposition::Page<'a>,
}

impl Page<'_> {
    /// What a leader knows.
    fn led(&mut self, led: &Led, histograms: Histograms) {
        let Led { cluster, supervisors, topologies: told } = led;
        let alone = |value| [(labels([]), value)];
        self.gauge("squall_supervisors", "Supervisors not lost.", alone(cluster.supervisors));
        self.gauge("squall_slots", "Slots of all supervisors.", alone(cluster.slots as usize));
        self.gauge("squall_slots_used", "Slots with a worker.", alone(cluster.slots_used));
        self.gauge("squall_topologies", "Topologies.", alone(cluster.topologies));
        let topologies: Vec<&Topology> = told.iter().map(|it| &it.topology).collect();
        self.supervisors(supervisors);
        let held_back = supervisors.iter().filter(|it| it.held_back).count();
        let help = "Supervisors that come and go, and get nothing new for a while.";
        self.gauge("squall_supervisors_held_back", help, alone(held_back));
        self.turned_away(cluster, supervisors, &topologies);
        self.topologies(&topologies);
        self.components(&topologies);
        if histograms != Histograms::None {
            self.spread_of_topologies(told);
        }
        if histograms == Histograms::All {
            self.spread(told);
        }
        self.work(&topologies);
        self.findings(&cluster.findings, &topologies);
    }

    fn gauge<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        self.page.gauge(name, help, samples);
    }

    fn counter<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        self.page.counter(name, help, samples);
    }

    /// What this nimbus knows of itself.
    fn own(&mut self, own: &Own) {
        let alone = |value: bool| [(labels([]), u8::from(value))];
        self.gauge("squall_nimbus_leading", "Whether this nimbus leads.", alone(own.leading));
        self.gauge("squall_store_up", "Whether the store answers.", alone(own.store_up));
        let help = "Whether the store takes no writes.";
        self.gauge("squall_store_read_only", help, alone(own.read_only));
        let help = "Whether a write is on its way to the store.";
        self.gauge("squall_store_writing", help, alone(own.writing));
        let kinds = own.refused.iter();
        let kinds = kinds.map(|(what, count)| (labels([("what", what.as_str())]), *count));
        self.counter("squall_refused_total", "What was refused as out of date.", kinds);
        let held = [(labels([]), own.binaries_held)];
        self.gauge("squall_binaries_held", "Binaries this nimbus holds.", held);
    }

    /// Connections that this nimbus refused, or that refused it; none without TLS.
    fn refusals(&mut self, security: &Security) {
        let refusals = security.tls().map(Tls::refusals).unwrap_or_default();
        self.counter(
            "squall_nimbus_tls_refused_total",
            "Connections of this nimbus that one end refused.",
            refusals.iter().map(|(reason, count)| (labels([("reason", reason)]), count)),
        );
        let insecure = u8::from(security.name() == "insecure");
        let help = "Whether this nimbus lets in everybody who can reach it.";
        self.gauge("squall_nimbus_insecure", help, [(labels([]), insecure)]);
    }

    fn supervisors(&mut self, supervisors: &[Supervisor]) {
        let of = |known: &Supervisor| labels([("supervisor", known.id.as_str())]);
        let refusals = supervisors.iter().flat_map(|known| {
            let reasons = known.tls_refused.iter();
            reasons.map(move |(reason, count)| (with(&of(known), "reason", reason), *count))
        });
        self.counter(
            "squall_supervisor_tls_refused_total",
            "Connections of the supervisor and its workers that one end refused.",
            refusals,
        );
        self.gauge(
            "squall_supervisor_insecure",
            "Whether the supervisor and its workers let in everybody who can reach them.",
            supervisors.iter().map(|known| (of(known), u8::from(known.security == "insecure"))),
        );
    }

    fn topologies(&mut self, topologies: &[&Topology]) {
        let of = |topology: &Topology| labels([("topology", topology.name.as_str())]);
        self.gauge(
            "squall_topology_active",
            "Whether the topology is active.",
            topologies.iter().map(|known| (of(known), u8::from(known.status == "active"))),
        );
        self.gauge(
            "squall_topology_workers",
            "Workers assigned.",
            topologies.iter().map(|known| (of(known), known.workers.len())),
        );
        self.counter(
            "squall_dead_letters_refused_total",
            "Dead letters that a supervisor had no room for.",
            topologies.iter().map(|known| (of(known), known.dead_letters.refused)),
        );
        let workers = || {
            topologies.iter().flat_map(|known| {
                known.workers.iter().map(|worker| {
                    let number = worker.worker.to_string();
                    let place = [("topology", known.name.as_str()), ("worker", number.as_str())];
                    (labels(place), worker)
                })
            })
        };
        self.counter(
            "squall_worker_restarts_total",
            "Restarts of the worker since it was assigned.",
            workers().map(|(labels, worker)| (labels, worker.restarts)),
        );
        self.gauge(
            "squall_worker_rss_bytes",
            "Memory the worker uses.",
            workers().map(|(labels, worker)| (labels, worker.rss_bytes)),
        );
        self.gauge(
            "squall_worker_held_bytes",
            "What waits in queues, frames and trees of the worker.",
            workers().map(|(labels, worker)| (labels, worker.held_bytes)),
        );
        self.gauge(
            "squall_worker_held_bytes_limit",
            "How much may wait in the worker.",
            workers().map(|(labels, worker)| (labels, worker.held_bytes_limit)),
        );
        let dropped = workers().flat_map(|(labels, worker)| {
            let dropped = worker.log_dropped.iter();
            dropped.map(move |(reason, bytes)| (with(&labels, "reason", reason), *bytes))
        });
        let help = "What was dropped of the log of the worker.";
        self.counter("squall_worker_log_dropped_bytes_total", help, dropped);
    }

    /// Whoever turned somebody away, in one family: it should stand still.
    fn turned_away(
        &mut self,
        cluster: &model::Cluster,
        supervisors: &[Supervisor],
        topologies: &[&Topology],
    ) {
        let mut samples = Vec::new();
        let mut add = |by: &str, topology: &str, turned: &[model::Turned]| {
            for it in turned {
                let names = [("by", by), ("topology", topology), ("who", &it.who)];
                samples.push((with(&labels(names), "reason", &it.why), it.count));
            }
        };
        add("nimbus", "", &cluster.turned_away);
        for supervisor in supervisors {
            add(&format!("supervisor {}", supervisor.id), "", &supervisor.turned_away);
        }
        for (topology, worker) in
            topologies.iter().flat_map(|it| it.workers.iter().map(move |worker| (it, worker)))
        {
            let by = format!("worker {}", worker.worker);
            add(&by, &topology.name, &worker.turned_away);
        }
        self.counter("squall_turned_away_total", "Peers and reports not let in.", samples);
    }

    fn components(&mut self, topologies: &[&Topology]) {
        let all = |of: fn(&Component) -> u64| {
            each(topologies).map(move |(labels, component)| (labels, of(component)))
        };
        let emitted = all(|component| component.emitted);
        self.counter("squall_emitted_total", "Tuples emitted.", emitted);
        let executed = all(|component| component.executed);
        self.counter("squall_executed_total", "Tuples executed.", executed);
        let acked = all(|component| component.acked);
        self.counter("squall_acked_total", "Tuples, or trees of a spout, acked.", acked);
        let failed = each(topologies).flat_map(|(labels, component)| {
            let reasons = component.failed.iter();
            reasons.map(move |(reason, count)| (with(&labels, "reason", reason), *count))
        });
        self.counter("squall_failed_total", "Tuples, or trees of a spout, failed.", failed);
        let counters = each(topologies).flat_map(|(labels, component)| {
            let counters = component.counters.iter();
            counters.map(move |(name, count)| (with(&labels, "counter", name), *count))
        });
        self.counter("squall_task_counted_total", "What else tasks count.", counters);
        let gauges = each(topologies).flat_map(|(labels, component)| {
            component.gauges.iter().flat_map(move |(name, it)| {
                let labels = with(&labels, "gauge", name);
                let values = [("min", it.min), ("max", it.max), ("sum", it.sum)];
                values.map(|(of, value)| (with(&labels, "of", of), value))
            })
        });
        self.gauge("squall_task_value", "Gauges of the author's own, over tasks.", gauges);
        let spread = each(topologies).flat_map(|(labels, component)| {
            component.histograms.iter().flat_map(move |(name, it)| {
                let labels = with(&labels, "histogram", name);
                let values = [("0.5", it.p50), ("0.95", it.p95), ("0.99", it.p99), ("1", it.max)];
                values.map(|(quantile, value)| (with(&labels, "quantile", quantile), value))
            })
        });
        self.page.quantiles("squall_task_spread", "Histograms of the author's own.", spread);
        let pending = all(|component| component.pending);
        self.gauge("squall_pending", "Open tuple trees, or tuples held.", pending);
        let letters = all(|component| component.dead_letters);
        self.gauge("squall_dead_letters", "Dead letters that supervisors keep.", letters);
        let fill = each(topologies).map(|(labels, component)| (labels, component.queue_fill));
        self.gauge("squall_queue_fill", "How full the fullest mailbox is, 0 to 1.", fill);
        self.page.quantiles(
            "squall_execute_latency_seconds",
            "Time in execute.",
            quantiles(topologies, |c| [c.execute_p50_us, c.execute_p95_us, c.execute_p99_us]),
        );
        self.page.quantiles(
            "squall_complete_latency_seconds",
            "Time from emit to ack.",
            quantiles(topologies, |c| [c.complete_p50_us, c.complete_p95_us, c.complete_p99_us]),
        );
    }
}

/// Lists every component of every topology, with its labels.
fn each<'a>(topologies: &[&'a Topology]) -> impl Iterator<Item = (String, &'a Component)> {
    topologies.iter().flat_map(|topology| {
        topology.components.iter().map(|component| {
            let names = [("topology", topology.name.as_str()), ("component", &component.name)];
            (labels(names), component)
        })
    })
}

fn quantiles(
    topologies: &[&Topology],
    of: fn(&Component) -> [Option<f64>; 3],
) -> impl Iterator<Item = (String, f64)> {
    each(topologies).flat_map(move |(labels, component)| {
        let quantiles = ["0.5", "0.95", "0.99"].into_iter().zip(of(component));
        quantiles.filter_map(move |(quantile, latency)| {
            Some((with(&labels, "quantile", quantile), latency? / 1e6))
        })
    })
}
