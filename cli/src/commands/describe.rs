//! `squall describe`: one topology, or the cluster itself, in detail.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use crate::commands::{Globals, topology_name, topology_path, written};
use crate::error::Failure;
use crate::output::{self, age, escape, grouped, latency};
use crate::status::{
    ClusterStatus, ComponentStatus, ErrorStatus, LettersStatus, LogLevelStatus, NimbusStatus,
    ResultStatus, SupervisorStatus, TopologyDetail, TurnedStatus, WorkerStatus,
};
use crate::table::{Align, table};

/// Errors shown of those a topology remembers.
const ERRORS_SHOWN: usize = 10;

/// Flags of `squall describe`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall describe word-count     its workers, components, errors and results\n  \
    squall describe                the cluster: leader, supervisors, slots\n  \
    squall describe word-count -o json | jq .totals")]
pub(crate) struct Describe {
    /// The topology [default: the cluster itself]
    #[arg(value_parser = topology_name)]
    name: Option<String>,
}

/// Shows the topology or the cluster.
pub(crate) async fn run(describe: Describe, globals: &Globals) -> Result<(), Failure> {
    match describe.name {
        Some(name) => topology(&name, globals).await,
        None => cluster(globals).await,
    }
}

async fn topology(name: &str, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot describe `{name}`");
    let mut client = globals.client();
    if globals.format.is_for_programs() {
        return globals.show_document(&client.status_text(&what, &topology_path(name)).await?);
    }
    let topology: TopologyDetail = client.status(&what, &topology_path(name)).await?;
    written(output::print(&topology_text(&topology)))
}

async fn cluster(globals: &Globals) -> Result<(), Failure> {
    const WHAT: &str = "cannot describe the cluster";
    let mut client = globals.client();
    if globals.format.is_for_programs() {
        let cluster: Value = client.status(WHAT, "cluster").await?;
        let supervisors: Value = client.status(WHAT, "supervisors").await?;
        let document = json!({ "cluster": cluster, "supervisors": supervisors });
        return globals.show_value(document);
    }
    let cluster: ClusterStatus = client.status(WHAT, "cluster").await?;
    let supervisors: Vec<SupervisorStatus> = client.status(WHAT, "supervisors").await?;
    written(output::print(&cluster_text(&cluster, supervisors)))
}

fn cluster_text(cluster: &ClusterStatus, supervisors: Vec<SupervisorStatus>) -> String {
    let scheme = if cluster.security == "tls" { "https" } else { "http" };
    let leader = match &cluster.leader {
        Some(leader) => {
            format!("{} (gRPC {}, status {scheme}://{})", leader.id, leader.address, leader.http)
        }
        None => "none now".into(),
    };
    let refused: u64 = cluster.tls_refused.values().sum();
    let mut security = cluster.security.clone();
    if refused > 0 {
        security.push_str(&format!(", {refused} connections of nimbus refused"));
    }
    if !cluster.tls_problem.is_empty() {
        security.push_str(&format!(", changed files not in use: {}", cluster.tls_problem));
    }
    let mut text = banner(cluster, &supervisors);
    text.push_str(&facts(&[
        ("cluster", cluster.cluster.clone()),
        ("version", cluster.version.clone()),
        ("leader", leader),
        ("store", cluster.store.clone()),
        ("security", security),
        ("topologies", cluster.topologies.to_string()),
        ("slots", format!("{} of {} used", cluster.slots_used, cluster.slots)),
        ("refused", named(&cluster.refused)),
    ]));
    nimbuses(&mut text, scheme, &cluster.nimbuses);
    let headings = [
        ("SUPERVISOR", Align::Left),
        ("STATUS", Align::Left),
        ("HOST", Align::Left),
        ("ADDRESS", Align::Left),
        ("SLOTS", Align::Right),
        ("USED", Align::Right),
        ("UP", Align::Right),
        ("LAST REPORT", Align::Right),
        ("SECURITY", Align::Left),
    ];
    let by = |it: &SupervisorStatus| (format!("supervisor {}", it.id), it.turned_away.clone());
    let mut turned = vec![("nimbus".to_owned(), cluster.turned_away.clone())];
    turned.extend(supervisors.iter().map(by));
    let row = |it: SupervisorStatus| {
        let status = if it.held_back { format!("{}, held back", it.status) } else { it.status };
        vec![
            it.id,
            status,
            it.host,
            it.address,
            it.slots.to_string(),
            it.slots_used.to_string(),
            age(it.up_ms),
            it.last_report_ms.map_or_else(|| "never".into(), |ms| format!("{ms}ms ago")),
            it.security,
        ]
    };
    section(&mut text, &headings, supervisors.into_iter().map(row).collect());
    turned_away(&mut text, turned);
    text
}

