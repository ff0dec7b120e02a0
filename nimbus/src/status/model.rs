//! The status as plain data: these structures are the JSON documents.
//!
//! Times that end in `_ms` are milliseconds: since 1970 where something happened (`submitted_ms`,
//! `at_ms`, ...), else how long something lasted (`up_ms`, `uptime_ms`, `last_report_ms`).
//! Latencies are in µs, `null` where nothing was measured.

use std::collections::BTreeMap;

use proto::store::TopologyRecord;
use proto::supervisor::SupervisorReport;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::Engine;
use crate::engine::event::Now;
use crate::engine::findings::Finding;
use crate::engine::parallelism;

pub use super::cluster::{Cluster, Leader, Nimbus, Standby, cluster};
use super::letters;
pub use super::letters::DeadLetters;
pub use super::log_level::LogLevel;
pub use super::own::{GaugeValues, HistogramValues};
pub use super::pace::{Edge, Pace};
pub use super::topology::{Input, Output, TaskError, TaskValue, topology};
use super::topology::{reason, status_word};
pub use super::turned::Turned;
use super::turned::reported;

/// Reasons that are shown of what one process counts by reason.
const REASONS_MAX: usize = 16;

/// A supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Supervisor {
    /// Its id.
    pub id: String,
    /// `alive`, `silent`, `away` (its workers live) or `lost`; `unknown` to a nimbus that does not
    /// lead.
    pub status: &'static str,
    /// Its host.
    pub host: String,
    /// Its gRPC endpoint.
    pub address: String,
    /// Its slots.
    pub slots: u32,
    /// Slots that workers are assigned to.
    pub slots_used: usize,
    /// Its version.
    pub version: String,
    /// How long it has been up.
    pub up_ms: u64,
    /// It comes and goes: nothing new is placed there for a while.
    pub held_back: bool,
    /// Whom it turned away since it started.
    pub turned_away: Vec<Turned>,
    /// How long ago it reported; `null` if it has not reported to this nimbus yet.
    pub last_report_ms: Option<u64>,
    /// How it and its workers listen: `loopback`, `tls` or `insecure`; empty until it reports.
    pub security: String,
    /// Connections of it and its workers that one end refused, by reason.
    pub tls_refused: BTreeMap<String, u64>,
    /// Why changed TLS files are not in use there; empty if they are.
    pub tls_problem: String,
    /// What is in its slots, by its own word.
    pub workers: Vec<SlotUse>,
}

/// What is in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SlotUse {
    /// The topology's name (its id, if it is gone already).
    pub topology: String,
    /// The worker's number.
    pub worker: u32,
    /// The slot's number.
    pub slot: u32,
    /// What the slot is doing.
    pub state: String,
    /// The process; 0 if there is none.
    pub pid: u32,
    /// Where it listens; empty if it does not.
    pub address: String,
}

/// A topology in the list of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `active`, `inactive`, `rebalancing`, `quarantined`, `finished` or `killed`.
    pub status: &'static str,
    /// Why it is as it is; empty if there is nothing to say.
    pub reason: String,
    /// Workers that are assigned.
    pub workers: usize,
    /// Its executors.
    pub executors: usize,
    /// Its tasks.
    pub tasks: u32,
    /// When it was submitted.
    pub submitted_ms: u64,
    /// How long ago that was, or how long it ran until it finished.
    pub uptime_ms: u64,
    /// Dead letters that its supervisors keep.
    pub dead_letters: u64,
}

