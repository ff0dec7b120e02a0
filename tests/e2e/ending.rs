//! What is left of a topology that was killed, or of a supervisor that was stopped: nothing.

use std::net::TcpStream;

use tests::Cluster;

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
