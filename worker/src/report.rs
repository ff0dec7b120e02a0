//! What a worker tells its supervisor: the board, as a wire message.

mod sums;

use std::collections::BTreeMap;
use std::time::Duration;

use proto::store::{Released, TaskResult};
use proto::supervisor::{
    ErrorReport, ExecutorReport, FlowReport, LinkReport, TaskReport, Turned, WorkerReport,
};

use crate::executor::counters::{Snapshot, TaskCounters};
use crate::executor::effort::ExecutorEffort;
use crate::executor::mailbox::MAILBOX_TUPLES;
use crate::executor::plan::Plan;
use crate::metrics::Serving;
use crate::report::sums::Sums;
use crate::transport::Transport;

/// What of a report is not on the board.
pub(crate) struct Facts {
    pub(crate) sequence: u64,
    pub(crate) draining: bool,
    pub(crate) table_version: u64,
    /// Why this worker is to be replaced; empty while it is not.
    pub(crate) hung: String,
    /// How long its oldest tuple waits in queues.
    pub(crate) waiting: Duration,
    pub(crate) released: Option<Released>,
    pub(crate) tls_refused: BTreeMap<String, u64>,
    /// What its executors did with their time.
    pub(crate) efforts: Vec<ExecutorEffort>,
    pub(crate) log_dropped: BTreeMap<String, u64>,
    /// Where its own metrics are.
    pub(crate) metrics: Serving,
}

/// Makes a report.
pub(crate) fn report(
    plan: &Plan,
    snapshot: &Snapshot,
    transport: &Transport,
    facts: &Facts,
) -> WorkerReport {
    let on_the_way = transport.pending();
    let component = |task: u32| {
        let component = plan.component_of(task).map(|at| &plan.topology.components()[at]);
        component.map_or_else(String::new, |component| component.name.clone())
    };
    let mut sums = Sums::default();
    WorkerReport {
        sequence: facts.sequence,
        tasks: snapshot.tasks.iter().map(|task| task_report(task, &mut sums)).collect(),
        components: sums.into_reports(),
        finished: snapshot.is_ended() && !on_the_way,
        drained: facts.draining && snapshot.is_quiet() && !on_the_way,
        errors: snapshot
            .errors
            .iter()
            .map(|error| ErrorReport {
                sequence: error.sequence,
                at_ms: error.at_ms,
                component: component(error.task),
                task: error.task,
                reason: error.reason.to_owned(),
                text: error.text.clone(),
            })
            .collect(),
        results: snapshot
            .results
            .iter()
            .map(|(task, json)| TaskResult {
                task: *task,
                component: component(*task),
                json: json.clone(),
            })
            .collect(),
        links: transport
            .reports()
            .into_iter()
            .map(|link| LinkReport {
                peer: link.peer,
                connected: link.connected,
                frames_sent: link.frames_sent,
                bytes_sent: link.bytes_sent,
                frames_unacknowledged: link.frames_unacknowledged,
                reconnects: link.reconnects,
            })
            .collect(),
        table_version: facts.table_version,
        released: facts.released.clone(),
        rss_bytes: resident_bytes().unwrap_or(0),
        held_bytes: plan.budget.used(),
        held_bytes_limit: plan.budget.limit(),
        turned_away: transport.turned_away().iter().map(turned).collect(),
        hung: facts.hung.clone(),
        waiting_ms: u64::try_from(facts.waiting.as_millis()).unwrap_or(u64::MAX),
        tls_refused: facts.tls_refused.clone(),
        executors: facts.efforts.iter().map(executor_report).collect(),
        flows: flows(plan),
        log_dropped: facts.log_dropped.clone(),
        tasks_left_out: false,
        metrics_address: facts.metrics.address.clone(),
        metrics_problem: facts.metrics.problem.clone(),
    }
}

fn turned((who, epoch, why, count): (&str, &str, &'static str, u64)) -> Turned {
    Turned { who: who.to_owned(), epoch: epoch.to_owned(), why: why.to_owned(), count }
}

/// How many tuples took which way, by name.
fn flows(plan: &Plan) -> Vec<FlowReport> {
    let components = plan.topology.components();
    let name = |at: usize| components[at].name.clone();
    let flows = plan.board.flows.flows();
    let report = flows.iter().map(|(from, to, tuples)| FlowReport {
        component: name(from.component),
        stream: components[from.component].outputs[from.stream].name.clone(),
        consumer: to.map(name).unwrap_or_default(),
        tuples,
    });
    report.collect()
}

fn executor_report(it: &ExecutorEffort) -> ExecutorReport {
    let effort = &it.effort;
    ExecutorReport {
        executor: u32::from(it.executor),
        at_loop: u32::try_from(it.at_loop).unwrap_or(u32::MAX),
        executing_ns: effort.executing,
        ready_ns: effort.ready + effort.calling,
        blocked_ns: effort.blocked,
        throttled_ns: effort.throttled,
        total_ns: effort.total(),
        waiting_ns: it.waiting,
    }
}

fn task_report<'a>(task: &'a TaskCounters, sums: &mut Sums<'a>) -> TaskReport {
    let named = |counts: &BTreeMap<&'static str, u64>| {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    let (execute, complete) = sums.add(task);
    TaskReport {
        task: task.task,
        component: task.component.clone(),
        executor: u32::from(task.executor),
        emitted: task.emitted,
        executed: task.executed,
        acked: task.acked,
        failed: named(&task.failed),
        counters: named(&task.counters),
        gauges: task.gauges.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        pending: task.pending,
        execute,
        complete,
        queued: task.queued,
        queue_capacity: MAILBOX_TUPLES,
    }
}

/// The memory this process has in use, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