/// A topology in full.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Topology {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `active`, `inactive`, `rebalancing`, `quarantined`, `finished` or `killed`.
    pub status: &'static str,
    /// Why it is as it is; empty if there is nothing to say.
    pub reason: String,
    /// The generation of assignments in force; 0 if none is.
    pub generation: u64,
    /// When it was submitted.
    pub submitted_ms: u64,
    /// How long ago that was, or how long it ran until it finished.
    pub uptime_ms: u64,
    /// How many workers were asked for.
    pub workers_wanted: u32,
    /// Its settings, where they are not left at their default.
    pub config: BTreeMap<String, String>,
    /// Its workers, by number.
    pub workers: Vec<Worker>,
    /// Its components, in the order of its specification.
    pub components: Vec<Component>,
    /// All components together.
    pub totals: Totals,
    /// What is wrong, first what causes it.
    pub findings: Vec<Finding>,
    /// Its streams and who reads them.
    pub edges: Vec<Edge>,
    /// The dead letters that its supervisors keep.
    pub dead_letters: DeadLetters,
    /// What its workers log, where that was changed.
    pub log_level: Option<LogLevel>,
    /// The newest errors, newest first.
    pub errors: Vec<TaskError>,
    /// What its tasks left, by task.
    pub results: Vec<TaskValue>,
    /// Set if a nimbus answers that does not lead.
    pub standby: Option<Standby>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Worker {
    /// Its number.
    pub worker: u32,
    /// Its supervisor.
    pub supervisor: String,
    /// Its slot there.
    pub slot: u32,
    /// What the slot is doing; `assigned` until its supervisor says more.
    pub state: String,
    /// Its process; 0 if there is none.
    pub pid: u32,
    /// Where it listens; empty if it does not.
    pub address: String,
    /// Which incarnation it is: revision of its assignment, then restarts.
    pub epoch: String,
    /// How often it was restarted.
    pub restarts: u64,
    /// How its last incarnation ended; empty if this is the first.
    pub last_exit: String,
    /// When that was; 0 if this is the first.
    pub last_exit_ms: u64,
    /// The last lines of its log, if it keeps ending.
    pub last_words: String,
    /// Memory it uses.
    pub rss_bytes: u64,
    /// What of it waits in queues, frames and trees.
    pub held_bytes: u64,
    /// How much of that it may hold: the setting `worker.memory`.
    pub held_bytes_limit: u64,
    /// How long the oldest tuple waits in its mailboxes, outboxes and links.
    pub waiting_ms: u64,
    /// It reports to nimbus itself: its supervisor is away.
    pub direct: bool,
    /// Bytes of its log that were dropped since it started, by reason: `rate` (more than
    /// `worker.log.rate`), `disk` (no room, or read-only).
    pub log_dropped: BTreeMap<String, u64>,
    /// Which limits of its topology nobody holds it to, and why; empty if all are held.
    pub unheld: String,
    /// Where it serves metrics of its own (`worker.metrics.listen`); empty: nowhere.
    pub metrics_address: String,
    /// Why it does not although it is to; empty if all is well.
    pub metrics_problem: String,
    /// Whom it turned away since it started.
    pub turned_away: Vec<Turned>,
    /// The indices of its executors.
    pub executors: Vec<u32>,
}

/// A component.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// `spout` or `bolt`.
    pub kind: &'static str,
    /// Its executors.
    pub executors: usize,
    /// Its tasks.
    pub tasks: u32,
    /// Tuples emitted.
    pub emitted: u64,
    /// Tuples executed.
    pub executed: u64,
    /// Tuples acked; for a spout, tuple trees that ended well.
    pub acked: u64,
    /// Tuples (for a spout, trees) that failed, by reason.
    pub failed: BTreeMap<String, u64>,
    /// All of those.
    pub failed_total: u64,
    /// Open tuple trees, or tuples held.
    pub pending: u64,
    /// Everything else that is counted.
    pub counters: BTreeMap<String, u64>,
    /// Gauges of the author's own, over its tasks.
    pub gauges: BTreeMap<String, GaugeValues>,
    /// Histograms of the author's own, its tasks together, in the author's unit.
    pub histograms: BTreeMap<String, HistogramValues>,
    /// Time in `execute`: half of the calls took less.
    pub execute_p50_us: Option<f64>,
    /// Time in `execute`: 99 of 100 calls took less.
    pub execute_p99_us: Option<f64>,
    /// Time from emit to ack, of a spout: half took less.
    pub complete_p50_us: Option<f64>,
    /// Time from emit to ack, of a spout: 99 of 100 took less.
    pub complete_p99_us: Option<f64>,
    /// Time in `execute`: 95 of 100 calls took less.
    pub execute_p95_us: Option<f64>,
    /// Time from emit to ack, of a spout: 95 of 100 took less.
    pub complete_p95_us: Option<f64>,
    /// How fast it is, and what it does with its time.
    #[serde(flatten)]
    pub pace: Pace,
    /// How full the fullest mailbox of its tasks is, from 0 to 1.
    pub queue_fill: f64,
    /// Dead letters of it that supervisors keep.
    pub dead_letters: u64,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// What it emits.
    pub outputs: Vec<Output>,
}

