//! One component in full, with its tasks: a page of them, in the order that is asked for.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::history::{known_component, short};
use super::pace::{Pace, PerSecond, Time};
use super::query::Query;
use crate::engine::Engine;
use crate::engine::command::{Refusal, RefusalKind};
use crate::engine::event::Now;
use crate::engine::figures::{self, Component, Figures};

/// Tasks of one page when nobody says how many.
const LIMIT: u64 = 100;

/// Most tasks of one page.
const LIMIT_MAX: u64 = 1_000;

/// A component in full.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ComponentDetail {
    /// The topology's name.
    pub topology: String,
    /// Its name.
    pub name: String,
    /// `spout` or `bolt`.
    pub kind: &'static str,
    /// How many executors it is to have.
    pub executors: u32,
    /// How fast it is.
    #[serde(flatten)]
    pub pace: Pace,
    /// What it reads, and how much of it.
    pub inputs: Vec<Read>,
    /// Its streams, and how much goes to each.
    pub outputs: Vec<Emitted>,
    /// Failures a second by reason, over a minute.
    pub failing: BTreeMap<String, f64>,
    /// What else it counts, a second, over a minute.
    pub counting: BTreeMap<String, f64>,
    /// Its newest errors, newest first.
    pub errors: Vec<ComponentError>,
    /// How many tasks it has.
    pub tasks_total: usize,
    /// How many of them come before this page.
    pub offset: usize,
    /// A page of its tasks.
    pub tasks: Vec<Task>,
}

/// A stream that it reads.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Read {
    /// Who emits it.
    pub component: String,
    /// Which.
    pub stream: String,
    /// How it is split.
    pub grouping: String,
    /// Tuples a second over the last ten; `null` if that is not known.
    pub rate: Option<f64>,
}

