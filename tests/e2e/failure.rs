//! Processes that are killed under load: what must go on does, and nothing is lost.

use serde_json::Value;
use tests::{Cluster, Signal, signal, until};

use crate::{submit_audit, until_flowing};

/// One worker in the status of a topology.
fn worker(status: &Value, number: usize) -> Value {
    let workers = status["workers"].as_array().cloned().unwrap_or_default();
    workers.into_iter().find(|it| it["worker"] == number).unwrap_or_default()
}

/// Kills one of three workers under load, and asserts all that must hold then.
fn kill_a_worker(cluster: &Cluster, victim: usize, fusion: &str, relay: &str) {
    let name = format!("audit-{victim}-{}-{relay}", fusion.replace('=', "-"));
    let relay = format!("--relay={relay}");
    let flags = ["--workers", "3", "-c", fusion, "-c", "max_pending=200"];
    let audit = submit_audit(cluster, &name, &flags, &["--count=5000", "--until-end", &relay]);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers(&name);
    assert!(before.len() == 3 && before.iter().all(|(pid, _)| *pid > 1), "{before:?}");

    assert!(signal(before[victim].0, Signal::SIGKILL), "the worker was there");
    let mut status = Value::Null;
    until("the killed worker runs again, as another process", || {
        status = cluster.status(&name);
        let it = worker(&status, victim);
        it["state"] == "running" && it["restarts"] == 1 && it["pid"] != before[victim].0
    });
    let why = worker(&status, victim)["last_exit"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains('9') || why.contains("KILL"), "the status lacks the reason: {why:?}");
    until_flowing(&audit, "tuples flow again");
    let after = cluster.workers(&name);
    for number in (0..3).filter(|number| *number != victim) {
        assert_eq!(after[number], before[number], "worker {number} was restarted too");
    }

    audit.let_end();
    let status = cluster.until_finished(&name);
    assert_eq!(status["totals"]["pending"], 0, "a tree is still open: {}", status["totals"]);
    audit.assert_nothing_lost(2);
    cluster.does(&["kill", &name, "--wait"]);
}

#[test]
fn a_worker_killed_under_load_is_restarted_alone_and_nothing_is_lost() {
    let cluster = Cluster::start(2, 2);
    for victim in 0..3 {
        for fusion in ["fusion=true", "fusion=false"] {
            kill_a_worker(&cluster, victim, fusion, "direct");
        }
    }
}

#[test]
fn a_worker_killed_with_calls_under_way_loses_nothing() {
    let cluster = Cluster::start(2, 2);
    for relay in ["async", "blocking"] {
        for victim in 0..3 {
            kill_a_worker(&cluster, victim, "fusion=true", relay);
        }
    }
}

#[test]
fn running_topologies_do_not_notice_that_nimbus_is_killed_and_restarted() {
    let mut cluster = Cluster::start(2, 1);
    let arguments = ["--count=5000", "--until-end"];
    let audit =
        submit_audit(&cluster, "audit", &["--workers", "2", "-c", "max_pending=200"], &arguments);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");
    let generation = cluster.status("audit")["generation"].clone();

    cluster.kill_nimbus();
    until_flowing(&audit, "tuples flow without a nimbus");
    cluster.restart_nimbus();
    until("the new nimbus hears of the same workers", || cluster.workers("audit") == before);
    assert_eq!(cluster.status("audit")["generation"], generation, "it was scheduled again");
    until_flowing(&audit, "tuples flow under the new nimbus");
    assert_eq!(cluster.workers("audit"), before, "a worker was restarted");

    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);
}

#[test]
fn workers_live_on_without_their_supervisor_and_are_adopted_by_the_next() {
    let mut cluster = Cluster::start(1, 2);
    let arguments = ["--count=5000", "--until-end"];
    let flags = ["--workers", "2", "-c", "max_pending=200"];
    let audit = submit_audit(&cluster, "audit", &flags, &arguments);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");

    cluster.kill_supervisor(0);
    until_flowing(&audit, "tuples flow without a supervisor");
    cluster.restart_supervisor(0);
    until("its next life reports the same workers", || {
        let status = cluster.status("audit");
        let running = |number| worker(&status, number)["state"] == "running";
        running(0) && running(1) && cluster.workers("audit") == before
    });
    until_flowing(&audit, "tuples flow under the next supervisor");

    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);
    assert_eq!(cluster.status("audit")["totals"]["failed"], 0, "nothing had to be replayed");
}