/// All components together; acked, failed and pending are tuple trees, as the spouts count them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Totals {
    /// Tuples emitted.
    pub emitted: u64,
    /// Tuples executed.
    pub executed: u64,
    /// Tuple trees that ended well.
    pub acked: u64,
    /// Tuple trees that failed.
    pub failed: u64,
    /// Tuple trees that are open.
    pub pending: u64,
}

/// Describes every supervisor.
#[must_use]
pub fn supervisors(engine: &Engine, now: Now) -> Vec<Supervisor> {
    let view = engine.view();
    let topology_name = |id: &str| {
        view.topologies.get(id).map_or_else(|| id.to_owned(), |known| known.record.name.clone())
    };
    let describe = |(id, record): (&String, &proto::store::SupervisorRecord)| {
        let latest = engine.reports().supervisors.get(id);
        let slots = latest.into_iter().flat_map(|latest| &latest.report.slots);
        let in_use = slots.filter(|slot| !slot.topology.is_empty()).map(|slot| SlotUse {
            topology: topology_name(&slot.topology),
            worker: slot.worker,
            slot: slot.slot,
            state: slot.state.clone(),
            pid: slot.pid,
            address: slot.address.clone(),
        });
        let here = view.all_in_force().filter(|held| held.record.supervisor == *id);
        Supervisor {
            id: id.clone(),
            status: if engine.is_leading() { engine.verdict(id, now).word() } else { "unknown" },
            host: record.host.clone(),
            address: record.address.clone(),
            slots: record.slots,
            slots_used: here.count(),
            version: record.version.clone(),
            up_ms: now.wall_ms.saturating_sub(record.started_ms),
            held_back: engine.is_held_back(id, now),
            turned_away: latest.map_or_else(Vec::new, |it| reported(&it.report.turned_away)),
            last_report_ms: latest.map(|latest| {
                let silence = now.at.saturating_duration_since(latest.at).as_millis();
                u64::try_from(silence).unwrap_or(u64::MAX)
            }),
            security: latest.map(|latest| latest.report.security.clone()).unwrap_or_default(),
            tls_refused: latest.map(|latest| refusals(&latest.report)).unwrap_or_default(),
            tls_problem: latest.map(|latest| latest.report.tls_problem.clone()).unwrap_or_default(),
            workers: in_use.collect(),
        }
    };
    engine.supervisors().iter().map(describe).collect()
}

/// What a supervisor says of refused connections.
fn refusals(report: &SupervisorReport) -> BTreeMap<String, u64> {
    few(&report.tls_refused)
}

/// Counts by reason, as somebody else tells them; there are few reasons, and no more are believed.
pub(super) fn few(told: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let reasons = told.iter().take(REASONS_MAX);
    reasons.map(|(reason, count)| (reason.chars().take(32).collect(), *count)).collect()
}

/// Lists every topology.
#[must_use]
pub fn topologies(engine: &Engine, now: Now) -> Vec<Summary> {
    let summary = |record: &TopologyRecord| {
        let spec = record.spec.clone().unwrap_or_default();
        Summary {
            id: record.id.clone(),
            name: record.name.clone(),
            status: status_word(engine, record),
            reason: reason(engine, record),
            workers: engine.view().in_force(&record.id).count(),
            executors: parallelism::executors(&spec, &record.executors).len(),
            tasks: spec.components.iter().map(|component| component.tasks).sum(),
            submitted_ms: record.submitted_ms,
            uptime_ms: uptime_ms(record, now),
            dead_letters: letters::of(engine, &record.id).kept,
        }
    };
    engine.view().topologies.values().map(|topology| summary(&topology.record)).collect()
}

pub(super) fn uptime_ms(record: &TopologyRecord, now: Now) -> u64 {
    let end = if record.finished_ms > 0 { record.finished_ms } else { now.wall_ms };
    end.saturating_sub(record.submitted_ms)
}