fn nimbuses(text: &mut String, scheme: &str, nimbuses: &[NimbusStatus]) {
    let headings = [
        ("NIMBUS", Align::Left),
        ("ROLE", Align::Left),
        ("ADDRESS", Align::Left),
        ("STATUS AT", Align::Left),
        ("VERSION", Align::Left),
        ("BINARIES", Align::Right),
    ];
    let row = |it: &NimbusStatus| {
        vec![
            it.id.clone(),
            if it.leads { "leader" } else { "standby" }.to_owned(),
            it.address.clone(),
            format!("{scheme}://{}", it.http),
            it.version.clone(),
            it.binaries.to_string(),
        ]
    };
    section(text, &headings, nimbuses.iter().map(row).collect());
}

/// Counts that are not 0, with their names.
fn named(counts: &BTreeMap<String, u64>) -> String {
    let counts = counts.iter().filter(|(_, count)| **count > 0);
    counts.map(|(name, count)| format!("{name}={count}")).collect::<Vec<_>>().join(" ")
}

/// What nobody shall overlook: who lets in everybody.
fn banner(cluster: &ClusterStatus, supervisors: &[SupervisorStatus]) -> String {
    let open = supervisors.iter().filter(|it| it.security == "insecure").map(|it| it.id.as_str());
    let nimbus = (cluster.security == "insecure").then_some("nimbus");
    let open: Vec<&str> = nimbus.into_iter().chain(open).collect();
    if open.is_empty() {
        return String::new();
    }
    format!(
        "INSECURE: whoever reaches a port of {} can run programs there; docs/security.md says how \
         to change that\n\n",
        open.join(", ")
    )
}

fn topology_text(topology: &TopologyDetail) -> String {
    let totals = &topology.totals;
    let mut text = facts(&[
        ("topology", format!("{} ({})", topology.name, topology.id)),
        ("status", topology.status.clone()),
        ("reason", topology.reason.clone()),
        ("generation", topology.generation.to_string()),
        ("emitted", grouped(totals.emitted)),
        ("acked", grouped(totals.acked)),
        ("failed", grouped(totals.failed)),
        ("pending", grouped(totals.pending)),
        ("letters", letters(&topology.dead_letters)),
        ("logs", topology.log_level.as_ref().map(LogLevelStatus::text).unwrap_or_default()),
    ]);
    components(&mut text, &topology.components);
    workers(&mut text, &topology.workers);
    errors(&mut text, &topology.errors);
    results(&mut text, &topology.results);
    text
}

/// What to say of dead letters, if there is anything.
fn letters(letters: &LettersStatus) -> String {
    let said = [
        (letters.kept, "dead letters kept"),
        (letters.replaying, "being replayed"),
        (letters.refused, "refused for want of room: `squall dead-letters` replays and drops them"),
    ];
    let said = said.into_iter().filter(|(count, _)| *count > 0);
    said.map(|(count, what)| format!("{} {what}", grouped(count))).collect::<Vec<_>>().join(", ")
}

