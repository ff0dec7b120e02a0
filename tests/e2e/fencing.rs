//! Who belongs to the past is turned away by everybody, goes by itself, and is counted.

use serde_json::Value;
use tests::{Cluster, Signal, get, processes_below, signal, until};

use crate::{submit_audit, until_flowing};

/// Everybody that was turned away as retired, in all status documents: by whom and who.
fn retired(cluster: &Cluster) -> Vec<String> {
    let topology = cluster.status("audit");
    let workers = topology["workers"].as_array().cloned().unwrap_or_default();
    let documents = workers.into_iter().chain([cluster.document("/api/v1/cluster")]);
    let turned = documents.flat_map(|it| it["turned_away"].as_array().cloned().unwrap_or_default());
    let retired = turned.filter(|it| it["why"] == "retired" && it["count"].as_u64() > Some(0));
    retired.map(|it| it["who"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_worker_that_wakes_after_its_machine_was_given_up_is_refused_and_exits_by_itself() {
    let cluster = Cluster::start(2, 2);
    let flags = ["--workers", "2", "-c", "max_pending=200"];
    let audit = submit_audit(&cluster, "audit", &flags, &["--count=3000", "--until-end"]);
    until_flowing(&audit, "there is a load");
    let stale = processes_below(&cluster.supervisor_folder(1));
    let frozen = cluster.supervisor_process(1);
    for process in stale.iter().chain([&frozen]) {
        assert!(signal(*process, Signal::SIGSTOP), "the process was there");
    }
    let gone = |pid: &Value| stale.iter().any(|it| pid == it);
    until("the machine is given up", || {
        let status = cluster.status("audit");
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        workers.len() == 2 && workers.iter().all(|it| it["pid"] != 0 && !gone(&it["pid"]))
    });
    until_flowing(&audit, "tuples flow on the other machine");
    let after = cluster.workers("audit");

    // Its supervisor, which would stop it, does not wake.
    for worker in &stale {
        assert!(signal(*worker, Signal::SIGCONT), "the worker was there");
    }
    until("the stale worker has gone by itself", || {
        let running = processes_below(&cluster.supervisor_folder(1));
        running.iter().all(|pid| !stale.contains(pid))
    });
    until("whoever turned it away says so", || !retired(&cluster).is_empty());
    let [_, http] = cluster.addresses();
    let metrics = get(http, "/metrics").map(|(_, page)| page).unwrap_or_default();
    let line = metrics.lines().find(|line| line.starts_with("squall_turned_away_total"));
    assert!(line.is_some_and(|line| line.contains("reason=\"retired\"")), "{line:?}");
    let shown = [cluster.does(&["describe"]), cluster.does(&["describe", "audit"])].concat();
    assert!(shown.contains("TURNED AWAY BY"), "people see it:\n{shown}");

    assert!(signal(frozen, Signal::SIGCONT), "the supervisor was there");
    until_flowing(&audit, "the others go on");
    assert_eq!(cluster.workers("audit"), after, "nobody else was touched");
    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);
}
