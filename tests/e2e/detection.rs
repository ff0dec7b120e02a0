//! Who is found to be gone, stopped, stuck or away, and what follows: replaced is what must be, and
//! nothing else moves.

use std::time::Duration;

use daemon::Clock;
use serde_json::Value;
use tests::{Audit, Cluster, Signal, signal, until};

use crate::{path, submit_audit, until_flowing};

const FLAGS: [&str; 4] = ["--workers", "2", "-c", "max_pending=200"];

const UNTIL_END: [&str; 2] = ["--count=3000", "--until-end"];

/// One worker in the status of a topology.
fn worker(cluster: &Cluster, name: &str, number: u64) -> Value {
    let workers = cluster.status(name)["workers"].as_array().cloned().unwrap_or_default();
    workers.into_iter().find(|it| it["worker"] == number).unwrap_or_default()
}

/// The only supervisor, as nimbus sees it.
fn supervisor(cluster: &Cluster) -> Value {
    cluster.document("/api/v1/supervisors")[0].clone()
}

fn end(cluster: &Cluster, audit: &Audit) {
    audit.let_end();
    let status = cluster.until_finished("audit");
    assert_eq!(status["totals"]["pending"], 0, "a tree is still open: {}", status["totals"]);
    audit.assert_nothing_lost(2);
}

/// Stops a process for a moment; false if the moment became a long one, on a busy machine.
fn pause(pid: u32, moment: Duration) -> bool {
    let clock = Clock::system();
    let begun = clock.now();
    assert!(signal(pid, Signal::SIGSTOP), "the process was there");
    until("a moment has passed", || clock.now() >= begun + moment);
    assert!(signal(pid, Signal::SIGCONT), "the process was there");
    clock.now() < begun + moment * 3
}

