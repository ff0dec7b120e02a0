//! A session has a lease for as long as the store lets it.

use std::time::Duration;

use coordination::{LeaseId, Session};
use daemon::Shutdown;
use futures::StreamExt;

use crate::stand::{Stand, put_leased};

const TTL: Duration = Duration::from_secs(1);

async fn open(stand: &Stand, shutdown: &Shutdown) -> Session {
    let clock = stand.clock.clone();
    Session::open_on(stand.store.clone(), TTL, clock, shutdown).await.expect("the store answers")
}

/// Lets a lease of the same time to live, granted now, expire: so much time has passed.
async fn let_a_lease_expire(stand: &Stand) {
    let lease = stand.store.grant(TTL).await.unwrap();
    let written = stand.commit(vec![], vec![put_leased("hourglass", lease)]).await.unwrap();
    let mut watch = stand.watch("hourglass", written + 1).await;
    stand.until(watch.next()).await;
}

async fn write_key(stand: &Stand, lease: LeaseId) {
    stand.commit(vec![], vec![put_leased("key", lease)]).await.expect("the lease stands");
}

/// Waits until the key of [`write_key`] is gone.
async fn key_is_gone(stand: &Stand) {
    let mut watch = stand.watch("key", 1).await;
    while stand.get("key").await.is_some() {
        watch.next().await;
    }
}

pub(crate) async fn a_session_keeps_its_lease(stand: &Stand) {
    let shutdown = Shutdown::new();
    let session = open(stand, &shutdown).await;
    let lease = session.lease();
    write_key(stand, lease).await;
    for _ in 0..2 {
        let_a_lease_expire(stand).await;
    }
    assert_eq!(session.lease(), lease);
    assert!(stand.get("key").await.is_some(), "its key is still there");
}

pub(crate) async fn a_session_that_lost_its_lease_gets_another(stand: &Stand) {
    let shutdown = Shutdown::new();
    let mut session = open(stand, &shutdown).await;
    let mut clone = session.clone();
    let lost = session.lease();
    write_key(stand, lost).await;
    stand.store.revoke(lost).await.unwrap();
    stand.until(session.lost()).await;
    assert_ne!(session.lease(), lost);
    write_key(stand, session.lease()).await;
    clone.lost().await;
    assert_eq!(clone.lease(), session.lease(), "clones share the lease and each hears of it");
}

pub(crate) async fn a_session_keeps_its_lease_over_an_outage(stand: &Stand) {
    let shutdown = Shutdown::new();
    let session = open(stand, &shutdown).await;
    let lease = session.lease();
    write_key(stand, lease).await;
    stand.stop();
    stand.resume().await;
    let_a_lease_expire(stand).await;
    assert_eq!(session.lease(), lease);
    assert!(stand.get("key").await.is_some(), "its key is still there");
}

pub(crate) async fn a_session_takes_its_keys_along_at_shutdown(stand: &Stand) {
    let shutdown = Shutdown::new();
    let session = open(stand, &shutdown).await;
    write_key(stand, session.lease()).await;
    shutdown.ask();
    shutdown.wait(Duration::from_secs(10)).await.expect("the session ends");
    assert_eq!(stand.get("key").await, None);
}

pub(crate) async fn a_session_takes_its_keys_along_when_dropped(stand: &Stand) {
    let shutdown = Shutdown::new();
    let session = open(stand, &shutdown).await;
    let clone = session.clone();
    write_key(stand, session.lease()).await;
    drop(session);
    let_a_lease_expire(stand).await;
    assert!(stand.get("key").await.is_some(), "a clone is left");
    drop(clone);
    key_is_gone(stand).await;
}
