//! One topology in full, put together from the store and from what its workers report.

use std::collections::BTreeMap;

use proto::store::{AssignmentRecord, ComponentSpec, TaskResult, TopologyRecord};
use proto::supervisor::SlotReport;
use serde::Serialize;
use utoipa::ToSchema;

use super::cluster::standby;
use super::model::{Component, Topology, Totals, Worker, few, uptime_ms};
use super::pace::{Pace, edges};
use super::turned::reported;
use super::{letters, log_level, own};
use crate::engine::Engine;
use crate::engine::command::Refusal;
use crate::engine::counters::Histogram;
use crate::engine::event::Now;
use crate::engine::figures::{self, Figures};
use crate::engine::reports::Told;
use crate::engine::reports::work::Part;
use crate::engine::view::{self, Versioned, epoch_revision};
use crate::engine::{counters, findings, lifecycle, parallelism};

/// A stream that a component reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Input {
    /// The component that emits it.
    pub component: String,
    /// The stream.
    pub stream: String,
    /// How it is split among the tasks.
    pub grouping: String,
}

/// A stream that a component emits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Output {
    /// The stream.
    pub stream: String,
    /// What its tuples are called.
    pub tuple: String,
    /// The names of their fields.
    pub fields: Vec<String>,
}

/// Something that went wrong in a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TaskError {
    /// When.
    pub at_ms: u64,
    /// In which component.
    pub component: String,
    /// In which task.
    pub task: u32,
    /// In which worker.
    pub worker: u32,
    /// The kind of failure.
    pub reason: String,
    /// What it said.
    pub text: String,
}

/// What a task left.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TaskValue {
    /// The task.
    pub task: u32,
    /// Its component.
    pub component: String,
    /// What it left.
    pub value: serde_json::Value,
}

/// Describes a topology.
///
/// # Errors
///
/// That there is none of this name.
pub fn topology(engine: &Engine, name: &str, now: Now) -> Result<Topology, Refusal> {
    measured(engine, name, now).map(|(topology, _)| topology)
}

/// How what a component measured is spread.
#[derive(Clone, Debug, Default)]
pub(super) struct Spreads {
    /// Time in `execute`.
    pub(super) execute: Histogram,
    /// Time from emit to ack.
    pub(super) complete: Histogram,
    /// Values of the author's own, by name.
    pub(super) own: BTreeMap<String, Histogram>,
}

/// Describes a topology, and how what its components measured is spread, in their order.
pub(super) fn measured(
    engine: &Engine,
    name: &str,
    now: Now,
) -> Result<(Topology, Vec<Spreads>), Refusal> {
    let record = &engine.topology("describe", name)?.record;
    let nothing = Told::default();
    let told = engine.reports().topologies.get(&record.id).unwrap_or(&nothing);
    let workers = engine.view().in_force(&record.id).map(|held| worker(engine, held));
    let figures = figures::gather(engine, record, now);
    let letters = letters::by_component(engine, &record.id);
    let components = components(record, told, (&figures, &letters));
    let (components, spreads): (Vec<Component>, Vec<Spreads>) = components.into_iter().unzip();
    let spouts = || components.iter().filter(|component| component.kind == "spout");
    let totals = Totals {
        emitted: components.iter().map(|component| component.emitted).sum(),
        executed: components.iter().map(|component| component.executed).sum(),
        acked: spouts().map(|spout| spout.acked).sum(),
        failed: spouts().map(|spout| spout.failed_total).sum(),
        pending: spouts().map(|spout| spout.pending).sum(),
    };
    let generation = engine.view().assigned.get(&record.id);
    let topology = Topology {
        id: record.id.clone(),
        name: record.name.clone(),
        status: status_word(engine, record),
        reason: reason(engine, record),
        generation: generation.map_or(0, |assigned| assigned.generation),
        submitted_ms: record.submitted_ms,
        uptime_ms: uptime_ms(record, now),
        workers_wanted: record.workers,
        config: record.spec.as_ref().map(|spec| spec.config.clone()).unwrap_or_default(),
        workers: workers.collect(),
        components,
        totals,
        findings: if engine.is_leading() { findings::of_topology(&figures) } else { Vec::new() },
        edges: edges(&figures),
        dead_letters: letters::of(engine, &record.id),
        log_level: log_level::of(record, now),
        errors: errors(told),
        results: results(engine, &record.id, told),
        standby: standby(engine),
    };
    Ok((topology, spreads))
}

