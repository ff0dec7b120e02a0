//! Looking into a topology that runs: live tuples, what is logged and found in logs, metrics.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::{Cluster, get, until};

use crate::path;

/// Submits a topology whose bolt cannot take every tenth number, forever.
fn submit_errors(cluster: &Cluster, flags: &[&str]) {
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
    let text = |line: &str| line.split_once(" | ").map_or("", |(_, text)| text).to_owned();
    let mut failed = String::new();
    until("a line of a component is found", || {
        failed = found(r#""task":.*"component":"troubled""#);
        !failed.is_empty()
    });
    for line in failed.lines() {
        let line: Value = serde_json::from_str(&text(line)).expect(line);
        assert_eq!((&line["topology"], &line["component"]), (&"errs".into(), &"troubled".into()));
        assert!(line["task"].is_u64() && line["message"] == "component failed", "{line}");
    }
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
fn what_deploy_names_is_what_nimbus_measures() {
    let cluster = Cluster::start(1, 2);
    submit_errors(&cluster, &[]);
    let mut page = String::new();
    until("components are measured over time", || {
        page = get(cluster.addresses()[1], "/metrics").unwrap_or_default().1;
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
    ] {
        assert!(page.contains(sample), "lacks {sample}:\n{page}");
    }
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