/// A stream of its own.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Emitted {
    /// Its name.
    pub stream: String,
    /// Tuples emitted a second over the last ten; `null` if that is not known.
    pub rate: Option<f64>,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ComponentError {
    /// How long ago.
    pub ago_ms: u64,
    /// In which task.
    pub task: u32,
    /// In which worker.
    pub worker: u32,
    /// The kind of failure.
    pub reason: String,
    /// What it said.
    pub text: String,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Task {
    /// Its number.
    pub task: u32,
    /// Its executor.
    pub executor: u32,
    /// Its worker.
    pub worker: u32,
    /// The worker's supervisor.
    pub supervisor: String,
    /// The worker's host.
    pub host: String,
    /// Which incarnation of the worker.
    pub epoch: String,
    /// How often the worker was restarted.
    pub restarts: u64,
    /// How its last incarnation ended; empty if this is the first.
    pub last_exit: String,
    /// Tuples emitted since the worker started.
    pub emitted: u64,
    /// Tuples executed.
    pub executed: u64,
    /// Tuples (of a spout, trees) acked.
    pub acked: u64,
    /// The same that failed.
    pub failed: u64,
    /// Over the last ten seconds; `null` in the first.
    pub rates_10s: Option<PerSecond>,
    /// Over the last minute.
    pub rates_1m: Option<PerSecond>,
    /// Open trees, or tuples held.
    pub pending: u64,
    /// Tuples in its executor's mailbox.
    pub queued: u64,
    /// How many may be in it.
    pub queue_capacity: u64,
    /// Where its executor's time went.
    pub time: Option<Time>,
    /// Storm's capacity: the share of the last ten seconds that its executor was executing.
    pub capacity: Option<f64>,
    /// Its part of the component's input (of a spout: output) over the last minute, times the number
    /// of tasks: 1 is even.
    pub skew: Option<f64>,
    /// Time in `execute` since the worker started, in µs: half took no longer; then 95 and 99 of 100.
    pub execute_us: Option<[f64; 3]>,
    /// The same from emit to ack, of a spout.
    pub complete_us: Option<[f64; 3]>,
}

/// Describes a component: `sort` (`task`, `busy`, `skew`, `queue`, `rate` or `failed`), `offset` and
/// `limit` of the query say which of its tasks are shown.
///
/// # Errors
///
/// That there is no such topology or component, or that a part of the query cannot be read.
pub fn component(
    engine: &Engine,
    (name, component): (&str, &str),
    query: &Query<'_>,
    now: Now,
) -> Result<ComponentDetail, Refusal> {
    let record = &engine.topology("describe", name)?.record;
    known_component(record, component)?;
    let figures = figures::gather(engine, record, now);
    let Some(known) = figures.component(component) else { return Err(unknown_sort("")) };
    let mut tasks: Vec<Task> =
        known.tasks.iter().map(|task| describe(&figures, known, task)).collect();
    sort(&mut tasks, query.text("sort").unwrap_or("task"))?;
    let number = |number: Option<u64>| number.and_then(|it| usize::try_from(it).ok());
    let offset = number(query.number("offset")?).unwrap_or(0);
    let limit = number(Some(query.number("limit")?.unwrap_or(LIMIT).min(LIMIT_MAX)));
    let page = tasks.drain(..).skip(offset).take(limit.unwrap_or(0)).collect();
    Ok(ComponentDetail {
        topology: record.name.clone(),
        name: known.name.clone(),
        kind: if known.spout { "spout" } else { "bolt" },
        executors: known.executors_wanted,
        pace: Pace::of(known),
        inputs: known.inputs.iter().map(read).collect(),
        outputs: known.outputs.iter().map(emitted).collect(),
        failing: known.failing.iter().map(|(name, rate)| (name.clone(), short(*rate))).collect(),
        counting: known.counting.iter().map(|(name, rate)| (name.clone(), short(*rate))).collect(),
        errors: known.errors.iter().map(error).collect(),
        tasks_total: known.tasks.len(),
        offset,
        tasks: page,
    })
}

fn read(input: &figures::Input) -> Read {
    Read {
        component: input.component.clone(),
        stream: input.stream.clone(),
        grouping: input.grouping.clone(),
        rate: input.rate.map(short),
    }
}

fn emitted((stream, rate): &(String, Option<f64>)) -> Emitted {
    Emitted { stream: stream.clone(), rate: rate.map(short) }
}

fn error(error: &figures::Error) -> ComponentError {
    ComponentError {
        ago_ms: error.ago_ms,
        task: error.task,
        worker: error.worker,
        reason: error.reason.clone(),
        text: error.text.clone(),
    }
}

fn describe(figures: &Figures, component: &Component, task: &figures::Task) -> Task {
    let mut workers = figures.workers.iter();
    let worker = workers.find(|it| it.worker == task.worker).cloned().unwrap_or_default();
    let shares = component.executor(task).and_then(|executor| executor.shares);
    let [emitted, executed, acked, failed] = task.totals;
    let (revision, restarts) = worker.epoch;
    Task {
        task: task.task,
        executor: task.executor,
        worker: task.worker,
        supervisor: worker.supervisor,
        host: worker.host,
        epoch: format!("{revision}.{restarts}"),
        restarts: worker.restarts,
        last_exit: worker.last_exit,
        emitted,
        executed,
        acked,
        failed,
        rates_10s: task.ten_seconds.map(PerSecond::from),
        rates_1m: task.minute.map(PerSecond::from),
        pending: task.pending,
        queued: task.queue.0,
        queue_capacity: task.queue.1,
        time: shares.map(Time::from),
        capacity: shares.map(|shares| short(shares.executing)),
        skew: component.skew(task).map(short),
        execute_us: task.execute_us.map(|us| us.map(short)),
        complete_us: task.complete_us.map(|us| us.map(short)),
    }
}

/// Puts the tasks in order: by number, or what is most first.
fn sort(tasks: &mut [Task], by: &str) -> Result<(), Refusal> {
    #[expect(clippy::cast_precision_loss, reason = "what is near 2^53 may stand in any order")]
    let key: fn(&Task) -> f64 = match by {
        "task" => |task| -f64::from(task.task),
        "busy" => |task| task.time.map_or(0.0, |time| time.busy),
        "skew" => |task| task.skew.unwrap_or(0.0),
        "queue" => |task| task.queued as f64,
        "rate" => |task| task.rates_10s.map_or(0.0, |rates| rates.executed.max(rates.emitted)),
        "failed" => |task| task.failed as f64,
        _ => return Err(unknown_sort(by)),
    };
    tasks.sort_by(|one, other| key(other).total_cmp(&key(one)).then(one.task.cmp(&other.task)));
    Ok(())
}

fn unknown_sort(by: &str) -> Refusal {
    let shown: String = by.chars().take(32).collect();
    let what = format!("failed to sort by `{shown}`");
    let fix = "sort by task, busy, skew, queue, rate or failed";
    Refusal::new(RefusalKind::Invalid, what, "there is no such order", fix)
}
