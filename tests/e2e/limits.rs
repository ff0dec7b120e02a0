//! Limits of workers: who needs more memory than its topology may have ends alone, with the reason in
//! plain words, and who floods its log is held back neither by it nor the disk filled.

use serde_json::Value;
use tests::{Cluster, until};

use crate::{path, submit_audit, until_flowing};

/// What its supervisor says of a worker: state, restarts, how it ended last.
fn worker(status: &Value, number: u64) -> (String, u64, String) {
    let workers = status["workers"].as_array().cloned().unwrap_or_default();
    let found = workers.iter().find(|it| it["worker"] == number).cloned().unwrap_or_default();
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("state"), found["restarts"].as_u64().unwrap_or(0), text("last_exit"))
}

#[test]
fn a_worker_out_of_memory_ends_alone_says_so_and_backs_off_while_others_live() {
    let cluster = Cluster::start(1, 4);
    let audit = submit_audit(&cluster, "audit", &[], &["--count=5000", "--until-end"]);
    until_flowing(&audit, "tuples of another topology flow");
    let trouble = path("trouble");
    let submit = ["submit", &trouble, "--name", "eats", "--workers", "2"];
    let limits = ["-c", "worker.memory.limit=192MiB", "-c", "worker.cpu.limit=1.5"];
    cluster.does(&[&submit[..], &limits, &["--", "--trouble=eats"]].concat());

    let mut status = Value::Null;
    let mut who = 0;
    until("the worker with the bolt ended again and again, and waits", || {
        status = cluster.status("eats");
        let eats = |number: &u64| {
            let (state, restarts, _) = worker(&status, *number);
            state == "backing-off" && restarts >= 2
        };
        (0..2).find(eats).inspect(|number| who = *number).is_some()
    });
    let (_, _, exit) = worker(&status, who);
    assert!(exit.starts_with("out of memory: "), "{status}");
    assert!(exit.contains("worker.memory.limit=192MiB"), "{status}");
    let (_, restarts, _) = worker(&status, 1 - who);
    assert_eq!(restarts, 0, "the other worker of the topology lives: {status}");
    let described = cluster.does(&["describe", "eats"]);
    for part in ["out of memory", "keeps ending", "worker.memory.limit"] {
        assert!(described.contains(part), "lacks {part:?}:\n{described}");
    }
    // The machines of tests give no cgroups, so nobody holds the limit of cores; that is told.
    until("a limit that is not held stands in the status", || {
        let status = cluster.status("eats");
        let unheld = &status["workers"][usize::try_from(1 - who).unwrap_or(0)]["unheld"];
        unheld.as_str().is_some_and(|text| text.contains("worker.cpu.limit is not enforced"))
    });
    assert_eq!(worker(&cluster.status("audit"), 0).1, 0, "another topology was restarted");
    until_flowing(&audit, "tuples of another topology still flow");
    cluster.does(&["kill", "eats", "--wait", "--drain", "0s"]);
    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);
}

#[test]
fn a_worker_that_floods_its_log_is_not_held_up_and_does_not_fill_the_disk() {
    const MIB: u64 = 1 << 20;
    let cluster = Cluster::start(1, 1);
    let trouble = path("trouble");
    let submit = ["submit", &trouble, "--name", "chatters", "-c", "worker.log.rate=64KiB"];
    cluster.does(&[&submit[..], &["--", "--trouble=chatters", "--count=100000000"]].concat());
    let mut status = Value::Null;
    let mut dropped = 0;
    until("what was dropped is counted, and tuples flow", || {
        status = cluster.status("chatters");
        dropped = status["workers"][0]["log_dropped"]["rate"].as_u64().unwrap_or(0);
        dropped > 250 * MIB && status["totals"]["acked"].as_u64().unwrap_or(0) > 1_000
    });
    assert_eq!(status["totals"]["failed"], 0, "no tuple fails for the log: {status}");
    let id = status["id"].as_str().unwrap_or_default();
    let folder = cluster.worker_folders(id).remove(0).join("0");
    let files = std::fs::read_dir(folder).expect("the worker's folder").flatten();
    let sizes = files.filter_map(|file| file.metadata().ok()).map(|it| it.len());
    let bytes: u64 = sizes.sum();
    assert!(bytes < 4 * MIB, "a burst of 1 MiB and little more is on disk: {bytes}");
    let mut log = String::new();
    until("the log says so", || {
        log = cluster.does(&["logs", "chatters", "--tail", "4MiB"]);
        log.contains("==> dropped ")
    });
    let says = log.lines().find(|line| line.contains("==> dropped ")).unwrap_or_default();
    assert!(says.ends_with("worker.log.rate is 64KiB a second"), "{says}");
    let metrics = tests::get(cluster.addresses()[1], "/metrics").expect("the status answers").1;
    assert!(metrics.contains("squall_worker_log_dropped_bytes_total{"), "it is measured");
    assert!(cluster.does(&["describe", "chatters"]).contains("of its log were dropped"));
    cluster.does(&["kill", "chatters", "--wait", "--drain", "0s"]);
}
