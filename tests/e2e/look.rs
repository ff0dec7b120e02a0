//! Looking into a topology that runs: live tuples, what is logged and found in logs, metrics.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::{Cluster, Etcd, Signal, get, signal, until};

use crate::path;

/// Submits a topology whose bolt cannot take every tenth number, forever.
pub(crate) fn submit_errors(cluster: &Cluster, flags: &[&str]) {
    let trouble = path("trouble");
    let submit = ["submit", &trouble, "--name", "errs", "--wait", "--workers", "2"];
    let flags = [flags, &["-c", "max_pending=50"]].concat();
    let arguments = ["--", "--trouble=errors", "--count=100000000"];
    cluster.does(&[&submit[..], &flags, &arguments].concat());
}

fn lines(text: &str) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line);
    let lines: Result<Vec<Value>, _> = text.lines().map(read).collect();
    lines.unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
}

#[test]
fn live_tuples_are_shown_that_a_condition_wants_and_what_is_not_there_is_refused() {
    let cluster = Cluster::start(1, 2);
    submit_errors(&cluster, &[]);
    let wanted = "n > 20 and not n == 25";
    let shown = cluster.does(&["tap", "errs", "numbers", "--where", wanted, "--limit", "5"]);
    let shown = lines(&shown);
    assert_eq!(shown.len(), 5, "as many as were asked for");
    for line in &shown {
        assert!(line["tuple"]["n"].as_u64().is_some_and(|n| n > 20 && n != 25), "{line}");
        let place = (line["component"].as_str(), line["stream"].as_str());
        assert_eq!(place, (Some("numbers"), Some("default")), "{line}");
        assert!(line["task"].is_u64() && line["worker"].is_u64(), "{line}");
        assert!(line["at_ms"].as_u64().is_some_and(|at| at > 1_577_836_800_000), "{line}");
    }
    let stream = cluster.does(&["tap", "errs", "troubled.default", "--limit", "1"]);
    assert_eq!(lines(&stream)[0]["component"], "troubled", "one stream of a component");
    for (arguments, code, part) in [
        (["errs", "nubmers", "--rate", "1"], 66, "no component `nubmers`"),
        (["errs", "numbers.other", "--rate", "1"], 66, "no stream `other`"),
        (["errs", "count", "--rate", "1"], 66, "emits nothing"),
        (["errs", "numbers", "--where", "m == 1"], 66, "a field `m`"),
        (["errs", "numbers", "--where", "n = 1"], 64, "`==`"),
        (["others", "numbers", "--rate", "1"], 66, "no topology"),
    ] {
        let outcome = cluster.squall(&[&["tap"][..], &arguments].concat());
        assert!(outcome.stderr.contains(part), "{arguments:?}: {outcome:?}");
        assert_eq!(outcome.code, code, "{arguments:?}: {outcome:?}");
    }
    // Whoever looks and goes leaves nothing open: more of them than there is room for.
    for _ in 0..20 {
        let one = cluster.does(&["tap", "errs", "numbers", "--limit", "1"]);
        assert_eq!(lines(&one).len(), 1);
    }
    assert_eq!(cluster.status("errs")["workers"][0]["restarts"], 0, "nobody was harmed");
    cluster.does(&["kill", "errs", "--wait", "--drain", "0s"]);
}

