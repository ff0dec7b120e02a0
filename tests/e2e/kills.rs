//! Several processes that end together, machines that vanish and come back, and kills at random.

use serde_json::Value;
use tests::{Audit, Cluster, Signal, processes_below, signal, until};

use crate::{submit_audit, until_flowing};

const UNTIL_END: [&str; 2] = ["--count=3000", "--until-end"];

/// The workers of a topology that are on a supervisor: their process ids.
pub(crate) fn on(cluster: &Cluster, name: &str, supervisor: &str) -> Vec<u32> {
    let status = cluster.status(name);
    let workers = status["workers"].as_array().cloned().unwrap_or_default();
    let there = workers.iter().filter(|worker| worker["supervisor"] == supervisor);
    there.filter_map(|worker| u32::try_from(worker["pid"].as_u64()?).ok()).collect()
}

/// How often each worker was restarted.
pub(crate) fn restarts(cluster: &Cluster, name: &str) -> Vec<Value> {
    let status = cluster.status(name);
    let workers = status["workers"].as_array().cloned().unwrap_or_default();
    workers.iter().map(|worker| worker["restarts"].clone()).collect()
}

pub(crate) fn end(cluster: &Cluster, audit: &Audit) {
    audit.let_end();
    let status = cluster.until_finished("audit");
    assert_eq!(status["totals"]["pending"], 0, "a tree is still open: {}", status["totals"]);
    audit.assert_nothing_lost(2);
}

#[test]
fn a_worker_that_ends_together_with_its_supervisor_is_replaced_once_and_its_sibling_is_adopted() {
    let mut cluster = Cluster::start(1, 2);
    let flags = ["--workers", "2", "-c", "max_pending=200"];
    let audit = submit_audit(&cluster, "audit", &flags, &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");

    cluster.kill_supervisor(0);
    assert!(signal(before[0].0, Signal::SIGKILL), "the worker was there");
    cluster.restart_supervisor(0);
    until("the worker runs again as another process", || {
        let now = cluster.workers("audit");
        now.len() == 2 && now[0].0 > 1 && now[0].0 != before[0].0
    });
    until_flowing(&audit, "tuples flow again");
    assert_eq!(cluster.workers("audit")[1], before[1], "the worker that lived was restarted");
    assert_eq!(processes_below(cluster.folder()).len(), 2, "each worker is there once");
    assert_eq!(restarts(&cluster, "audit"), [1, 0], "replaced once, and the other never");
    end(&cluster, &audit);
}

/// The ids of the supervisors, in the order of their numbers, told apart by their folders.
fn supervisors(cluster: &Cluster, name: &str) -> [String; 2] {
    let pids = |number| processes_below(&cluster.supervisor_folder(number));
    let status = cluster.status(name);
    let workers = status["workers"].as_array().cloned().unwrap_or_default();
    [0, 1].map(|number| {
        let its: Vec<u64> = pids(number).into_iter().map(u64::from).collect();
        let worker = workers.iter().find(|it| its.contains(&it["pid"].as_u64().unwrap_or(0)));
        let id = worker.and_then(|worker| worker["supervisor"].as_str());
        id.unwrap_or_else(|| panic!("machine {number} has no worker: {status}")).to_owned()
    })
}

/// Waits until a topology of two workers runs on one machine alone.
fn until_moved(cluster: &Cluster, from: &str, to: &str) {
    until("what ran on the lost machine runs on the other", || {
        on(cluster, "audit", from).is_empty() && {
            let there = on(cluster, "audit", to);
            there.len() == 2 && there.iter().all(|pid| *pid > 1)
        }
    });
}

#[test]
fn a_machine_that_is_gone_is_replaced_by_another_and_may_come_back() {
    let mut cluster = Cluster::start(2, 2);
    let flags = ["--workers", "2", "-c", "max_pending=200"];
    let audit = submit_audit(&cluster, "audit", &flags, &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let [stays, goes] = supervisors(&cluster, "audit");

    let its_workers = on(&cluster, "audit", &goes);
    cluster.kill_supervisor(1);
    for worker in its_workers {
        assert!(signal(worker, Signal::SIGKILL), "the worker was there");
    }
    until_moved(&cluster, &goes, &stays);
    until_flowing(&audit, "tuples flow on one machine");

    cluster.restart_supervisor(1);
    until("the machine is back with its slots", || {
        cluster.document("/api/v1/cluster")["slots"] == 4
    });
    until_flowing(&audit, "nothing is disturbed by its return");
    assert!(on(&cluster, "audit", &goes).is_empty(), "nothing is moved without a reason");
    end(&cluster, &audit);
}

#[test]
fn a_machine_that_was_frozen_finds_its_workers_retired_and_stops_them() {
    let cluster = Cluster::start(2, 2);
    let flags = ["--workers", "2", "-c", "max_pending=200"];
    let audit = submit_audit(&cluster, "audit", &flags, &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let [stays, goes] = supervisors(&cluster, "audit");

    let stale = on(&cluster, "audit", &goes);
    let frozen: Vec<u32> = stale.iter().copied().chain([cluster.supervisor_process(1)]).collect();
    for process in &frozen {
        assert!(signal(*process, Signal::SIGSTOP), "the process was there");
    }
    until_moved(&cluster, &goes, &stays);
    until_flowing(&audit, "tuples flow on one machine");

    for process in &frozen {
        assert!(signal(*process, Signal::SIGCONT), "the process was there");
    }
    until("the stale workers are stopped", || {
        processes_below(&cluster.supervisor_folder(1)).is_empty()
    });
    until_flowing(&audit, "the others go on");
    assert_eq!(on(&cluster, "audit", &stays).len(), 2, "they are where they were");
    end(&cluster, &audit);
}

/// Numbers that look random, from a seed: Knuth's linear congruential generator.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// Kills one process of a cluster of one nimbus, two supervisors and four workers.
fn kill_one(cluster: &mut Cluster, chance: &mut Chance) -> String {
    match chance.below(7) {
        0 => {
            cluster.kill_nimbus();
            cluster.restart_nimbus();
            "the nimbus".to_owned()
        }
        machine @ 1..=2 => {
            let number = usize::from(machine == 2);
            cluster.kill_supervisor(number);
            cluster.restart_supervisor(number);
            format!("supervisor {number}")
        }
        _ => {
            let workers = cluster.worker_processes();
            let victim = workers[usize::try_from(chance.below(workers.len() as u64)).unwrap_or(0)];
            // It may have ended between the look and the kill.
            signal(victim, Signal::SIGKILL);
            format!("worker process {victim} of {workers:?}")
        }
    }
}

#[test]
fn twenty_kills_of_any_process_at_random_times_lose_nothing() {
    let seed = u64::from(std::process::id());
    let mut chance = Chance(seed);
    let mut cluster = Cluster::start(2, 2);
    let flags = ["--workers", "4", "-c", "max_pending=200"];
    let audit = submit_audit(&cluster, "audit", &flags, &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let mut killed = Vec::new();
    for _ in 0..20 {
        let more = chance.below(20_000);
        let before = audit.written();
        until(&format!("tuples flow (seed {seed}) after {killed:?}"), || {
            audit.written() >= before + more && cluster.worker_processes().len() == 4
        });
        killed.push(kill_one(&mut cluster, &mut chance));
    }
    until_flowing(&audit, &format!("tuples flow (seed {seed}) after {killed:?}"));
    until("nimbus hears of four running workers", || {
        let status = cluster.status("audit");
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        workers.len() == 4 && workers.iter().all(|worker| worker["state"] == "running")
    });
    end(&cluster, &audit);
}
