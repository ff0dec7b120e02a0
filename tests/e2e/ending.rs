//! What is left of a topology that was killed, or of a supervisor that was stopped: nothing.

use std::net::TcpStream;

use tests::{Cluster, until};

use crate::{submit_audit, until_flowing};

#[test]
fn a_killed_topology_leaves_no_process_port_key_or_folder() {
    let cluster = Cluster::start(2, 1);
    let audit = submit_audit(&cluster, "audit", &["--workers", "2"], &["--until-end"]);
    until_flowing(&audit, "tuples flow");
    let status = cluster.status("audit");
    let id = status["id"].as_str().expect("a topology has an id").to_owned();
    let addresses: Vec<String> = status["workers"]
        .as_array()
        .expect("a topology has workers")
        .iter()
        .map(|it| it["address"].as_str().expect("a worker has an address").to_owned())
        .collect();
    assert_eq!(addresses.len(), 2);
    assert_eq!(cluster.worker_processes().len(), 2, "two workers run");
    assert_eq!(cluster.worker_folders(&id).len(), 2, "each has a folder");
    assert!(cluster.keys().iter().any(|key| key.contains(&id)), "its keys are in etcd");
    for address in &addresses {
        TcpStream::connect(address).expect("a worker listens for others");
    }

    cluster.does(&["kill", "audit", "--wait"]);
    assert_eq!(cluster.worker_processes(), [0; 0], "a worker still runs");
    assert!(cluster.worker_folders(&id).is_empty(), "{:?}", cluster.worker_folders(&id));
    let keys = cluster.keys();
    let left = keys.iter().filter(|it| it.contains(&id) || it.ends_with("/names/audit"));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0], "etcd still holds keys of it");
    for address in &addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} is still open");
    }
    audit.assert_acked_were_executed();
}

#[test]
fn a_supervisor_that_is_asked_to_stop_takes_its_workers_along() {
    let mut cluster = Cluster::start(1, 2);
    let audit = submit_audit(&cluster, "audit", &["--workers", "2"], &["--until-end"]);
    until_flowing(&audit, "tuples flow");
    assert_eq!(cluster.stop_supervisor(0), Some(0), "it stops in good order");
    assert_eq!(cluster.worker_processes(), [0; 0], "a worker still runs");
    let keys = cluster.keys();
    let left = keys.iter().filter(|it| it.contains("/supervisors/") || it.contains("/workers/"));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0], "etcd still holds keys of it");
    audit.assert_acked_were_executed();
}

#[test]
fn every_daemon_and_worker_is_replaced_one_by_one_under_load_and_nothing_is_lost() {
    let mut cluster = Cluster::start(2, 2);
    let flags = ["--workers", "2", "-c", "max_pending=200"];
    let audit = submit_audit(&cluster, "audit", &flags, &["--count=1000", "--until-end"]);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");
    cluster.kill_nimbus();
    until_flowing(&audit, "tuples flow without a nimbus");
    cluster.restart_nimbus();
    until("the next nimbus hears of the same workers", || cluster.workers("audit") == before);
    for number in 0..2 {
        assert_eq!(cluster.stop_supervisor(number), Some(0), "it stops in good order");
        until_flowing(&audit, "its workers run on the other machine");
        cluster.restart_supervisor(number);
        until("both machines are there, with every slot", || {
            let known = cluster.document("/api/v1/supervisors");
            let alive = |it: &&serde_json::Value| it["status"] == "alive";
            known.as_array().is_some_and(|all| all.iter().filter(alive).count() == 2)
        });
    }
    until("two workers run, and none of before", || {
        let now = cluster.workers("audit");
        now.len() == 2 && now.iter().all(|it| it.0 != 0 && !before.contains(it))
    });
    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);
}