fn components(text: &mut String, components: &[ComponentStatus]) {
    let headings = [
        ("COMPONENT", Align::Left),
        ("KIND", Align::Left),
        ("EXECUTORS", Align::Right),
        ("TASKS", Align::Right),
        ("EMITTED", Align::Right),
        ("EXECUTED", Align::Right),
        ("ACKED", Align::Right),
        ("FAILED", Align::Right),
        ("EXEC P50", Align::Right),
        ("P99", Align::Right),
        ("COMPLETE P50", Align::Right),
        ("P99", Align::Right),
        ("QUEUE", Align::Right),
        ("FAILED FOR", Align::Left),
        ("COUNTERS", Align::Left),
    ];
    let row = |it: &ComponentStatus| {
        vec![
            it.name.clone(),
            it.kind.clone(),
            it.executors.to_string(),
            it.tasks.to_string(),
            it.emitted.to_string(),
            it.executed.to_string(),
            it.acked.to_string(),
            it.failed_total.to_string(),
            latency(it.execute_p50_us),
            latency(it.execute_p99_us),
            latency(it.complete_p50_us),
            latency(it.complete_p99_us),
            format!("{:.0}%", it.queue_fill * 100.0),
            named(&it.failed),
            named(&it.counters),
        ]
    };
    section(text, &headings, components.iter().map(row).collect());
}

fn workers(text: &mut String, workers: &[WorkerStatus]) {
    let headings = [
        ("WORKER", Align::Right),
        ("STATE", Align::Left),
        ("SUPERVISOR", Align::Left),
        ("PID", Align::Right),
        ("ADDRESS", Align::Left),
        ("EPOCH", Align::Left),
        ("RESTARTS", Align::Right),
        ("MEMORY", Align::Right),
        ("WAITING", Align::Right),
        ("LAST EXIT", Align::Left),
    ];
    let row = |it: &WorkerStatus| {
        vec![
            it.worker.to_string(),
            if it.direct { format!("{}, on its own", it.state) } else { it.state.clone() },
            it.supervisor.clone(),
            it.pid.to_string(),
            it.address.clone(),
            it.epoch.clone(),
            it.restarts.to_string(),
            output::bytes(it.rss_bytes),
            format!("{} of {}", output::bytes(it.held_bytes), output::bytes(it.held_bytes_limit)),
            it.last_exit.clone(),
        ]
    };
    section(text, &headings, workers.iter().map(row).collect());
    let by = |it: &WorkerStatus| (format!("worker {}", it.worker), it.turned_away.clone());
    turned_away(text, workers.iter().map(by).collect());
    for worker in workers.iter().filter(|worker| !worker.unheld.is_empty()) {
        text.push_str(&format!("\n\nworker {}: {}", worker.worker, escape(&worker.unheld)));
    }
    for worker in workers {
        let (address, problem) = (escape(&worker.metrics_address), escape(&worker.metrics_problem));
        if !address.is_empty() {
            text.push_str(&format!("\n\nworker {}: its metrics are at {address}", worker.worker));
        } else if !problem.is_empty() {
            text.push_str(&format!(
                "\n\nworker {}: no metrics of its own: {problem}",
                worker.worker
            ));
        }
    }
    for worker in workers.iter().filter(|worker| !worker.log_dropped.is_empty()) {
        let dropped = worker.log_dropped.iter();
        let dropped: Vec<_> =
            dropped.map(|(why, count)| format!("{} ({why})", output::bytes(*count))).collect();
        text.push_str(&format!("\n\nworker {}: of its log were dropped ", worker.worker));
        text.push_str(&escape(&dropped.join(", ")));
    }
    for worker in workers.iter().filter(|worker| !worker.last_words.is_empty()) {
        text.push_str(&format!("\n\nlast words of worker {}:", worker.worker));
        for line in worker.last_words.lines() {
            text.push_str(&format!("\n  {}", escape(line)));
        }
    }
}