#[test]
fn a_worker_that_is_stopped_for_a_moment_stays_and_one_that_stays_stopped_is_replaced() {
    let cluster = Cluster::start(1, 2);
    let audit = submit_audit(&cluster, "audit", &FLAGS, &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");
    let short = (0..5).any(|_| pause(before[0].0, Duration::from_millis(300)));
    until_flowing(&audit, "tuples flow after the moment");
    if short {
        assert_eq!(cluster.workers("audit"), before, "a moment is no reason");
        assert_eq!(cluster.status("audit")["totals"]["failed"], 0, "nothing had to be replayed");
    }

    let stopped = cluster.workers("audit")[0].0;
    assert!(signal(stopped, Signal::SIGSTOP), "the worker was there");
    let mut shown = Value::Null;
    until("the stopped worker runs again, as another process", || {
        shown = worker(&cluster, "audit", 0);
        shown["state"] == "running" && shown["pid"] != stopped
    });
    let why = shown["last_exit"].as_str().unwrap_or_default();
    assert!(why.starts_with("was stopped and said nothing"), "the reason is shown: {shown}");
    until_flowing(&audit, "tuples flow again");
    assert_eq!(cluster.workers("audit")[1], before[1], "the other worker was restarted too");
    end(&cluster, &audit);
}

#[test]
fn while_a_supervisor_is_away_its_workers_report_by_themselves_and_nothing_moves() {
    let mut cluster = Cluster::start(1, 2);
    let audit = submit_audit(&cluster, "audit", &FLAGS, &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");
    let generation = cluster.status("audit")["generation"].clone();

    cluster.kill_supervisor(0);
    until("the status says that it is away, and that its workers are on their own", || {
        supervisor(&cluster)["status"] == "away"
            && (0..2).all(|number| worker(&cluster, "audit", number)["direct"] == true)
    });
    let counted = cluster.status("audit")["totals"]["acked"].as_u64();
    until("their counts go on rising", || {
        cluster.status("audit")["totals"]["acked"].as_u64() > counted
    });
    until_flowing(&audit, "tuples flow");
    cluster.restart_supervisor(0);
    until("its next life has adopted them", || {
        supervisor(&cluster)["status"] == "alive"
            && (0..2).all(|number| worker(&cluster, "audit", number)["direct"] == false)
    });

    // One that stands still holds its sockets open: it is found by its silence.
    let frozen = cluster.supervisor_process(0);
    assert!(signal(frozen, Signal::SIGSTOP), "the supervisor was there");
    until("it is away again", || supervisor(&cluster)["status"] == "away");
    until_flowing(&audit, "tuples flow while it stands still");
    assert!(signal(frozen, Signal::SIGCONT), "the supervisor was there");
    until("it is back", || supervisor(&cluster)["status"] == "alive");
    until_flowing(&audit, "tuples flow after that");

    assert_eq!(cluster.workers("audit"), before, "no worker was restarted");
    assert_eq!(cluster.status("audit")["generation"], generation, "nothing was placed anew");
    end(&cluster, &audit);
    assert_eq!(cluster.status("audit")["totals"]["failed"], 0, "nothing had to be replayed");
}

#[test]
fn a_component_that_never_comes_back_gets_its_worker_replaced_by_name() {
    let cluster = Cluster::start(1, 2);
    let once = cluster.scratch("loops").join("once");
    let once = format!("--once={}", once.display());
    let binary = path("trouble");
    let submit = ["submit", &binary, "--name", "loops", "--workers", "2", "--wait"];
    let settings = ["-c", "stuck_after=500ms", "-c", "kill_after=2s"];
    cluster.does(&[&submit[..], &settings, &["--", "--trouble=loops", &once]].concat());
    let mut whys = Vec::new();
    until("one worker is replaced for its component", || {
        whys = (0..2).map(|number| worker(&cluster, "loops", number)).collect();
        let why = |it: &Value| it["last_exit"].as_str().unwrap_or_default().to_owned();
        whys.iter().any(|it| why(it).contains("component troubled"))
    });
    let replaced = whys.iter().filter(|it| it["restarts"] == 1).count();
    assert_eq!(replaced, 1, "the other one lives: {whys:?}");
    let status = cluster.until_finished("loops");
    let errors = status["errors"].as_array().cloned().unwrap_or_default();
    let stuck = errors.iter().any(|it| it["reason"] == "stuck" && it["component"] == "troubled");
    assert!(stuck, "it was shown as stuck before: {errors:?}");
    let results = status["results"].as_array().cloned().unwrap_or_default();
    assert!(results.iter().any(|it| it["value"] == 200), "all came through: {results:?}");
}

#[test]
fn a_nimbus_that_stood_still_blames_nobody() {
    let cluster = Cluster::start(2, 1);
    let audit = submit_audit(&cluster, "audit", &FLAGS, &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");
    let generation = cluster.status("audit")["generation"].clone();
    let nimbus = cluster.nimbus().id();
    assert!(signal(nimbus, Signal::SIGSTOP), "nimbus was there");
    until("its lease has run out", || !cluster.keys().iter().any(|key| key.ends_with("/leader")));
    until_flowing(&audit, "tuples flow without it");
    assert!(signal(nimbus, Signal::SIGCONT), "nimbus was there");
    until("it leads again and hears of the same workers", || cluster.workers("audit") == before);
    until_flowing(&audit, "tuples flow after that");
    assert_eq!(cluster.status("audit")["generation"], generation, "nothing was placed anew");
    assert_eq!(cluster.workers("audit"), before, "a worker was restarted");
    end(&cluster, &audit);
}

#[test]
fn a_supervisor_that_comes_and_goes_keeps_its_workers_and_gets_no_new_ones() {
    let mut cluster = Cluster::start(2, 2);
    let audit = submit_audit(&cluster, "audit", &FLAGS, &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");
    let held = |cluster: &Cluster| {
        let all = cluster.document("/api/v1/supervisors").as_array().cloned().unwrap_or_default();
        let held = all.iter().filter(|it| it["held_back"] == true);
        held.filter_map(|it| it["id"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    for _ in 0..6 {
        if !held(&cluster).is_empty() {
            break;
        }
        cluster.kill_supervisor(1);
        cluster.restart_supervisor(1);
        until("both report", || {
            let all = cluster.document("/api/v1/supervisors");
            [0, 1].iter().all(|at| all[*at]["status"] == "alive")
                && (0..2).all(|number| worker(&cluster, "audit", number)["state"] == "running")
        });
    }
    let held = held(&cluster);
    assert_eq!(held.len(), 1, "it came and went often enough");
    cluster.does(&["submit", &path("misbehave"), "--name", "new", "--wait"]);
    let there = worker(&cluster, "new", 0)["supervisor"].clone();
    assert_ne!(there, held[0].as_str(), "new work goes elsewhere");
    assert_eq!(cluster.workers("audit"), before, "what ran there stays");
    cluster.does(&["kill", "new", "--wait"]);
    end(&cluster, &audit);
}

#[test]
fn a_worker_that_is_asked_to_end_lets_its_trees_finish() {
    let cluster = Cluster::start(1, 1);
    let audit = submit_audit(&cluster, "audit", &["-c", "max_pending=200"], &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");
    assert!(signal(before[0].0, Signal::SIGTERM), "the worker was there");
    let mut shown = Value::Null;
    until("it has ended and runs again", || {
        shown = worker(&cluster, "audit", 0);
        shown["state"] == "running" && shown["restarts"] == 1
    });
    assert_eq!(shown["last_exit"], "exit code 0", "it ended in good order: {shown}");
    assert_eq!(cluster.status("audit")["totals"]["failed"], 0, "no tree was cut off");
    until_flowing(&audit, "tuples flow again");
    end(&cluster, &audit);
}

#[test]
fn a_supervisor_that_is_asked_to_end_lets_the_trees_of_its_workers_finish() {
    let mut cluster = Cluster::start(1, 2);
    let audit = submit_audit(&cluster, "audit", &FLAGS, &UNTIL_END);
    until_flowing(&audit, "there is a load");
    assert_eq!(cluster.stop_supervisor(0), Some(0), "it stops in good order");
    let emitted: usize = audit.acked().len();
    audit.assert_acked_were_executed();
    let totals = cluster.status("audit")["totals"].clone();
    assert_eq!(totals["failed"], 0, "no tree was cut off after {emitted} were acked: {totals}");
    cluster.restart_supervisor(0);
    until_flowing(&audit, "tuples flow again");
    end(&cluster, &audit);
}
