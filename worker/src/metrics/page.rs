//! The page: a worker's report, task by task, and histograms by component, as Prometheus reads it.
//!
//! The names are not those of nimbus, which shows the same by component: who scrapes both would count
//! twice what has one name.

use std::collections::BTreeMap;

use daemon::exposition::{Edges, Page, Spread, labels, middle, text, with};
use proto::supervisor::{ComponentReport, Latency, TaskReport, WorkerReport};

/// Makes the page of a worker.
pub(super) fn page(report: &WorkerReport, topology: &str, worker: u32) -> String {
    let worker = worker.to_string();
    let own = labels([("topology", topology), ("worker", &worker)]);
    let tasks = report.tasks.iter().map(|task| {
        let (component, number) = (task.component.as_str(), task.task.to_string());
        (with(&with(&own, "component", component), "task", &number), task)
    });
    let tasks: Vec<(String, &TaskReport)> = tasks.collect();
    text(|page| {
        memory(page, report, &own);
        links(page, report, &own);
        work(page, report, &own);
        counts(page, &tasks);
        named(page, &tasks);
        spreads(page, report, &own);
    })
}

fn memory(page: &mut Page<'_>, report: &WorkerReport, own: &str) {
    let parts = [
        ("resident", report.rss_bytes),
        ("held", report.held_bytes),
        ("held-limit", report.held_bytes_limit),
    ];
    let parts = parts.map(|(of, bytes)| (with(own, "of", of), bytes));
    page.gauge("squall_worker_memory_bytes", "What it uses, holds in queues, and may hold.", parts);
    let waits = [(own.to_owned(), seconds(report.waiting_ms * 1_000_000))];
    page.gauge("squall_worker_oldest_wait_seconds", "How long its oldest tuple waits.", waits);
}

fn links(page: &mut Page<'_>, report: &WorkerReport, own: &str) {
    let links = || report.links.iter().map(|it| (with(own, "peer", &it.peer.to_string()), it));
    let connected = links().map(|(labels, it)| (labels, u8::from(it.connected)));
    page.gauge("squall_worker_link_connected", "Whether it reaches the other worker.", connected);
    let sent = links().map(|(labels, it)| (labels, it.bytes_sent));
    page.counter("squall_worker_link_sent_bytes_total", "Bytes sent to the other worker.", sent);
    let frames = links().map(|(labels, it)| (labels, it.frames_sent));
    page.counter("squall_worker_link_sent_frames_total", "Frames sent to it.", frames);
    let again = links().map(|(labels, it)| (labels, it.reconnects));
    page.counter("squall_worker_link_reconnects_total", "New connections to it.", again);
}

fn work(page: &mut Page<'_>, report: &WorkerReport, own: &str) {
    let times = report.executors.iter().flat_map(|it| {
        let labels = with(own, "executor", &it.executor.to_string());
        let parts = [
            ("executing", it.executing_ns),
            ("ready", it.ready_ns),
            ("back-pressured", it.blocked_ns),
            ("throttled", it.throttled_ns),
        ];
        let spent = parts.iter().fold(0_u64, |sum, (_, spent)| sum.saturating_add(*spent));
        let idle = ("idle", it.total_ns.saturating_sub(spent));
        let parts = parts.into_iter().chain([idle]);
        parts.map(move |(state, spent)| (with(&labels, "state", state), seconds(spent)))
    });
    let help = "What an executor did with its time.";
    page.counter("squall_worker_executor_seconds_total", help, times);
    let flows = report.flows.iter().map(|it| {
        let labels = with(&with(own, "component", &it.component), "stream", &it.stream);
        (with(&labels, "consumer", &it.consumer), it.tuples)
    });
    let help = "Tuples that went this way; without a consumer: that were emitted.";
    page.counter("squall_worker_flow_tuples_total", help, flows);
}

fn counts(page: &mut Page<'_>, tasks: &[(String, &TaskReport)]) {
    let all = |of: fn(&TaskReport) -> u64| tasks.iter().map(move |(at, it)| (at.clone(), of(it)));
    let emitted = all(|it| it.emitted);
    page.counter("squall_worker_task_emitted_total", "Tuples emitted.", emitted);
    let executed = all(|it| it.executed);
    page.counter("squall_worker_task_executed_total", "Tuples executed.", executed);
    let acked = all(|it| it.acked);
    page.counter("squall_worker_task_acked_total", "Tuples, or trees of a spout, acked.", acked);
    let pending = all(|it| it.pending);
    page.gauge("squall_worker_task_pending", "Open tuple trees, or tuples held.", pending);
    let queued = all(|it| it.queued);
    page.gauge("squall_worker_task_queued", "Tuples in its executor's mailbox.", queued);
    let room = all(|it| it.queue_capacity);
    page.gauge("squall_worker_task_queue_capacity", "Tuples that may be in it.", room);
}

