//! Components that misbehave: their tuples come through or fail with a reason that people see, and
//! the worker stays alive and small.

use serde_json::Value;
use tests::{Cluster, until};

use crate::path;

/// Memory that a worker may take here, in bytes. What a debug build needs for itself is below 100 MB;
/// ten million tuples at once would take twice the limit.
const RESIDENT_MAX: u64 = 300 << 20;

/// What a kind of trouble comes to.
struct Expected {
    trouble: &'static str,
    flags: &'static [&'static str],
    /// The reason under which inputs or trees failed; empty if none may fail.
    reason: &'static str,
    /// Part of an error that must be shown; empty if none.
    told: &'static str,
}

const fn expected(
    trouble: &'static str,
    flags: &'static [&'static str],
    reason: &'static str,
    told: &'static str,
) -> Expected {
    Expected { trouble, flags, reason, told }
}

const EXPECTED: [Expected; 10] = [
    expected("panics", &[], "panic", "panics at 10"),
    expected("errors", &[], "error", "cannot take 1"),
    expected("drops", &[], "dropped-guard", ""),
    // The last of them waits for far longer than the timeout; that is no reason to fail.
    expected("slow", &["-c", "message_timeout=1s"], "", ""),
    expected("floods", &["-c", "output.budget=1MiB"], "too-much-output", "emit_from"),
    expected("pours", &[], "", ""),
    expected("large", &["-c", "tuple.max_bytes=512KiB"], "too-large", "tuple.max_bytes"),
    expected("factory", &[], "", "the database is not there yet"),
    expected("spout-errors", &[], "", "the source is in trouble"),
    expected("spout-panics", &[], "", "the spout is in trouble"),
];

/// How often something failed for a reason, over all components.
fn failures(status: &Value, reason: &str) -> u64 {
    let components = status["components"].as_array().cloned().unwrap_or_default();
    components.iter().filter_map(|component| component["failed"][reason].as_u64()).sum()
}

fn submit(cluster: &Cluster, trouble: &str, flags: &[&str]) {
    let binary = path("trouble");
    let submit = ["submit", &binary, "--name", trouble, "--workers", "2", "--wait"];
    let argument = format!("--trouble={trouble}");
    cluster.does(&[&submit[..], flags, &["--", &argument]].concat());
}

fn assert_as_expected(cluster: &Cluster, expected: &Expected) {
    let Expected { trouble, flags, reason, told } = expected;
    submit(cluster, trouble, flags);
    let mut resident = 0;
    let mut status = Value::Null;
    until(&format!("{trouble} is finished"), || {
        status = cluster.status(trouble);
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        let now = workers.iter().filter_map(|worker| worker["rss_bytes"].as_u64()).max();
        resident = resident.max(now.unwrap_or(0));
        status["status"].as_str().is_some_and(|it| it.eq_ignore_ascii_case("finished"))
    });
    assert!(resident < RESIDENT_MAX, "{trouble}: a worker took {resident} bytes");
    let results = status["results"].as_array().cloned().unwrap_or_default();
    assert!(
        results.iter().any(|result| result["value"] == 200),
        "{trouble}: every number came through in the end: {results:?}"
    );
    if reason.is_empty() {
        assert_eq!(status["totals"]["failed"], 0, "{trouble}: nothing fails: {status}");
    } else {
        assert!(failures(&status, reason) > 0, "{trouble}: {reason} is counted: {status}");
    }
    let shown = cluster.does(&["describe", trouble]);
    assert!(shown.contains(told), "{trouble}: `squall describe` says {told:?}:\n{shown}");
    assert!(shown.contains(reason), "{trouble}: `squall describe` says {reason:?}:\n{shown}");
    cluster.does(&["kill", trouble, "--wait"]);
}

#[test]
fn what_a_component_does_wrong_is_shown_and_costs_no_tuple_and_no_worker() {
    let cluster = Cluster::start(1, 2);
    for expected in &EXPECTED {
        assert_as_expected(&cluster, expected);
    }
    let restarted = cluster.worker_processes();
    assert!(restarted.is_empty(), "every worker of a killed topology is gone: {restarted:?}");
}

#[test]
fn a_bolt_that_never_acks_makes_trees_time_out_and_can_be_killed() {
    let cluster = Cluster::start(1, 2);
    submit(&cluster, "never-acks", &["-c", "message_timeout=1s"]);
    until("the numbers that were kept time out and come through when they come again", || {
        let status = cluster.status("never-acks");
        failures(&status, "timeout") == 20 && status["totals"]["acked"] == 200
    });
    cluster.does(&["kill", "never-acks", "--wait"]);
    assert_eq!(cluster.status("never-acks"), Value::Null, "it is gone");
}

#[test]
fn a_spout_that_panics_in_ack_goes_on() {
    let cluster = Cluster::start(1, 2);
    submit(&cluster, "ack-panics", &[]);
    let status = cluster.until_finished("ack-panics");
    assert_eq!(status["totals"]["acked"], 200, "each number is acked once: {status}");
    let shown = cluster.does(&["describe", "ack-panics"]);
    assert!(shown.contains("the ack of"), "the panic is shown:\n{shown}");
}
