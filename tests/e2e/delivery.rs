//! What fields grouping and the order of a stream promise, seen by sinks of several processes.

use std::collections::{BTreeMap, BTreeSet};

use tests::{Audit, Cluster, Passage};

use crate::submit_audit;

/// Numbers of each spout task.
const COUNT: &str = "--count=20000";

/// Asserts that each key was executed by one task alone.
fn assert_a_key_has_one_task(passages: &[Passage]) {
    let mut task_of = BTreeMap::new();
    for passage in passages {
        let task = *task_of.entry(passage.key).or_insert(passage.sink);
        assert_eq!(task, passage.sink, "key {} met two tasks", passage.key);
    }
    let tasks: BTreeSet<_> = task_of.values().collect();
    assert_eq!(tasks.len(), 2, "both sinks should have keys");
}

/// Asserts the order from each relay to each sink, and from each spout to each relay.
fn assert_first_in_first_out(passages: &[Passage]) {
    let mut last = BTreeMap::new();
    for it in passages {
        if let Some(before) = last.insert((it.relay, it.sink), it.place) {
            assert!(before < it.place, "sink {} met {it:?} after place {before}", it.sink);
        }
    }
    // Relays stamp what they execute, so by their stamps it is in the order they met it.
    let mut stamped = passages.to_vec();
    stamped.sort_by_key(|it| (it.relay, it.place));
    let mut last = BTreeMap::new();
    for it in stamped {
        let (source, number) = it.number;
        if let Some(before) = last.insert((source, it.relay), number) {
            assert!(before < number, "relay {} met {it:?} after number {before}", it.relay);
        }
    }
}

fn run(cluster: &Cluster, workers: &str, fusion: &str, grouping: &str) -> Audit {
    let name = format!("audit-{workers}-{}-{grouping}", fusion.replace('=', "-"));
    let arguments = [COUNT, &format!("--grouping={grouping}")];
    let audit = submit_audit(cluster, &name, &["--workers", workers, "-c", fusion], &arguments);
    let status = cluster.until_finished(&name);
    let read = &status["components"][2]["inputs"][0]["grouping"];
    assert_eq!(read, grouping, "the status tells how the sinks read: {status}");
    cluster.does(&["kill", &name, "--wait"]);
    audit
}

#[test]
fn a_fields_key_meets_one_task_and_every_pair_of_tasks_is_first_in_first_out() {
    let cluster = Cluster::start(2, 2);
    for (workers, fusion) in
        [("1", "fusion=true"), ("1", "fusion=false"), ("3", "fusion=true"), ("3", "fusion=false")]
    {
        let audit = run(&cluster, workers, fusion, "fields");
        let passages = audit.passages();
        assert_eq!(passages.len(), 40_000, "{workers} workers: each number once, nothing failed");
        assert_a_key_has_one_task(&passages);
        assert_first_in_first_out(&passages);
        audit.assert_nothing_lost(2);
    }
}

#[test]
fn every_grouping_takes_each_number_once_over_two_workers() {
    let cluster = Cluster::start(2, 1);
    let both = |passages: &[Passage]| {
        let sinks: BTreeSet<u32> = passages.iter().map(|it| it.sink).collect();
        sinks.len() == 2
    };
    for (grouping, fusion) in [
        ("shuffle", "fusion=true"),
        ("none", "fusion=false"),
        ("partial-key", "fusion=true"),
        ("spread-hot-keys", "fusion=false"),
        ("scatter-hot-keys", "fusion=true"),
        ("custom", "fusion=true"),
    ] {
        let audit = run(&cluster, "2", fusion, grouping);
        let passages = audit.passages();
        assert_eq!(passages.len(), 40_000, "{grouping}: each number once, nothing failed");
        assert!(both(&passages), "{grouping}: both sinks have some");
        assert_first_in_first_out(&passages);
        audit.assert_nothing_lost(2);
    }
}