/// What the status of a topology is called.
pub(super) fn status_word(engine: &Engine, record: &TopologyRecord) -> &'static str {
    match engine.quarantine(record) {
        Some(_) => "quarantined",
        None => lifecycle::word(view::status(record)),
    }
}

/// Says why a topology is as it is: first why it has no workers, if it has none; then what it waits for
/// to move; then which of them keeps ending.
pub(super) fn reason(engine: &Engine, record: &TopologyRecord) -> String {
    if let Some(why) = engine.quarantine(record) {
        return why;
    }
    if let Some(why) = engine.unplaced(&record.id) {
        return why.to_owned();
    }
    if let Some(why) = engine.moving(&record.id) {
        return why;
    }
    let slots = || {
        engine.view().in_force(&record.id).filter_map(|held| {
            let (supervisor, worker) = (&held.record.supervisor, held.record.worker);
            Some((worker, engine.reports().slot(supervisor, &record.id, worker)?))
        })
    };
    let ending = slots().find_map(|(worker, slot)| trouble(worker, slot));
    let unheld = || slots().find(|(_, slot)| !slot.unheld.is_empty());
    let unheld = || unheld().map(|(worker, slot)| format!("worker {worker}: {}", slot.unheld));
    ending.or_else(unheld).unwrap_or_else(|| record.reason.clone())
}

/// Says why a worker does not run, if it does not and its supervisor knows.
fn trouble(worker: u32, slot: &SlotReport) -> Option<String> {
    let exit = &slot.last_exit;
    match slot.state.as_str() {
        "backing-off" if exit.starts_with("could not start") => {
            Some(format!("worker {worker} {exit}"))
        }
        "backing-off" => Some(format!("worker {worker} keeps ending: {exit}")),
        "fetching" if exit.starts_with("waiting for the binary") => {
            Some(format!("worker {worker} is {exit}"))
        }
        _ => None,
    }
}

fn worker(engine: &Engine, held: &Versioned<AssignmentRecord>) -> Worker {
    let AssignmentRecord { topology, worker, supervisor, slot, .. } = &held.record;
    let told = engine.reports().slot(supervisor, topology, *worker).cloned();
    let stored = engine.view().workers.get(&(topology.clone(), *worker));
    let state = if told.is_some() { "" } else { "assigned" };
    let told = told.unwrap_or_else(|| SlotReport {
        state: state.to_owned(),
        epoch: stored.and_then(|stored| stored.epoch),
        pid: stored.map_or(0, |stored| stored.pid),
        address: stored.map(|stored| stored.address.clone()).unwrap_or_default(),
        ..SlotReport::default()
    });
    let (revision, restarts) =
        told.epoch.map_or((epoch_revision(held), 0), |epoch| (epoch.revision, epoch.restarts));
    let live = engine.reports().worker(topology, *worker);
    Worker {
        worker: *worker,
        supervisor: supervisor.clone(),
        slot: *slot,
        state: told.state,
        pid: told.pid,
        address: told.address,
        epoch: format!("{revision}.{restarts}"),
        restarts: told.restarts.max(restarts),
        last_exit: told.last_exit,
        last_exit_ms: told.last_exit_ms,
        last_words: told.last_words,
        rss_bytes: live.map_or(0, |live| live.report.rss_bytes),
        held_bytes: live.map_or(0, |live| live.report.held_bytes),
        held_bytes_limit: live.map_or(0, |live| live.report.held_bytes_limit),
        waiting_ms: live.map_or(0, |live| live.report.waiting_ms),
        log_dropped: live.map_or_else(BTreeMap::new, |live| few(&live.report.log_dropped)),
        unheld: told.unheld,
        metrics_address: live.map_or_else(String::new, |it| it.report.metrics_address.clone()),
        metrics_problem: live.map_or_else(String::new, |it| it.report.metrics_problem.clone()),
        direct: live.is_some_and(|live| live.direct),
        turned_away: live.map_or_else(Vec::new, |live| reported(&live.report.turned_away)),
        executors: held.record.executors.iter().map(|executor| executor.index).collect(),
    }
}

