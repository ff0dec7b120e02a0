//! The status documents of a nimbus, as far as this client reads them.
//!
//! Everything has a default: a field that a nimbus of another version does not send is empty, not
//! an error. What is not known here still reaches `-o json`, which passes documents through.

use std::collections::BTreeMap;

use serde::Deserialize;

mod log_level;
mod pace;
mod traces;

pub(crate) use log_level::LogLevelStatus;
pub(crate) use pace::{EventStatus, EventsStatus, FindingStatus, RatesStatus, TimeStatus};
pub(crate) use traces::{HopStatus, TracesStatus, TreeStatus};

/// `cluster`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClusterStatus {
    /// Name of the cluster.
    pub(crate) cluster: String,
    /// Version of the nimbus that answered.
    pub(crate) version: String,
    /// Its clock, in milliseconds since 1970; 0 if it does not say.
    pub(crate) now_ms: u64,
    /// Who leads.
    pub(crate) leader: Option<Leader>,
    /// How many supervisors are there.
    pub(crate) supervisors: u32,
    /// How many workers they could run.
    pub(crate) slots: u32,
    /// How many they do run.
    pub(crate) slots_used: u32,
    /// How many topologies there are.
    pub(crate) topologies: u32,
    /// "ok", or what is wrong with the coordination store.
    pub(crate) store: String,
    /// Whose reports this nimbus did not take.
    pub(crate) turned_away: Vec<TurnedStatus>,
    /// The nimbuses that are up.
    pub(crate) nimbuses: Vec<NimbusStatus>,
    /// What was refused because who sent it was out of date, by kind.
    pub(crate) refused: BTreeMap<String, u64>,
    /// "loopback", "tls" or "insecure".
    pub(crate) security: String,
    /// Connections that one end refused, by reason.
    pub(crate) tls_refused: BTreeMap<String, u64>,
    /// Why changed TLS files are not in use.
    pub(crate) tls_problem: String,
}

/// A nimbus that is up.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NimbusStatus {
    /// Its name.
    pub(crate) id: String,
    /// Whether it leads.
    pub(crate) leads: bool,
    /// Its gRPC address.
    pub(crate) address: String,
    /// Its status endpoint.
    pub(crate) http: String,
    /// Its version.
    pub(crate) version: String,
    /// How many binaries it holds.
    pub(crate) binaries: usize,
}

/// The nimbus that leads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Leader {
    /// Its name.
    pub(crate) id: String,
    /// Its gRPC address.
    pub(crate) address: String,
    /// Its status endpoint.
    pub(crate) http: String,
}

/// One of `supervisors`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SupervisorStatus {
    /// Its name.
    pub(crate) id: String,
    /// "alive", "silent", "away" (its workers live) or "lost".
    pub(crate) status: String,
    /// Its machine.
    pub(crate) host: String,
    /// Its version.
    pub(crate) version: String,
    /// Its gRPC address.
    pub(crate) address: String,
    /// How many workers it takes.
    pub(crate) slots: u32,
    /// How many it runs.
    pub(crate) slots_used: u32,
    /// How long it has been up.
    pub(crate) up_ms: u64,
    /// "loopback", "tls" or "insecure".
    pub(crate) security: String,
    /// How long ago it reported.
    pub(crate) last_report_ms: Option<u64>,
    /// It comes and goes: nothing new is placed there for a while.
    pub(crate) held_back: bool,
    /// Whom it turned away.
    pub(crate) turned_away: Vec<TurnedStatus>,
}

/// Who was turned away by somebody.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TurnedStatus {
    /// Who.
    pub(crate) who: String,
    /// The incarnation it named last.
    pub(crate) epoch: String,
    /// "retired", "not-me", ...
    pub(crate) why: String,
    /// How often.
    pub(crate) count: u64,
}

/// One of `topologies`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TopologySummary {
    /// Its id: another topology of the same name has another.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// "active", "inactive", ...
    pub(crate) status: String,
    /// Why it is in that status.
    pub(crate) reason: String,
    /// How many workers it has.
    pub(crate) workers: u32,
    /// How many executors.
    pub(crate) executors: u32,
    /// How many tasks.
    pub(crate) tasks: u32,
    /// Since its submission.
    pub(crate) uptime_ms: u64,
    /// Dead letters that its supervisors keep.
    pub(crate) dead_letters: u64,
}

