//! What only a store on etcd can meet: members that are down, addresses that are wrong.

use std::sync::Arc;
use std::time::Duration;

use coordination::{
    Error, EtcdStore, Guard, Keys, Mirror, MirrorEvent, Operation, Store, Transaction,
    WatermarkFile,
};
use daemon::Shutdown;
use proto::store::RecoveryRecord;

use crate::stand::{EtcdServer, put};

/// An address where nothing listens: port 1 needs privileges that nobody uses.
const NOBODY: &str = "http://127.0.0.1:1";

#[tokio::test]
async fn a_member_that_is_down_does_not_stop_the_store() {
    let (server, _) = EtcdServer::start().await;
    let urls = [NOBODY.to_owned(), server.url(), NOBODY.replace(":1", ":2")];
    let store = EtcdStore::connect(&urls).await.expect("one member answers");
    for round in 0..50 {
        let lease = store.grant(Duration::from_secs(5)).await;
        let lease = lease.unwrap_or_else(|error| panic!("round {round}: {error}"));
        store.keep_alive(lease).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        store.list("").await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let guards = vec![Guard::Absent(format!("key/{round}"))];
        let operations = vec![put(&format!("key/{round}"), "")];
        let commit = store.commit(Transaction { guards, operations }).await;
        commit.unwrap_or_else(|error| panic!("round {round}: {error}"));
        drop(store.watch("", 1).await.unwrap_or_else(|error| panic!("round {round}: {error}")));
    }
}

#[tokio::test]
async fn a_mirror_does_not_believe_a_store_that_went_back_before_people_accept_it() {
    let (server, store) = EtcdServer::start().await;
    let (store, keys) = (Arc::new(store), Keys::new("test").unwrap());
    store.commit(transaction(vec![put(&keys.leader(), "")])).await.unwrap();
    let (folder, shutdown) = (tempfile::tempdir().unwrap(), Shutdown::new());
    let memory = || Some(WatermarkFile::new(folder.path(), "test"));
    let mut mirror = Mirror::follow_cluster(store.clone(), &keys, memory(), &shutdown);
    assert!(matches!(mirror.changed().await, MirrorEvent::Snapshot(_)));

    server.wipe().await;
    until_it_went_back(&mut mirror, 1).await;
    for _ in 0..3 {
        store.commit(transaction(vec![put(&keys.leader(), "")])).await.unwrap();
    }
    let mut restarted = Mirror::follow_cluster(store.clone(), &keys, memory(), &shutdown);
    until_it_went_back(&mut restarted, 4).await;
    until_it_went_back(&mut mirror, 4).await;

    let record = RecoveryRecord { count: 1, at_ms: 0 };
    let accept = coordination::put(keys.recovery(), &record, None);
    store.commit(transaction(vec![accept])).await.unwrap();
    for mirror in [&mut mirror, &mut restarted] {
        loop {
            match mirror.changed().await {
                MirrorEvent::Restored(listing) => break assert_eq!(listing.entries.len(), 2),
                MirrorEvent::Unavailable(_) | MirrorEvent::WentBack { .. } => {}
                event => panic!("it is not said that the store went back: {event:?}"),
            }
        }
    }
}

fn transaction(operations: Vec<Operation>) -> Transaction {
    Transaction { guards: Vec::new(), operations }
}

async fn until_it_went_back(mirror: &mut Mirror, to: u64) {
    loop {
        match mirror.changed().await {
            MirrorEvent::WentBack { seen, found } if found.revision == to => {
                return assert_eq!(seen.revision, 2);
            }
            MirrorEvent::Unavailable(_) | MirrorEvent::WentBack { .. } => {}
            event => panic!("an empty store is shown as if its keys had been deleted: {event:?}"),
        }
    }
}

#[tokio::test]
async fn an_etcd_that_is_not_there_is_unavailable_and_named() {
    let error = EtcdStore::connect(&[NOBODY.to_owned()]).await.expect_err("nobody listens");
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(NOBODY) && text.contains("refused"), "{text}");
}

#[tokio::test]
async fn addresses_that_make_no_sense_are_refused() {
    for urls in [vec![], vec!["http://white space".to_owned()]] {
        let error = EtcdStore::connect(&urls).await.expect_err("it is no address");
        assert!(matches!(error, Error::Refused(_)), "{urls:?}: {error:?}");
    }
}