fn components(
    record: &TopologyRecord,
    told: &Told,
    (figures, letters): (&Figures, &BTreeMap<String, u64>),
) -> Vec<(Component, Spreads)> {
    let Some(spec) = &record.spec else { return Vec::new() };
    let mut counted = counted(told);
    let executors = parallelism::executors(spec, &record.executors);
    let describe = |(index, spec): (usize, &ComponentSpec)| {
        let (totals, live) = counted.remove(spec.name.as_str()).unwrap_or_default();
        let executors = executors.iter().filter(|executor| executor.component == index);
        let pace = figures.component(&spec.name).map(Pace::of).unwrap_or_default();
        let dead_letters = letters.get(&spec.name).copied().unwrap_or(0);
        let (known, spreads) = component(spec, executors.count(), totals, &live);
        (Component { pace, dead_letters, ..known }, spreads)
    };
    spec.components.iter().enumerate().map(describe).collect()
}

/// What was counted of each component in all, and by those of its tasks that live.
fn counted(told: &Told) -> BTreeMap<&str, (counters::Totals, Vec<&Part>)> {
    let mut all: BTreeMap<&str, (counters::Totals, Vec<&Part>)> = BTreeMap::new();
    for part in told.dead.values() {
        part.add_to(&mut all.entry(&part.component).or_default().0);
    }
    for part in told.live.values().flat_map(|live| &live.work.components) {
        let (totals, live) = all.entry(&part.component).or_default();
        part.add_to(totals);
        live.push(part);
    }
    all
}

fn component(
    spec: &ComponentSpec,
    executors: usize,
    totals: counters::Totals,
    live: &[&Part],
) -> (Component, Spreads) {
    let inputs = spec.inputs.iter().map(|input| Input {
        component: input.component.clone(),
        stream: input.stream.clone(),
        grouping: input.grouping.clone(),
    });
    let outputs = spec.outputs.iter().map(|output| Output {
        stream: output.name.clone(),
        tuple: output.tuple.clone(),
        fields: output.fields.iter().map(|field| field.name.clone()).collect(),
    });
    let component = Component {
        name: spec.name.clone(),
        kind: if spec.spout { "spout" } else { "bolt" },
        executors,
        tasks: spec.tasks,
        emitted: totals.emitted,
        executed: totals.executed,
        acked: totals.acked,
        failed_total: totals.failed_total(),
        failed: totals.failed,
        pending: live.iter().map(|part| part.pending).sum(),
        gauges: own::gauges(live),
        histograms: own::histograms(&totals.histograms),
        counters: totals.counters,
        execute_p50_us: totals.execute.percentile_us(50),
        execute_p99_us: totals.execute.percentile_us(99),
        complete_p50_us: totals.complete.percentile_us(50),
        complete_p99_us: totals.complete.percentile_us(99),
        execute_p95_us: totals.execute.percentile_us(95),
        complete_p95_us: totals.complete.percentile_us(95),
        pace: Pace::default(),
        dead_letters: 0,
        queue_fill: live.iter().map(|part| part.fill).fold(0.0, f64::max),
        inputs: inputs.collect(),
        outputs: outputs.collect(),
    };
    let counters::Totals { execute, complete, histograms: own, .. } = totals;
    (component, Spreads { execute, complete, own })
}

fn errors(told: &Told) -> Vec<TaskError> {
    let describe = |shown: &crate::engine::reports::Shown| TaskError {
        at_ms: shown.error.at_ms,
        component: shown.error.component.clone(),
        task: shown.error.task,
        worker: shown.worker,
        reason: shown.error.reason.clone(),
        text: shown.error.text.clone(),
    };
    told.errors.iter().rev().map(describe).collect()
}

/// Lists what tasks left: what the store keeps, and what was only reported so far.
fn results(engine: &Engine, topology: &str, told: &Told) -> Vec<TaskValue> {
    let mut results: BTreeMap<u32, &TaskResult> =
        told.results.iter().map(|(task, result)| (*task, result)).collect();
    let first = (topology.to_owned(), 0);
    let stored = engine.view().results.range(first..=(topology.to_owned(), u32::MAX));
    results.extend(stored.map(|((_, task), result)| (*task, result)));
    let value = |json: &str| {
        serde_json::from_str(json).unwrap_or_else(|_| serde_json::Value::String(json.to_owned()))
    };
    results
        .into_values()
        .map(|result| TaskValue {
            task: result.task,
            component: result.component.clone(),
            value: value(&result.json),
        })
        .collect()
}