/// Who was turned away by whom.
fn turned_away(text: &mut String, turned: Vec<(String, Vec<TurnedStatus>)>) {
    let headings = [
        ("TURNED AWAY BY", Align::Left),
        ("WHO", Align::Left),
        ("EPOCH", Align::Left),
        ("WHY", Align::Left),
        ("TIMES", Align::Right),
    ];
    let rows = turned.into_iter().flat_map(|(by, all)| {
        let row =
            move |it: TurnedStatus| vec![by.clone(), it.who, it.epoch, it.why, grouped(it.count)];
        all.into_iter().map(row)
    });
    section(text, &headings, rows.collect());
}

fn errors(text: &mut String, errors: &[ErrorStatus]) {
    let headings = [
        ("ERROR IN", Align::Left),
        ("TASK", Align::Right),
        ("WORKER", Align::Right),
        ("KIND", Align::Left),
        ("TEXT", Align::Left),
    ];
    let row = |it: &ErrorStatus| {
        vec![
            it.component.clone(),
            it.task.to_string(),
            it.worker.to_string(),
            it.reason.clone(),
            it.text.lines().next().unwrap_or_default().to_owned(),
        ]
    };
    let mut newest: Vec<&ErrorStatus> = errors.iter().collect();
    newest.sort_by_key(|error| std::cmp::Reverse(error.at_ms));
    section(text, &headings, newest.into_iter().take(ERRORS_SHOWN).map(row).collect());
    if errors.len() > ERRORS_SHOWN {
        let more = errors.len() - ERRORS_SHOWN;
        text.push_str(&format!("\n({more} more: -o json)"));
    }
}

fn results(text: &mut String, results: &[ResultStatus]) {
    let headings = [("RESULT OF", Align::Left), ("TASK", Align::Right), ("VALUE", Align::Left)];
    let row = |it: &ResultStatus| {
        let value = it.value.to_string();
        let shown: String = value.chars().take(120).collect();
        let cut = if shown.len() < value.len() { "..." } else { "" };
        vec![it.component.clone(), it.task.to_string(), format!("{shown}{cut}")]
    };
    section(text, &headings, results.iter().map(row).collect());
}

/// Lines of "name  value", without those that have no value.
fn facts(facts: &[(&str, String)]) -> String {
    let lines = facts.iter().filter(|(_, value)| !value.is_empty());
    let lines = lines.map(|(name, value)| format!("{name:<11} {}", escape(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Adds a table with a blank line before it; nothing if it would be empty.
fn section(text: &mut String, headings: &[(&str, Align)], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        text.push_str("\n\n");
        text.push_str(&table(headings, rows));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topology_is_shown_with_what_is_wrong_and_nothing_of_it_acts_on_the_terminal() {
        let document = r#"{"id":"wc-1-ab","name":"wc","status":"active","generation":3,
            "workers":[{"worker":0,"state":"backing-off","last_words":"boom\u001b[2J","restarts":7,
                "turned_away":[{"who":"worker 4","epoch":"7.1","why":"retired","count":3}]}],
            "components":[{"name":"split","kind":"bolt","execute_p50_us":2.5,"complete_p99_us":null,
                "counters":{"invalid-utf8":2}}],
            "totals":{"acked":1234567},"unknown-to-us":1,"dead_letters":{"kept":3,"refused":1},
            "errors":[{"component":"split","task":1,"reason":"panic","text":"at line 3\nmore"}],
            "results":[{"task":4,"component":"top","value":{"the":3}}]}"#;
        let topology: TopologyDetail = serde_json::from_str(document).expect("a lenient model");
        let text = topology_text(&topology);
        for part in [
            "wc (wc-1-ab)",
            "1 234 567",
            "3 dead letters kept, 1 refused for want of room",
            "invalid-utf8=2",
            "boom\\u{1b}[2J",
            "at line 3",
            "2.5µs",
            "TURNED AWAY BY",
            "worker 4",
            "{\"the\":3}",
        ] {
            assert!(text.contains(part), "`{part}` is missing:\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "an escape sequence got through:\n{text}");
    }
}
