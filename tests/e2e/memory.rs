//! What a worker holds is bounded, and what stands still or is slow costs the others nothing.

use serde_json::Value;
use tests::{Cluster, Signal, rss_bytes, signal, until};

use crate::{path, submit_audit, until_flowing};

/// The memory budget of a worker here, in bytes.
const BUDGET: u64 = 64 << 20;

/// What a debug build of a worker needs for itself at most, its code included, in bytes. All tuples
/// of the branch that stands still would take 160 MiB more.
const ITSELF: u64 = 100 << 20;

/// A figure of a component.
fn of(status: &Value, component: &str, figure: &str) -> u64 {
    let components = status["components"].as_array().cloned().unwrap_or_default();
    let found = components.iter().find(|it| it["name"] == component);
    found.and_then(|it| it[figure].as_u64()).unwrap_or(0)
}

/// How many tuples the sinks of a branch saw, and the sum of their numbers.
fn seen(status: &Value, branch: &str) -> (u64, u64) {
    let results = status["results"].as_array().cloned().unwrap_or_default();
    let of_sink = results.iter().filter(|it| it["component"] == format!("{branch}-sink"));
    let pair = |it: &Value| (it["value"][0].as_u64(), it["value"][1].as_u64());
    of_sink.map(pair).fold((0, 0), |sum, (count, numbers)| {
        (sum.0 + count.unwrap_or(0), sum.1 + numbers.unwrap_or(0))
    })
}

#[test]
fn sinks_that_stand_still_hold_up_their_branch_within_the_budget_and_nothing_is_lost() {
    const COUNT: u64 = 40_000;
    let cluster = Cluster::start(1, 2);
    let file = cluster.scratch("stall").join("go-on");
    let (binary, go_on) = (path("trouble"), format!("--until={}", file.display()));
    let submit = ["submit", &binary, "--name", "stall", "--workers", "2", "--wait"];
    let settings = ["-c", "worker.memory=64MiB", "-c", "max_pending=30000"];
    let patience = ["-c", "message_timeout=10m"];
    let count = format!("--count={COUNT}");
    let arguments = ["--", "--trouble=stalls", &go_on, &count];
    cluster.does(&[&submit[..], &settings, &patience, &arguments].concat());

    let mut before = Value::Null;
    let mut status = Value::Null;
    until("one branch stands still while the other goes on", || {
        before = std::mem::replace(&mut status, cluster.status("stall"));
        let moved =
            |component, figure| of(&status, component, figure) - of(&before, component, figure);
        let emitted = of(&status, "still-source", "emitted");
        emitted > 1_000
            && moved("still-source", "emitted") == 0
            && moved("moving-sink", "executed") > 0
    });
    let from = of(&status, "moving-sink", "executed");
    until("the other branch makes 20 000 tuples of progress", || {
        status = cluster.status("stall");
        for (pid, _) in cluster.workers("stall") {
            let resident = rss_bytes(pid);
            assert!(resident < BUDGET + ITSELF, "a worker takes {resident} bytes: {status}");
        }
        of(&status, "moving-sink", "executed") > from + 20_000
    });
    for worker in status["workers"].as_array().cloned().unwrap_or_default() {
        assert_eq!(worker["held_bytes_limit"], BUDGET, "the setting counts: {worker}");
        assert!(worker["held_bytes"].as_u64().is_some_and(|it| it < BUDGET), "{worker}");
    }
    let emitted = of(&status, "still-source", "emitted");
    assert!(emitted < COUNT, "the source was held up: it emitted {emitted}");

    std::fs::write(&file, "").expect("the folder of the test can be written to");
    let status = cluster.until_finished("stall");
    assert_eq!(status["totals"]["failed"], 0, "nothing fails: {}", status["totals"]);
    assert_eq!(seen(&status, "still"), (COUNT, COUNT * (COUNT - 1) / 2), "count and sum");
    let moved = of(&status, "moving-source", "emitted");
    assert_eq!(seen(&status, "moving"), (moved, moved * (moved - 1) / 2), "count and sum");
}

#[test]
fn a_worker_that_stands_still_takes_its_share_and_the_others_go_on() {
    let cluster = Cluster::start(1, 2);
    let flags = ["--workers", "2"];
    let arguments = ["--count=5000", "--until-end", "--grouping=shuffle"];
    let audit = submit_audit(&cluster, "audit", &flags, &arguments);
    until_flowing(&audit, "there is a load");
    let mut before = Vec::new();
    // Executors 0 and 1 are the spouts, then come two relays and two sinks.
    let mut stays: Vec<u64> = cluster.status("audit")["workers"]
        .as_array()
        .and_then(|all| all.iter().find(|it| it["worker"] == 0)?["executors"].as_array())
        .map(|all| all.iter().filter_map(Value::as_u64).map(|index| index / 2).collect())
        .unwrap_or_default();
    stays.sort_unstable();
    assert_eq!(stays, [0, 1, 2], "one of each is in the other worker");
    // One that stands still is replaced after a while: on a machine that is slow, before that many have
    // flowed. Then the same is tried again.
    until("many tuples flow while one worker stands still", || {
        before = cluster.workers("audit");
        if before.iter().any(|(pid, _)| *pid < 2) || !signal(before[1].0, Signal::SIGSTOP) {
            return false;
        }
        // What it had credit for is used up by then, and the shuffles leave it out.
        for _ in 0..30 {
            until_flowing(&audit, "tuples flow while one worker stands still");
        }
        cluster.workers("audit") == before
    });
    assert!(signal(before[1].0, Signal::SIGCONT), "it is there still");
    audit.let_end();
    let status = cluster.until_finished("audit");
    assert_eq!(status["totals"]["pending"], 0, "a tree is still open: {}", status["totals"]);
    audit.assert_nothing_lost(2);
}