fn named(page: &mut Page<'_>, tasks: &[(String, &TaskReport)]) {
    let all = |label: &'static str, of: fn(&TaskReport) -> &BTreeMap<String, u64>| {
        tasks.iter().flat_map(move |(labels, task)| {
            of(task).iter().map(move |(name, count)| (with(labels, label, name), *count))
        })
    };
    let failed = all("reason", |task| &task.failed);
    page.counter("squall_worker_task_failed_total", "Tuples, or trees of a spout, failed.", failed);
    let counters = all("counter", |task| &task.counters);
    page.counter("squall_worker_task_counted_total", "What else it counts.", counters);
    let gauges = tasks.iter().flat_map(|(labels, task)| {
        task.gauges.iter().map(move |(name, value)| (with(labels, "gauge", name), *value))
    });
    page.gauge("squall_worker_task_value", "Gauges of the author's own.", gauges);
}

fn spreads(page: &mut Page<'_>, report: &WorkerReport, own: &str) {
    let all = || report.components.iter().map(|it| (with(own, "component", &it.component), it));
    let times = |of: fn(&ComponentReport) -> Option<&Latency>| {
        all().filter_map(move |(labels, component)| {
            let it = of(component)?;
            Some((labels, spread(&it.bounds_ns, &it.counts)))
        })
    };
    let execute = times(|it| it.execute.as_ref());
    let name = "squall_worker_execute_seconds";
    page.histogram(name, "Time in execute.", &Edges::EXECUTE, execute);
    let complete = times(|it| it.complete.as_ref());
    let name = "squall_worker_complete_seconds";
    page.histogram(name, "Time from emit to ack.", &Edges::COMPLETE, complete);
    let named = all().flat_map(|(labels, component)| {
        let named = component.histograms.iter();
        named.map(move |(name, it)| {
            (with(&labels, "histogram", name), spread(&it.bounds, &it.counts))
        })
    });
    page.histogram("squall_worker_values", "Values of the author's own.", &Edges::PLAIN, named);
}

fn spread(bounds: &[u64], counts: &[u64]) -> Spread<impl Iterator<Item = (u64, u64)>> {
    let buckets = bounds.iter().copied().zip(counts.iter().copied());
    let add = |sum: u64, (bound, count): (u64, u64)| {
        sum.saturating_add(middle(bound).saturating_mul(count))
    };
    Spread { sum: buckets.clone().fold(0, add), buckets }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ns are three months")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use proto::supervisor::{ExecutorReport, LinkReport, Spread as Reported};

    use super::*;

    #[test]
    fn each_task_is_shown_by_itself() {
        let task = TaskReport {
            task: 7,
            component: "split".to_owned(),
            emitted: 5,
            failed: [("error".to_owned(), 2)].into(),
            gauges: [("depth".to_owned(), 1.5)].into(),
            ..TaskReport::default()
        };
        let component = ComponentReport {
            component: "split".to_owned(),
            execute: Some(Latency { bounds_ns: vec![1_023, 2_047], counts: vec![3, 1] }),
            complete: None,
            histograms: [("size".to_owned(), Reported { bounds: vec![3], counts: vec![9] })].into(),
        };
        let report = WorkerReport {
            tasks: vec![task],
            components: vec![component],
            links: vec![LinkReport { peer: 1, connected: true, ..LinkReport::default() }],
            executors: vec![ExecutorReport {
                executor: 4,
                executing_ns: 500_000_000,
                total_ns: 2_000_000_000,
                ..ExecutorReport::default()
            }],
            rss_bytes: 1_024,
            ..WorkerReport::default()
        };
        let text = page(&report, "clicks", 0);
        let own = r#"topology="clicks",worker="0""#;
        let component = format!(r#"{own},component="split""#);
        let task = format!(r#"{component},task="7""#);
        for line in [
            format!(r#"squall_worker_memory_bytes{{{own},of="resident"}} 1024"#),
            format!(r#"squall_worker_link_connected{{{own},peer="1"}} 1"#),
            format!(
                r#"squall_worker_executor_seconds_total{{{own},executor="4",state="idle"}} 1.5"#
            ),
            format!("squall_worker_task_emitted_total{{{task}}} 5"),
            format!(r#"squall_worker_task_failed_total{{{task},reason="error"}} 2"#),
            format!(r#"squall_worker_task_value{{{task},gauge="depth"}} 1.5"#),
            format!(r#"squall_worker_execute_seconds_bucket{{{component},le="0.000001023"}} 3"#),
            format!("squall_worker_execute_seconds_count{{{component}}} 4"),
            format!(r#"squall_worker_values_bucket{{{component},histogram="size",le="3"}} 9"#),
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
        }
        assert!(!text.contains("squall_worker_complete_seconds_count"), "nothing was measured");
    }
}
