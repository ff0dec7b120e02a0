//! Rebalances under load: what does not move runs on, nothing is lost, and the order of keys stays.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::{Audit, Cluster, Passage, Signal, processes_below, signal, until};

use crate::kills::{end, on, restarts};
use crate::{submit_audit, until_flowing};

/// The workers of a topology by their number: process id and epoch.
fn workers(cluster: &Cluster, name: &str) -> BTreeMap<u64, (u64, String)> {
    let status = cluster.status(name);
    let workers = status["workers"].as_array().cloned().unwrap_or_default();
    let known = |it: &Value| {
        let epoch = it["epoch"].as_str().unwrap_or_default().to_owned();
        Some((it["worker"].as_u64()?, (it["pid"].as_u64()?, epoch)))
    };
    workers.iter().filter(|it| it["state"] == "running").filter_map(known).collect()
}

/// As before, when so many run. A nimbus that loses its lead for a moment knows of none.
#[track_caller]
fn running(cluster: &Cluster, count: usize) -> BTreeMap<u64, (u64, String)> {
    let mut found = BTreeMap::new();
    until(&format!("{count} workers run"), || {
        found = workers(cluster, "audit");
        found.len() == count
    });
    found
}

/// How many executors all workers of a topology have.
fn executors(cluster: &Cluster, name: &str) -> usize {
    let status = cluster.status(name);
    let workers = status["workers"].as_array().cloned().unwrap_or_default();
    workers.iter().filter_map(|it| it["executors"].as_array().map(Vec::len)).sum()
}

/// Waits until a rebalance is done, and so many workers run so many executors.
#[track_caller]
fn until_rebalanced(cluster: &Cluster, name: &str, wanted: (usize, usize)) {
    until(&format!("{wanted:?} workers and executors run, and nothing moves"), || {
        let there = (workers(cluster, name).len(), executors(cluster, name));
        there == wanted && cluster.status(name)["status"] == "active"
    });
}

/// Asserts that no task of a sink met a tuple of a relay's task after one that this task had passed
/// on later. A relay that moves counts anew, so that may happen `moves` times.
fn assert_in_order(passages: &[Passage], moves: usize) {
    let mut last = BTreeMap::new();
    let mut anew = BTreeMap::<_, Vec<(u64, u64)>>::new();
    for it in passages {
        let pair = (it.relay, it.sink);
        if let Some(before) = last.insert(pair, it.place).filter(|before| *before >= it.place) {
            anew.entry(pair).or_default().push((before, it.place));
        }
    }
    for (pair, anew) in anew {
        assert!(anew.len() <= moves, "(relay, sink) {pair:?} out of order: {anew:?}");
    }
}

const ENDLESS: [&str; 2] = ["--count=3000", "--until-end"];

#[test]
fn a_rebalance_under_load_restarts_no_worker_loses_nothing_and_keeps_the_order_of_keys() {
    let cluster = Cluster::start(3, 1);
    let flags = ["--workers", "1", "-c", "max_pending=2000"];
    let audit = submit_audit(&cluster, "audit", &flags, &ENDLESS);
    until_flowing(&audit, "there is a load");
    let one = running(&cluster, 1);

    cluster.does(&["rebalance", "audit", "--workers", "3"]);
    // It is asked for while the first one runs, and waits for it.
    cluster.does(&["rebalance", "audit", "-e", "sink=1"]);
    until_rebalanced(&cluster, "audit", (3, 5));
    let three = running(&cluster, 3);
    assert_eq!(three.get(&0), one.get(&0), "the first worker runs on");
    until_flowing(&audit, "tuples flow through three workers");

    cluster.does(&["rebalance", "audit", "--workers", "2", "-e", "sink=2"]);
    until_rebalanced(&cluster, "audit", (2, 6));
    let two = running(&cluster, 2);
    assert!(two.iter().all(|it| three.get(it.0) == Some(it.1)), "{two:?} were {three:?}");
    assert_eq!(restarts(&cluster, "audit"), [0, 0], "nobody was restarted");
    until_flowing(&audit, "tuples flow through two workers");
    end(&cluster, &audit);
    assert_in_order(&audit.passages(), 3);
}

#[test]
fn tuples_that_nobody_tracks_survive_a_rebalance_of_their_bolts() {
    let cluster = Cluster::start(2, 2);
    let flags = ["--workers", "2", "-c", "acking=false"];
    let audit = submit_audit(&cluster, "audit", &flags, &["--count=30000", "--until-end"]);
    until_flowing(&audit, "there is a load");
    let before = running(&cluster, 2);
    for sinks in ["sink=1", "sink=2"] {
        cluster.does(&["rebalance", "audit", "-e", sinks, "-e", &sinks.replace("sink", "relay")]);
        until("the rebalance is done", || cluster.status("audit")["status"] == "active");
        until_flowing(&audit, "tuples flow");
    }
    assert_eq!(running(&cluster, 2), before, "the workers run on");
    let logs = cluster.does(&["logs", "audit"]);
    assert!(logs.contains("let go of an executor"), "something has moved: {logs}");
    assert!(!logs.contains("had not finished"), "something was given up: {logs}");
    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);
    assert_in_order(&audit.passages(), 2);
}

/// Kills a supervisor and its workers, all at once.
fn kill_machine(cluster: &mut Cluster, number: usize) {
    let its_workers = processes_below(&cluster.supervisor_folder(number));
    cluster.kill_supervisor(number);
    for worker in its_workers {
        signal(worker, Signal::SIGKILL);
    }
}

fn ends_well(cluster: &Cluster, audit: &Audit, what: &str) {
    until("the rebalance goes on to its end", || cluster.status("audit")["status"] == "active");
    until_flowing(audit, what);
    end(cluster, audit);
}

#[test]
fn a_machine_that_dies_in_the_middle_of_a_rebalance_is_replaced_and_nothing_is_lost() {
    let mut cluster = Cluster::start(3, 2);
    let flags = ["--workers", "2", "-c", "max_pending=200"];
    let audit = submit_audit(&cluster, "audit", &flags, &ENDLESS);
    until_flowing(&audit, "there is a load");
    running(&cluster, 2);
    let status = cluster.status("audit");
    let first = status["workers"][0]["supervisor"].as_str().expect("it has a supervisor");
    let is_first = |number: &usize| {
        let here = processes_below(&cluster.supervisor_folder(*number));
        on(&cluster, "audit", first).iter().all(|pid| here.contains(pid))
    };
    let number = (0..3).find(is_first).expect("it is on a machine");

    cluster.does(&["rebalance", "audit", "--workers", "4"]);
    kill_machine(&mut cluster, number);
    until("the dead machine has no worker", || on(&cluster, "audit", first).is_empty());
    ends_well(&cluster, &audit, "tuples flow without it");
}
