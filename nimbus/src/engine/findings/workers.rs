//! Workers that keep ending, hang, have lost each other, or hold too much.

use super::{Finding, Severity, last_line, percent};
use crate::engine::figures::{Figures, Worker};

/// An end before this is old news, in ms.
const RECENT_MS: u64 = 300_000;

/// So many restarts are no accident.
const RESTARTS: u64 = 3;

/// A component shows that a call hangs for so long, in ms.
const STUCK_MS: u64 = 120_000;

/// From this share on spouts are held up.
const NEAR: f64 = 0.75;

/// A worker ends again and again.
pub(super) fn crash_loop(figures: &Figures) -> Vec<Finding> {
    let loops = |worker: &&Worker| {
        let recent = worker.last_exit_ago_ms.is_some_and(|ago| ago < RECENT_MS);
        worker.state == "backing-off" || (recent && worker.restarts >= RESTARTS)
    };
    let finding = |worker: &Worker| {
        let mut text = format!(
            "worker {} on {} keeps ending ({} restarts), last with {}",
            worker.worker, worker.supervisor, worker.restarts, worker.last_exit
        );
        let words = last_line(&worker.last_words);
        if !words.is_empty() {
            text += &format!("; its last words: {words}");
        }
        let next = format!("squall logs {}", figures.name);
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 restarts")]
        let restarts = worker.restarts as f64;
        Finding::new("crash-loop", Severity::Critical, text)
            .at_worker(worker.worker)
            .next(next)
            .shown_by("restarts", restarts)
    };
    figures.workers.iter().filter(loops).map(finding).collect()
}

/// A call of a component does not come back.
pub(super) fn hung(figures: &Figures) -> Vec<Finding> {
    let mut findings = Vec::new();
    for component in &figures.components {
        let stuck = component.errors.iter();
        let mut stuck = stuck.filter(|it| it.reason == "stuck" && it.ago_ms < STUCK_MS);
        let Some(error) = stuck.next() else { continue };
        let text =
            format!("`{}` hangs: task {}: {}", component.name, error.task, last_line(&error.text));
        let next = format!(
            "look at what it waits for: squall logs {} --component {}; its worker is replaced \
             after `kill_after`",
            figures.name, component.name
        );
        findings.push(
            Finding::new("hung", Severity::Critical, text)
                .of(&component.name)
                .at_task(error.task)
                .at_worker(error.worker)
                .next(next),
        );
    }
    let named = figures.workers.iter().filter(|worker| !worker.hung.is_empty());
    for worker in named.filter(|_| findings.is_empty()).collect::<Vec<_>>() {
        let text = format!("worker {} is to be replaced: {}", worker.worker, worker.hung);
        let next = format!("squall logs {}", figures.name);
        let finding = Finding::new("hung", Severity::Critical, text);
        findings.push(finding.at_worker(worker.worker).next(next));
    }
    findings
}

/// Two workers that both run have no connection.
pub(super) fn link_down(figures: &Figures) -> Vec<Finding> {
    let runs = |number: u32| {
        let mut workers = figures.workers.iter();
        workers.find(|it| it.worker == number && it.heard && it.state == "running")
    };
    let mut findings = Vec::new();
    for worker in figures.workers.iter().filter(|it| it.heard && it.state == "running") {
        for peer in worker.links_down.iter().filter_map(|peer| runs(*peer)) {
            let text = format!(
                "worker {} on {} cannot reach worker {} on {}: tuples between them wait",
                worker.worker, worker.supervisor, peer.worker, peer.supervisor
            );
            let next = format!(
                "see that {} can dial the `--worker-ports` of {} (firewall, `--advertise`)",
                worker.host, peer.host
            );
            findings.push(
                Finding::new("link-down", Severity::Critical, text)
                    .at_worker(worker.worker)
                    .next(next),
            );
        }
    }
    findings
}

/// A worker holds nearly as much as it may.
pub(super) fn memory(figures: &Figures) -> Vec<Finding> {
    #[expect(clippy::cast_precision_loss, reason = "shares need not be exact to 2^-53")]
    let share = |(held, limit): (u64, u64)| held as f64 / limit.max(1) as f64;
    let near = figures.workers.iter().filter(|it| it.held.1 > 0 && share(it.held) >= NEAR);
    let finding = |worker: &Worker| {
        let share = share(worker.held);
        let text = format!(
            "worker {} holds {} of what it may ({} of {} MiB) in queues and open trees: its \
             spouts are held up",
            worker.worker,
            percent(share),
            worker.held.0 >> 20,
            worker.held.1 >> 20
        );
        let next = "if nothing is slow downstream, raise `worker.memory`, or lower `max_pending`";
        Finding::new("memory", Severity::Warning, text)
            .at_worker(worker.worker)
            .next(next)
            .shown_by("held", share)
    };
    near.map(finding).collect()
}