#[test]
fn logs_are_searched_and_what_is_logged_changes_for_a_while() {
    let cluster = Cluster::start(2, 1);
    submit_errors(&cluster, &["-c", "worker.log.json=true"]);
    let found = |expression: &str| cluster.does(&["logs", "errs", "--grep", expression]);
    let failing = ["logs", "errs", "--grep", r#""task":"#, "--grep", r#""component":"troubled""#];
    let mut failed = String::new();
    until("a line of a component is found", || {
        failed = cluster.does(&failing);
        !failed.is_empty()
    });
    for line in failed.lines() {
        assert!(line.contains("WARN") && line.contains(": component failed "), "as text: {line}");
        assert!(line.contains(" topology=errs component=troubled task="), "{line}");
    }
    for row in lines(&cluster.does(&[&failing[..], &["-o", "json"]].concat())) {
        let line: Value = serde_json::from_str(row["line"].as_str().unwrap_or_default()).unwrap();
        assert_eq!((&line["topology"], &line["component"]), (&"errs".into(), &"troubled".into()));
        assert!(line["task"].is_u64() && line["message"] == "component failed", "{line}");
        assert!(line["timestamp"].is_string() && line["target"].is_string(), "{line}");
    }
    let all = lines(&cluster.does(&["logs", "errs", "--level", "info", "-o", "json"]));
    let is_ours = |row: &Value| row["line"].as_str().is_some_and(|it| it.contains(r#""errs""#));
    assert!(all.iter().all(is_ours), "each says which topology it is of: {all:?}");
    let grave = cluster.does(&["logs", "errs", "--level", "error", "--since", "1h"]);
    assert_eq!(grave, "", "nothing is as grave as that");
    let one = cluster.does(&["logs", "errs", "--worker", "0", "--level", "info"]);
    assert!(one.lines().count() > 0 && one.lines().all(|line| line.starts_with("worker 0 ")));
    assert_eq!(found("not to be found anywhere"), "", "other lines are left out");
    let wrong = cluster.squall(&["logs", "errs", "--grep", "("]);
    assert_eq!(wrong.code, 64, "{wrong:?}");

    let workers_of = |found: &str| {
        let worker = |line: &str| line.split(" | ").next().unwrap_or_default().to_owned();
        found.lines().map(worker).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(found(r#""level":"DEBUG""#), "", "nobody has asked for it");
    let told = cluster.does(&["log-level", "errs", "info,h2=debug", "--for", "2s"]);
    assert!(told.contains("2 workers of `errs` log `info,h2=debug` for 2s"), "{told}");
    until("both workers log more", || workers_of(&found(r#""level":"DEBUG".*"target":"h2"#)) == 2);
    until("the time is over in both", || {
        let changes = found("what is logged was changed");
        changes.lines().count() >= 4
    });
    for (filter, time) in [("worker=loud", "1s"), ("info", "a while")] {
        let refused = cluster.squall(&["log-level", "errs", filter, "--for", time]);
        assert_eq!(refused.code, 64, "{refused:?}");
    }
    cluster.does(&["kill", "errs", "--wait", "--drain", "0s"]);
}

#[test]
fn what_is_logged_for_a_while_is_also_logged_by_workers_that_start_meanwhile() {
    let flags = ["--log-format", "json"].map(str::to_owned).to_vec();
    let mut cluster = Cluster::start_with(Etcd::start, 2, vec![flags]);
    submit_errors(&cluster, &[]);
    let logged = lines(&cluster.does(&["logs", "errs", "--level", "info", "-o", "json"]));
    let is_json = |row: &Value| row["line"].as_str().is_some_and(|it| it.starts_with('{'));
    assert!(!logged.is_empty() && logged.iter().all(is_json), "as their supervisor: {logged:?}");
    assert!(cluster.supervisor(0).log().contains("{\"timestamp\""), "and it does so itself");
    let told = cluster.does(&["log-level", "errs", "info,h2=debug", "--for", "1h"]);
    assert!(told.contains("2 workers of `errs` log `info,h2=debug` for 1h"), "{told}");
    let shown = cluster.status("errs")["log_level"].clone();
    assert_eq!(shown["filter"], "info,h2=debug", "{shown}");
    assert!(shown["until_ms"].as_u64() > cluster.status("errs")["submitted_ms"].as_u64());
    let described = cluster.does(&["describe", "errs"]);
    assert!(described.contains("`info,h2=debug` for another "), "{described}");

    // What the newest incarnation of a worker wrote.
    let newest = |cluster: &Cluster| {
        let log = cluster.does(&["logs", "errs", "--worker", "0", "--tail", "16MiB"]);
        log.rsplit("squall: worker starts").next().unwrap_or_default().to_owned()
    };
    until("it logs more", || newest(&cluster).contains("DEBUG"));
    for killed in 1..=2 {
        if killed == 2 {
            // Whoever starts now knows it from nobody but the store.
            cluster.kill_nimbus();
            cluster.kill_supervisor(0);
            cluster.restart_supervisor(0);
            cluster.restart_nimbus();
            until("its workers are known again", || {
                cluster.workers("errs").first().is_some_and(|(pid, _)| *pid > 1)
            });
        }
        let pid = cluster.workers("errs")[0].0;
        assert!(signal(pid, Signal::SIGKILL), "the worker was there");
        until("another process is there and logs as the one before", || {
            let status = cluster.status("errs");
            let restarts = &status["workers"][0]["restarts"];
            *restarts == killed && newest(&cluster).contains("DEBUG")
        });
    }
    cluster.does(&["log-level", "errs", "reset"]);
    assert!(cluster.status("errs")["log_level"].is_null(), "it is as at first");
    until("the worker knows", || {
        newest(&cluster).matches("what is logged was changed").count() > 1
    });
    cluster.does(&["kill", "errs", "--wait", "--drain", "0s"]);
}

#[test]
fn what_deploy_names_is_what_nimbus_measures() {
    let cluster = Cluster::start(1, 2);
    submit_errors(&cluster, &[]);
    let mut page = String::new();
    until("components are measured over time", || {
        page = get(cluster.addresses()[1], "/metrics?histograms=all").unwrap_or_default().1;
        page.contains("squall_component_time_ratio{") && page.contains("squall_failed_total{")
    });
    for sample in [
        r#"squall_component_busiest_time_ratio{topology="errs",component="troubled",state="busy"}"#,
        r#"squall_component_executors{topology="errs",component="numbers"}"#,
        r#"squall_findings{topology="errs",severity="critical"} "#,
        r#"squall_edge_tuples_per_second{topology="errs",from="numbers",stream="default""#,
        r#"squall_execute_latency_seconds{topology="errs",component="troubled",quantile="0.95"}"#,
        r#"squall_execute_seconds_bucket{topology="errs",component="troubled",le="+Inf"}"#,
        r#"squall_complete_seconds_count{topology="errs",component="numbers"}"#,
        r#"squall_topology_complete_seconds_count{topology="errs"}"#,
    ] {
        assert!(page.contains(sample), "lacks {sample}:\n{page}");
    }
    let few = get(cluster.addresses()[1], "/metrics").unwrap_or_default().1;
    assert!(few.contains("squall_topology_execute_seconds_bucket{"), "{few}");
    assert!(!few.contains("squall_execute_seconds_bucket{"), "components only if asked for: {few}");
    let typed = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = typed.flat_map(|(name, kind)| match kind {
        "histogram" => ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")).to_vec(),
        _ => vec![name.to_owned()],
    });
    let typed: BTreeSet<String> = names.collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for file in ["prometheus-alerts.yml", "grafana-dashboard.json"] {
        let text = std::fs::read_to_string(folder.join(file)).expect(file);
        let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let words = text.split(|c: char| !is_of_name(c));
        let names: BTreeSet<&str> = words.filter(|word| word.starts_with("squall_")).collect();
        assert!(names.len() > 10, "{file}: {names:?}");
        let unknown: Vec<_> = names.iter().filter(|name| !typed.contains(**name)).collect();
        assert!(unknown.is_empty(), "{file} names what nobody measures: {unknown:?}");
    }
    cluster.does(&["kill", "errs", "--wait", "--drain", "0s"]);
}
