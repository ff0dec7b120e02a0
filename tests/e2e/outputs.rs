//! What verbs and pages give to programs: JSON on every verb, logs, metrics, health.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::{Cluster, Outcome, Process, alone, get, processes_below, squall, until};

use crate::path;

/// Every verb of the command line.
const VERBS: [&str; 12] = [
    "demo",
    "dev",
    "nimbus",
    "supervisor",
    "submit",
    "list",
    "describe",
    "activate",
    "deactivate",
    "kill",
    "rebalance",
    "logs",
];

/// Reads standard output as what programs get: one JSON document a line.
#[track_caller]
fn documents(outcome: &Outcome) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line);
    let lines: Result<Vec<Value>, _> = outcome.stdout.lines().map(read).collect();
    lines.unwrap_or_else(|error| panic!("no JSON ({error}): {outcome:?}"))
}

/// Asserts that a failure is one JSON object with its three parts and nothing else.
#[track_caller]
fn assert_error(arguments: &[&str], outcome: &Outcome) {
    assert!(outcome.code > 0, "{arguments:?} should fail: {outcome:?}");
    let documents = documents(outcome);
    let [document] = &documents[..] else { panic!("{arguments:?}: {outcome:?}") };
    for part in ["what", "why", "fix"] {
        let text = document["error"][part].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{arguments:?} lacks {part}: {document}");
    }
}

#[test]
fn every_verb_writes_json_for_programs_when_it_succeeds_and_when_it_fails() {
    let cluster = Cluster::start(1, 2);
    let json = |arguments: &[&str]| cluster.squall(&[&["-o", "json"], arguments].concat());
    let (misbehave, file) = (path("misbehave"), cluster.scratch("json").join("words.txt"));
    std::fs::write(&file, "to be\n").unwrap();
    let file = file.to_str().unwrap();

    let mut shown = BTreeSet::new();
    for arguments in [
        &["submit", &misbehave, "--name", "it", "--wait"][..],
        &["list"],
        &["describe"],
        &["describe", "it"],
        &["deactivate", "it"],
        &["activate", "it"],
        &["rebalance", "it"],
        &["logs", "it"],
        &["kill", "it", "--wait", "--drain", "0s"],
        &["list"],
        &["demo", file],
    ] {
        // What was asked for before may still be under way.
        let mut outcome = json(arguments);
        until("the topology can be asked again", || {
            if outcome.code == 75 {
                outcome = json(arguments);
            }
            outcome.code != 75
        });
        assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
        let documents = documents(&outcome);
        assert!(!documents.is_empty(), "{arguments:?} says nothing: {outcome:?}");
        assert!(documents.len() == 1 || arguments[0] == "logs", "{arguments:?}: {outcome:?}");
        shown.insert(arguments[0]);
    }
    let etcd = cluster.etcd_url();
    let folder = cluster.scratch("daemons");
    let own = |name: &str| folder.join(name).to_str().expect("a plain path").to_owned();
    let ports = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let store = ["--etcd", &etcd, "--cluster", "other", "--data-dir"];
    for (verb, arguments) in [
        ("nimbus", [&store[..], &[&own("n")], &ports].concat()),
        ("supervisor", [&store[..], &[&own("s")]].concat()),
        ("dev", ports.to_vec()),
    ] {
        let mut daemon = cluster.start_squall(&[&["-o", "json", verb], &arguments[..]].concat());
        // Its log lines are objects too, with a level; this one says where it is.
        let address = daemon.line("{\"address\":");
        assert!(address.starts_with("\"127.0.0.1:"), "{verb}: {address}");
        assert_eq!(daemon.terminate(), Some(0), "{verb}: {}", daemon.log());
        shown.insert(verb);
    }
    assert_eq!(shown, BTreeSet::from(VERBS), "a verb was not tried");
}