/// `topologies/NAME`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TopologyDetail {
    /// Its id: another topology of the same name has another.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// "active", "inactive", ...
    pub(crate) status: String,
    /// Why it is in that status.
    pub(crate) reason: String,
    /// Generation of its assignment.
    pub(crate) generation: u64,
    /// How many workers were asked for.
    pub(crate) workers_wanted: u32,
    /// What is wrong, the gravest first.
    pub(crate) findings: Vec<FindingStatus>,
    /// How it was configured.
    pub(crate) config: BTreeMap<String, String>,
    /// Its workers.
    pub(crate) workers: Vec<WorkerStatus>,
    /// Its components.
    pub(crate) components: Vec<ComponentStatus>,
    /// Sums over its components.
    pub(crate) totals: Totals,
    /// The dead letters that its supervisors keep.
    pub(crate) dead_letters: LettersStatus,
    /// What its workers log, where that was changed.
    pub(crate) log_level: Option<LogLevelStatus>,
    /// The newest errors.
    pub(crate) errors: Vec<ErrorStatus>,
    /// What its tasks left at the end.
    pub(crate) results: Vec<ResultStatus>,
}

/// Dead letters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LettersStatus {
    /// How many there are.
    pub(crate) kept: u64,
    /// How many of them are being replayed.
    pub(crate) replaying: u64,
    /// How often there was no room for one.
    pub(crate) refused: u64,
}

/// One worker of a topology.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WorkerStatus {
    /// Its number in the topology.
    pub(crate) worker: u32,
    /// The supervisor that runs it.
    pub(crate) supervisor: String,
    /// Its slot there.
    pub(crate) slot: u32,
    /// The indices of its executors.
    pub(crate) executors: Vec<u32>,
    /// "fetching", "starting", "running", ...
    pub(crate) state: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Where it takes tuples.
    pub(crate) address: String,
    /// Which incarnation it is.
    pub(crate) epoch: String,
    /// How often it was restarted.
    pub(crate) restarts: u64,
    /// How its last incarnation ended.
    pub(crate) last_exit: String,
    /// The last lines of its log, if it keeps ending.
    pub(crate) last_words: String,
    /// Its memory.
    pub(crate) rss_bytes: u64,
    /// What of it waits in queues, frames and trees.
    pub(crate) held_bytes: u64,
    /// How much of that there may be.
    pub(crate) held_bytes_limit: u64,
    /// Bytes of its log that were dropped, by reason.
    pub(crate) log_dropped: BTreeMap<String, u64>,
    /// Which limits nobody holds it to, and why.
    pub(crate) unheld: String,
    /// Where it serves metrics of its own; empty: nowhere.
    pub(crate) metrics_address: String,
    /// Why it does not although it is to.
    pub(crate) metrics_problem: String,
    /// It reports to nimbus itself, because its supervisor is away.
    pub(crate) direct: bool,
    /// Whom it turned away.
    pub(crate) turned_away: Vec<TurnedStatus>,
}

/// One component of a topology.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ComponentStatus {
    /// Its name.
    pub(crate) name: String,
    /// "spout" or "bolt".
    pub(crate) kind: String,
    /// How many executors it has.
    pub(crate) executors: u32,
    /// How many tasks.
    pub(crate) tasks: u32,
    /// Tuples it emitted.
    pub(crate) emitted: u64,
    /// Tuples it executed.
    pub(crate) executed: u64,
    /// Tuples it acked; for a spout: that were acked.
    pub(crate) acked: u64,
    /// Failures by reason.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Failures of all reasons.
    pub(crate) failed_total: u64,
    /// Trees that are open (spouts).
    pub(crate) pending: u64,
    /// Whatever else it counts.
    pub(crate) counters: BTreeMap<String, u64>,
    /// Half of the calls take at most this long.
    pub(crate) execute_p50_us: Option<f64>,
    /// Nearly all calls take at most this long.
    pub(crate) execute_p99_us: Option<f64>,
    /// Half of the trees take at most this long.
    pub(crate) complete_p50_us: Option<f64>,
    /// Nearly all trees take at most this long.
    pub(crate) complete_p99_us: Option<f64>,
    /// How full its queues are, from 0 to 1.
    pub(crate) queue_fill: f64,
    /// Tuples a second, over the last ten.
    pub(crate) rates_10s: RatesStatus,
    /// Where the time of its executors went.
    pub(crate) time: Option<TimeStatus>,
    /// The share of its time that its busiest executor was executing.
    pub(crate) capacity: Option<f64>,
}

/// Sums over the components of a topology.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    /// Tuples emitted.
    pub(crate) emitted: u64,
    /// Spout tuples acked.
    pub(crate) acked: u64,
    /// Spout tuples failed.
    pub(crate) failed: u64,
    /// Trees that are open.
    pub(crate) pending: u64,
}

/// One error of a topology.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorStatus {
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// In which component.
    pub(crate) component: String,
    /// In which task.
    pub(crate) task: u32,
    /// In which worker.
    pub(crate) worker: u32,
    /// "error", "panic", ...
    pub(crate) reason: String,
    /// What it said.
    pub(crate) text: String,
}

/// What one task left at the end.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ResultStatus {
    /// The task.
    pub(crate) task: u32,
    /// Its component.
    pub(crate) component: String,
    /// What it left.
    pub(crate) value: serde_json::Value,
}
