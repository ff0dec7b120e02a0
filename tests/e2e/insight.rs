//! What a running cluster tells of itself: what limits it, where its tasks are, and what happened.

use serde_json::Value;
use tests::{Cluster, until};

use crate::path;

/// What is wrong with the topology, as codes and the components that cause it.
fn findings(status: &Value) -> Vec<(String, String)> {
    let findings = status["findings"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings.iter().map(|it| (text(&it["code"]), text(&it["component"]))).collect()
}

#[test]
fn a_planted_bottleneck_is_named_with_what_would_lift_it_and_shown_in_figures() {
    let cluster = Cluster::start(1, 2);
    let binary = path("trouble");
    let submit = ["submit", &binary, "--name", "slow", "--workers", "2", "--wait"];
    let arguments = ["--", "--trouble=slow", "--count=1000000"];
    cluster.does(&[&submit[..], &arguments].concat());
    let mut status = Value::Null;
    until("the bottleneck is found", || {
        status = cluster.status("slow");
        findings(&status) == [("bottleneck".to_owned(), "troubled".to_owned())]
    });
    until("tuples are seen to flow", || {
        let status = cluster.status("slow");
        status["edges"][0]["rate"].as_f64().is_some_and(|rate| rate > 0.0)
    });
    until("the cluster tells of it too", || {
        findings(&cluster.document("/api/v1/cluster"))[..] == findings(&status)[..]
    });

    let troubled = cluster.document("/api/v1/topologies/slow/components/troubled?sort=busy");
    assert!(troubled["time"]["busy"].as_f64().is_some_and(|busy| busy > 800.0), "{troubled:#}");
    let task = &troubled["tasks"][0];
    let took = task["execute_us"][0].as_f64();
    assert!(took.is_some_and(|us| us >= 20_000.0), "a call takes 20 ms: {task:#}");
    let spout = cluster.document("/api/v1/topologies/slow/components/numbers");
    let held = |part: &str| spout["time"][part].as_f64().unwrap_or(0.0);
    assert!(held("back_pressured") + held("throttled") > 500.0, "{spout:#}");

    let history = cluster.document("/api/v1/topologies/slow/history?component=troubled");
    let executed = history["executed"].as_array().cloned().unwrap_or_default();
    assert!(executed.iter().any(|it| it.as_f64() > Some(0.0)), "{history}");
    let events = cluster.document("/api/v1/topologies/slow/events");
    let events = events["events"].as_array().cloned().unwrap_or_default();
    let kinds: Vec<_> = events.iter().filter_map(|it| it["kind"].as_str()).collect();
    for kind in ["submitted", "assigned", "worker-started"] {
        assert!(kinds.contains(&kind), "no `{kind}` in {kinds:?}");
    }
}

/// What is said of the bottleneck of a topology whose bolt has this trouble: why, and what to do.
fn advice(cluster: &Cluster, trouble: &str) -> (String, String) {
    let first = cluster.status(trouble)["findings"][0].clone();
    assert!(first.is_null() || first["code"] == "bottleneck", "{first:#}");
    let text = |of: &str| first[of].as_str().unwrap_or_default().to_owned();
    (text("text"), text("next"))
}

#[test]
fn a_bolt_that_sleeps_needs_calls_side_by_side_and_one_that_computes_cores_or_executors() {
    let cluster = Cluster::start(1, 3);
    for trouble in ["slow", "sleeps-aside", "computes"] {
        let binary = path("trouble");
        let (trouble, arguments) = (format!("--trouble={trouble}"), "--count=1000000");
        let name = &trouble["--trouble=".len()..];
        cluster.does(&["submit", &binary, "--name", name, "--wait", "--", &trouble, arguments]);
    }
    let waits = "it only waits (for input or output, in a sleep or for a lock): the cores are not the limit";
    until("a bolt that sleeps in its turn is to do it aside", || {
        let (why, next) = advice(&cluster, "slow");
        why.contains(waits) && next.contains("`.blocking()`")
    });
    until("one that does so is to have more threads", || {
        let (why, next) = advice(&cluster, "sleeps-aside");
        why.contains(waits) && next.contains(".parallelism(")
    });
    until("one that computes is not said to wait", || {
        let (why, _) = advice(&cluster, "computes");
        why.contains("is the bottleneck") && !why.contains("waits (for")
    });
}

#[test]
fn the_counts_of_many_tasks_arrive_in_several_messages_all_of_them() {
    // A quarter of its tasks are two workers, and more than a message tells of.
    const TASKS: u64 = 8 * 130;
    let cluster = Cluster::start(1, 8);
    let binary = path("planted");
    let tasks = format!("--tasks={TASKS}");
    cluster.does(&["submit", &binary, "--name", "many", "--workers", "8", "--", &tasks]);
    until("the counts of every task are known", || {
        let count = cluster.document("/api/v1/topologies/many/components/count?limit=1");
        count["tasks_total"].as_u64() == Some(TASKS)
    });
    let executed = || {
        let status = cluster.status("many");
        let all = status["components"].as_array().into_iter().flatten();
        all.map(|it| it["executed"].as_u64().unwrap_or(0)).sum::<u64>()
    };
    let before = executed();
    until("they go on", || executed() > before + 1_000);
    let told = || {
        let supervisors = cluster.document("/api/v1/supervisors");
        supervisors[0]["workers"].as_array().map_or(0, Vec::len)
    };
    let seen: Vec<_> = (0..50).map(|_| told()).collect();
    assert_eq!(seen, [8; 50], "what a message tells of is not all there is");
}
