//! The supervisor with real processes: started, killed, adopted, stopped.
//!
//! The binary that is fetched and started is this very test: run as a worker it dials its
//! supervisor and does as it is told (see `child`). Nimbus is a real gRPC server that hands out
//! that binary and takes reports.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod child;
mod letters;
mod machine;
mod nimbus;

use coordination::Store;
use machine::{Machine, TOPOLOGY, until};
use proto::store::TopologyStatus;
use proto::supervisor::SlotReport;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_fetched_started_told_what_to_do_and_reported() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let worker = machine.running().await;
    assert!(worker.address.starts_with("127.0.0.1:"), "{worker:?}");
    let report = machine.reported(|slot| slot.state == "running" && slot.report.is_some()).await;
    assert_eq!((report.pid, report.topology.as_str()), (worker.pid, TOPOLOGY), "{report:?}");
    assert!(machine::lives(worker.pid), "the process that was reported");

    let log = supervisor.log().await;
    let told: Vec<&str> = log.lines().filter(|line| line.starts_with("told ")).take(3).collect();
    assert!(told[0].starts_with("told assignment"), "{log}");
    assert!(told[1].starts_with("told table"), "{log}");
    assert_eq!(told[2], "told state 1", "{log}");
    machine.set_status(TopologyStatus::Inactive).await;
    until("the worker is told to pause", async || supervisor.log().await.contains("told state 2"))
        .await;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_comes_back_at_once_under_a_newer_epoch() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let first = machine.running().await;
    until("it has said something", async || supervisor.log().await.contains("told state")).await;
    let mut history = machine.follow_worker().await;
    machine::kill(first.pid);
    let dead = history.next().await;
    let (old, new) = (first.epoch.unwrap(), dead.epoch.unwrap());
    assert_eq!((new.revision, new.restarts), (old.revision, old.restarts + 1), "{dead:?}");
    assert_eq!((dead.address.as_str(), dead.pid), ("", 0), "the old one is retired first");
    let second = history.next().await;
    assert_eq!(second.epoch, dead.epoch, "{second:?}");
    assert!(!second.address.is_empty() && second.pid != first.pid, "{second:?}");
    let slot = machine.reported(|slot| slot.state == "running" && slot.restarts == 1).await;
    assert_eq!(slot.last_exit, "killed by signal 9 (SIGKILL)");
    assert!(slot.last_words.contains("told state"), "its last lines: {slot:?}");
    until("the child is reaped", async || !machine::exists(first.pid)).await;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_survives_its_supervisor_and_is_adopted() {
    let machine = Machine::new().await;
    let supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let before = machine.running().await;
    let mut history = machine.follow_worker().await;
    let id = supervisor.id.clone();
    supervisor.die();
    let mut supervisor = machine.supervise().await;
    assert_eq!(supervisor.id, id, "the id is kept");
    let adopted = history.next().await;
    assert_eq!((adopted.pid, adopted.epoch), (before.pid, before.epoch), "no restart: {adopted:?}");
    assert_eq!(adopted.address, before.address, "it kept its connections");
    assert!(machine::lives(before.pid), "the very same process");
    let log = supervisor.log().await;
    assert_eq!(log.matches("epoch").count(), 1, "started once: {log}");

    machine::kill(before.pid);
    let dead = history.next().await;
    assert_eq!(dead.epoch.unwrap().restarts, before.epoch.unwrap().restarts + 1, "{dead:?}");
    let again = history.next().await;
    assert_ne!((again.pid, again.address.as_str()), (before.pid, ""), "{again:?}");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_died_without_a_supervisor_is_started_again() {
    let machine = Machine::new().await;
    let supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let before = machine.running().await;
    supervisor.die();
    machine::kill(before.pid);
    let mut history = machine.follow_worker().await;
    let mut supervisor = machine.supervise().await;
    assert_eq!(history.next().await.epoch.unwrap().restarts, 1, "its death is made known");
    let again = history.next().await;
    assert!(!again.address.is_empty() && again.pid != before.pid, "{again:?}");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_assigned_any_more_leaves_nothing() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let worker = machine.running().await;
    machine.unassign().await;
    until("the key is gone", async || machine.worker().await.is_none()).await;
    until("the folder is gone", async || !machine.has_folders()).await;
    assert!(!machine::exists(worker.pid), "the process is gone");
    machine.reported(|slot| slot.state == "empty").await;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_unassigned_while_the_supervisor_was_away_is_stopped() {
    let machine = Machine::new().await;
    let supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let worker = machine.running().await;
    supervisor.die();
    machine.unassign().await;
    let mut supervisor = machine.supervise().await;
    until("process and folder are gone", async || {
        !machine::lives(worker.pid) && !machine.has_folders()
    })
    .await;
    until("the key is gone", async || machine.worker().await.is_none()).await;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_facts_are_lost_is_ended_and_replaced() {
    let machine = Machine::new().await;
    let supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let worker = machine.running().await;
    until("its pid is written down", async || machine.facts().contains(&worker.pid.to_string()))
        .await;
    supervisor.die();
    machine.damage_facts();
    let mut history = machine.follow_worker().await;
    let mut supervisor = machine.supervise().await;
    until("the stray process is gone", async || !machine::lives(worker.pid)).await;
    let dead = history.next().await;
    assert!(dead.epoch.unwrap().restarts > worker.epoch.unwrap().restarts, "{dead:?}");
    let again = history.next().await;
    assert!(!again.address.is_empty(), "{again:?}");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_assignment_restarts_and_an_unchanged_one_does_not() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let first = machine.running().await;
    let revision = first.epoch.unwrap().revision;
    machine.assign(2, revision).await;
    until("the new generation arrived", async || {
        supervisor.log().await.contains("told assignment 2")
    })
    .await;
    assert_eq!(machine.worker().await.unwrap().pid, first.pid, "it was not touched");
    machine.assign(3, 0).await;
    let second = machine.running_where(|worker| worker.pid != first.pid).await;
    assert!(second.epoch.unwrap().revision > revision, "{second:?}");
    assert!(!machine::exists(first.pid), "the old one is gone");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_restarted_while_the_store_is_away() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let first = machine.running().await;
    machine.store.set_available(false);
    machine::kill(first.pid);
    let slot = machine.reported(|slot| slot.state == "running" && slot.restarts == 1).await;
    assert!(machine::lives(slot.pid), "{slot:?}");
    machine.store.set_available(true);
    let known = machine.running_where(|worker| worker.pid == slot.pid).await;
    assert_eq!(known.epoch.unwrap().restarts, 1, "made known when the store is back");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_is_stopped_drains_its_workers_and_leaves_nothing() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let worker = machine.running().await;
    supervisor.stop().await;
    assert!(!machine::exists(worker.pid), "the process is gone");
    assert!(!machine.has_folders(), "the folder is gone");
    let left = machine.store.list(&machine.keys.workers()).await.unwrap();
    assert_eq!(left.entries, [], "its records are gone");
    let left = machine.store.list(&machine.keys.supervisors()).await.unwrap();
    assert_eq!(left.entries, [], "it is not registered any more");
    let mut next = machine.supervise().await;
    let again = machine.running().await;
    let restarts = worker.epoch.unwrap().restarts + 1;
    assert_eq!(again.epoch.unwrap().restarts, restarts, "no epoch is used twice: {again:?}");
    next.stop().await;
    let states = machine.nimbus.states();
    assert!(states.contains("stopping"), "it drained: {states:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_that_is_not_what_was_submitted_never_runs() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.nimbus.forge();
    machine.assign(1, 0).await;
    let slot = machine.reported(|slot| slot.last_exit.contains("SHA-256")).await;
    assert_eq!((slot.state.as_str(), slot.pid), ("fetching", 0), "{slot:?}");
    let turned = machine.nimbus.reports.borrow().turned_away.clone();
    let binary = turned.iter().find(|it| it.why == "digest");
    assert!(binary.is_some_and(|it| it.who.starts_with("binary ")), "it is counted: {turned:?}");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_exits_at_once_backs_off_and_its_last_words_are_shown() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.configure("crash");
    machine.assign(1, 0).await;
    let slot = machine.reported(|slot| slot.state == "backing-off").await;
    assert_eq!(slot.last_exit, "exit code 65", "{slot:?}");
    assert!(slot.last_words.contains("cannot find the file"), "{slot:?}");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_worker_ended_is_said_in_plain_words() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.configure("panic");
    machine.assign(1, 0).await;
    let slot = machine.reported(|slot| slot.state == "backing-off").await;
    assert!(slot.last_exit.starts_with("panic: on purpose (supervisor/tests/"), "{slot:?}");
    assert!(slot.last_exit.ends_with("; exit code 101"), "{slot:?}");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_beyond_its_memory_ends_and_a_limit_that_nobody_holds_is_told() {
    let machine = Machine::new().await;
    let supervisor = machine.supervise().await;
    machine.configure("eat");
    machine.set("worker.memory.limit", "256MiB");
    machine.set("worker.cpu.limit", "0.5");
    machine.assign(1, 0).await;
    let slot = machine.reported(|slot| slot.state == "backing-off").await;
    assert!(slot.last_exit.starts_with("out of memory: memory allocation of"), "{slot:?}");
    assert!(slot.last_exit.contains("(worker.memory.limit=256MiB); killed by"), "{slot:?}");
    machine.configure("behave");
    machine.assign(2, 0).await;
    // It may say hello before its start is known.
    let told = |slot: &SlotReport| slot.state == "running" && slot.started_ms > 0;
    let running = machine.reported(told).await;
    assert!(running.unheld.starts_with("worker.cpu.limit is not enforced: "), "{running:?}");
    supervisor.die();
    let mut history = machine.follow_worker().await;
    let mut supervisor = machine.supervise().await;
    assert_eq!(history.next().await.pid, running.pid, "it was adopted");
    machine.reported(|slot| slot.state == "running" && slot.unheld == running.unheld).await;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ignores_everything_is_killed() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.configure("deaf");
    machine.assign(1, 0).await;
    let worker = machine.running().await;
    machine::stop(worker.pid);
    machine.unassign().await;
    until("even a stopped process goes", async || !machine::exists(worker.pid)).await;
    until("the folder is gone", async || !machine.has_folders()).await;
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_is_told_to_stop() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    let worker = machine.running().await;
    for (token, epoch) in [("guess", worker.epoch), ("", worker.epoch), ("guess", None)] {
        let told = child::knock(&machine.socket(), token, epoch).await;
        assert!(told.is_some_and(|reason| !reason.is_empty()), "{token:?} {epoch:?}");
    }
    assert_eq!(machine.worker().await.unwrap().pid, worker.pid, "the worker was not disturbed");
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_a_log_gets_what_is_written_and_no_path_leads_elsewhere() {
    let machine = Machine::new().await;
    let mut supervisor = machine.supervise().await;
    machine.assign(1, 0).await;
    machine.running().await;
    let mut lines = supervisor.follow_log(TOPOLOGY).await.expect("the worker runs");
    machine.set_status(TopologyStatus::Inactive).await;
    let mut seen = String::new();
    while !seen.contains("told state 2") {
        let chunk = lines.message().await.unwrap().expect("the worker runs on");
        seen += &String::from_utf8_lossy(&chunk.data);
    }
    for topology in ["..", "../..", "/etc", "nobody"] {
        assert!(supervisor.follow_log(topology).await.is_err(), "{topology:?}");
    }
    supervisor.stop().await;
}