#[test]
fn every_verb_fails_in_json() {
    let cluster = Cluster::start(1, 1);
    let taken = cluster.addresses()[0].to_owned();
    let etcd = cluster.etcd_url();
    let nowhere = ["--data-dir", "/dev/null/x", "--etcd", &etcd];
    for verb in VERBS {
        let bogus = ["-o", "json", verb, "--bogus"];
        let outcome = cluster.squall(&bogus);
        assert_error(&bogus, &outcome);
        assert_eq!(outcome.code, 64, "{verb}: {outcome:?}");
        let arguments = match verb {
            "demo" => vec![verb, "/no/such/file"],
            "dev" => vec![verb, "--listen", &taken],
            "nimbus" | "supervisor" => [&[verb], &nowhere[..]].concat(),
            "submit" => vec![verb, "/bin/true"],
            "list" => vec![verb, "--nimbus", "127.0.0.1:1"],
            _ => vec![verb, "nobody"],
        };
        let arguments = [&["-o", "json"], &arguments[..]].concat();
        let outcome =
            if verb == "list" { Outcome::of(&arguments) } else { cluster.squall(&arguments) };
        assert_error(&arguments, &outcome);
        assert!((65..=78).contains(&outcome.code), "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn what_every_verb_that_reads_writes_has_a_schema_version_and_may_be_cut_off_by_its_reader() {
    let cluster = Cluster::start(1, 2);
    let misbehave = path("misbehave");
    cluster.does(&["submit", &misbehave, "--name", "it", "--wait"]);
    let etcd = cluster.etcd_url();
    for arguments in [
        &["list"][..],
        &["describe"],
        &["describe", "it"],
        &["top", "it"],
        &["events", "it"],
        &["events"],
        &["errors", "it"],
        &["explain", "it"],
        &["plan", "submit", &misbehave, "--name", "other"],
        &["plan", "rebalance", "it", "--workers", "2"],
        &["validate", &misbehave],
        &["dead-letters", "it"],
        &["dead-letters", "it", "list"],
        &["log-level", "it", "debug", "--for", "1m"],
        &["doctor", "--etcd", &etcd],
        &["explain-error", "SQ6600"],
    ] {
        let json = cluster.squall(&[arguments, &["-o", "json"]].concat());
        let found = documents(&json);
        assert!(found.len() == 1 && found[0]["schema_version"] == 1, "{arguments:?}: {json:?}");
        let yaml = cluster.squall(&[arguments, &["-o", "yaml"]].concat());
        let is_yaml = yaml.stdout.starts_with("---\n");
        let version = yaml.stdout.lines().filter(|line| *line == "schema_version: 1").count();
        assert!(is_yaml && version == 1 && yaml.code == json.code, "{arguments:?}: {yaml:?}");
        for format in ["table", "wide", "json", "yaml"] {
            let mut command = std::process::Command::new("bash");
            let script = "set -o pipefail; \"$@\" | head -c 1 >/dev/null";
            command.args(["-c", script, "bash", &path("squall")]).args(arguments);
            command.args(["--nimbus", cluster.addresses()[0], "-o", format]);
            let cut = Outcome::from(command.env_remove("SQUALL_OUTPUT").output().unwrap());
            assert_eq!(cut.code, json.code, "{arguments:?} -o {format}: {cut:?}");
            assert!(!cut.stderr.contains("panic"), "{arguments:?} -o {format}: {cut:?}");
        }
    }
}

/// The executors of a component, as the status has them.
fn executors(cluster: &Cluster, name: &str, component: &str) -> u64 {
    let status = cluster.status(name);
    let components = status["components"].as_array().cloned().unwrap_or_default();
    let found = components.iter().find(|it| it["name"] == component);
    found.and_then(|it| it["executors"].as_u64()).unwrap_or(0)
}

/// How many workers of a topology run.
fn running(cluster: &Cluster, name: &str) -> usize {
    let status = cluster.status(name);
    let workers = status["workers"].as_array().cloned().unwrap_or_default();
    workers.iter().filter(|it| it["state"] == "running").count()
}

#[test]
fn logs_are_shown_followed_and_chosen_by_component_and_a_rebalance_does_as_told() {
    let cluster = Cluster::start(2, 1);
    cluster.does(&["submit", &path("misbehave"), "--name", "it", "--workers", "2", "--wait"]);
    let mut text = String::new();
    until("both tasks have written to their logs", || {
        text = cluster.does(&["logs", "it"]);
        text.contains("task 0 of say got") && text.contains("task 1 of say got")
    });
    assert!(text.lines().all(|line| line.starts_with("worker ")), "{text}");
    let tail = cluster.does(&["logs", "it", "--tail", "60"]);
    let cut = |line: &str| !line.contains("| task") && !line.contains("| ==> squall");
    assert!(!tail.lines().any(cut), "a line is cut at its beginning: {tail}");
    let coded = cluster.squall(&["logs", "it", "-o", "json"]);
    let said = documents(&coded);
    let whole = |it: &Value| it["worker"].is_u64() && it["line"].is_string();
    assert!(!said.is_empty() && said.iter().all(whole), "{coded:?}");

    // The workers of a component are those that run its tasks: one has the spout.
    let workers = |component: &str| {
        let said =
            documents(&cluster.squall(&["logs", "it", "-o", "json", "--component", component]));
        said.iter().filter_map(|it| it["worker"].as_u64()).collect::<BTreeSet<_>>()
    };
    assert_eq!(workers("beats").len(), 1, "one task, one worker");
    assert_eq!(workers("say").len(), 2, "two tasks, two workers");

    let follow = cluster.start_squall(&["logs", "it", "-f", "--tail", "0B"]);
    until("what is written from now on is shown", || follow.log().lines().count() > 3);
    drop(follow);

    cluster.does(&["rebalance", "it", "-e", "say=1"]);
    until("say has one executor", || executors(&cluster, "it", "say") == 1);
    until("and the topology is active again", || cluster.status("it")["status"] == "active");
    cluster.does(&["rebalance", "it", "--workers", "1"]);
    until("one worker runs it", || {
        running(&cluster, "it") == 1 && cluster.worker_processes().len() == 1
    });
    until("and the topology is active again", || cluster.status("it")["status"] == "active");
    let follow = cluster.start_squall(&["logs", "it", "-f", "--tail", "0B"]);
    let seen = || -> BTreeSet<String> {
        let log = follow.log();
        let lines = log.lines().filter(|line| line.contains("of say got"));
        lines.filter_map(|it| Some(it.split_whitespace().nth(1)?.to_owned())).collect()
    };
    until("it is followed", || seen().len() == 1);
    cluster.does(&["rebalance", "it", "--workers", "2", "-e", "say=2"]);
    until("two workers run it", || {
        running(&cluster, "it") == 2 && executors(&cluster, "it", "say") == 2
    });
    until("a worker that came is followed too", || seen().len() == 2);
    drop(follow);
    cluster.does(&["kill", "it", "--wait"]);
}

/// Reads one line of Prometheus' text format: the name, and whether the rest is well formed.
fn sample(line: &str) -> Option<(&str, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let name = series.split('{').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let labels = &series[name.len()..];
    let quoted =
        labels.is_empty()
            || labels.strip_prefix('{')?.strip_suffix('}')?.split("\",").all(|label| {
                label.split_once("=\"").is_some_and(|(name, _)| name.chars().all(plain))
            });
    (name.chars().all(plain) && quoted).then_some(())?;
    Some((name, value.parse().ok()?))
}

#[test]
fn metrics_parse_as_prometheus_text_and_health_is_told() {
    let cluster = Cluster::start(1, 1);
    cluster.does(&["submit", &path("misbehave"), "--name", "it", "--wait"]);
    let [_, http] = cluster.addresses();
    assert_eq!(get(http, "/healthz").ok(), Some((200, "ok\n".into())));
    assert_eq!(get(http, "/readyz").ok(), Some((200, "ready\n".into())));
    let mut page = String::new();
    until("the metrics count what the topology does", || {
        page = get(http, "/metrics").unwrap_or_default().1;
        let acked = "squall_acked_total{topology=\"it\",component=\"beats\"} ";
        let line = page.lines().find_map(|line| line.strip_prefix(acked));
        line.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count > 0)
    });
    let (mut typed, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for line in page.lines() {
        if let Some(words) = line.strip_prefix("# TYPE ") {
            let (name, kind) = words.split_once(' ').expect("a name and a type");
            assert!(["counter", "gauge", "histogram", "summary"].contains(&kind), "{line}");
            assert!(typed.insert(name), "{name} has two types");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = sample(line).unwrap_or_else(|| panic!("no sample: {line:?}"));
            assert!(value.is_finite(), "{line}");
            let base = |end: &str| name.strip_suffix(end).unwrap_or(name);
            assert!(
                typed.contains(name)
                    || ["_bucket", "_sum", "_count"].iter().any(|it| typed.contains(base(it))),
                "{name} has no type"
            );
            assert!(seen.insert(line.rsplit_once(' ').map(|it| it.0)), "twice: {line}");
        }
    }
    assert!(typed.contains("squall_worker_restarts_total"), "{page}");
}

#[test]
fn dev_runs_a_topology_until_it_is_interrupted_and_leaves_nothing() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = squall();
    command.env("TMPDIR", &temporary).args(["dev", "--slots", "2", "--workers", "2"]);
    command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--name", "mine"]);
    command.arg(path("misbehave"));
    let mut dev = Process::start(command, &folder.path().join("dev.log"));
    let status = dev.line("  status   http://");
    let (http, _) = status.split_once('/').expect("an address and a path");
    let acked = || {
        let page = get(http, "/api/v1/topologies/mine").unwrap_or_default().1;
        let status: Value = serde_json::from_str(&page).unwrap_or_default();
        status["totals"]["acked"].as_u64().unwrap_or(0)
    };
    until("its tuples are acked", || acked() > 0);
    assert_eq!(processes_below(&temporary).len(), 2, "two workers run below its folder");
    assert_eq!(dev.interrupt(), Some(0), "{}", dev.log());
    assert_eq!(processes_below(&temporary), [0; 0], "a worker still runs");
    let left = std::fs::read_dir(&temporary).unwrap().count();
    assert_eq!(left, 0, "a folder is left");
    assert!(get(http, "/healthz").is_err(), "the port is still open");
}
