//! What a lease does to the keys it keeps.

use std::time::Duration;

use coordination::Error;
use futures::StreamExt;

use crate::stand::{Stand, created, deleted, put, put_leased};

const TTL: Duration = Duration::from_secs(1);

pub(crate) async fn a_lease_that_is_not_kept_alive_takes_its_keys_along(stand: &Stand) {
    let lease = stand.store.grant(TTL).await.unwrap();
    let writes = vec![put_leased("a", lease), put_leased("b", lease), put("c", "")];
    let written = stand.commit(vec![], writes).await.unwrap();
    let mut watch = stand.watch("", written + 1).await;

    let shown = stand.until(stand.changes(&mut watch, 2)).await;
    assert_eq!(shown, [deleted("a", written + 1), deleted("b", written + 1)], "at one revision");
    assert_eq!(stand.keys("").await, ["c"]);
}

pub(crate) async fn a_lease_that_is_kept_alive_stays(stand: &Stand) {
    let kept = stand.store.grant(TTL).await.unwrap();
    let left = stand.store.grant(TTL).await.unwrap();
    let writes = vec![put_leased("kept", kept), put_leased("left", left)];
    let written = stand.commit(vec![], writes).await.unwrap();
    let mut watch = stand.watch("left", written + 1).await;

    // The second lease shows that the time of both is over.
    let left_to_expire = watch.next();
    let keeping = async {
        loop {
            stand.store.keep_alive(kept).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        shown = stand.until(left_to_expire) => {
            assert_eq!(shown.unwrap().unwrap(), [deleted("left", written + 1)]);
        }
        () = keeping => {}
    }
    assert_eq!(stand.keys("").await, ["kept"]);
}

pub(crate) async fn a_lost_lease_cannot_be_kept_alive(stand: &Stand) {
    let lease = stand.store.grant(TTL).await.unwrap();
    stand.store.keep_alive(lease).await.unwrap();
    let written = stand.commit(vec![], vec![put_leased("a", lease)]).await.unwrap();
    let mut watch = stand.watch("a", written + 1).await;
    stand.until(watch.next()).await;
    let lost = stand.store.keep_alive(lease).await;
    assert!(matches!(lost, Err(Error::LeaseLost(id)) if id == lease), "expired: {lost:?}");
    let lost = stand.store.keep_alive(lease + 1000).await;
    assert!(matches!(lost, Err(Error::LeaseLost(_))), "never granted: {lost:?}");
}

pub(crate) async fn a_put_on_a_lost_lease_writes_nothing(stand: &Stand) {
    let before = stand.put("a", "").await;
    let lease = stand.store.grant(TTL).await.unwrap();
    stand.store.revoke(lease).await.unwrap();
    let lost = stand.commit(vec![], vec![put("b", ""), put_leased("c", lease)]).await;
    assert!(matches!(lost, Err(Error::LeaseLost(id)) if id == lease), "{lost:?}");
    let listing = stand.store.list("").await.unwrap();
    assert_eq!((listing.entries.len(), listing.revision), (1, before));

    let conflict = vec![coordination::Guard::Absent("a".to_owned())];
    let lost = stand.commit(conflict, vec![put_leased("c", lease)]).await;
    assert!(matches!(lost, Err(Error::Conflict)), "guards are looked at first: {lost:?}");
}

pub(crate) async fn a_revoked_lease_takes_its_keys_along_at_one_revision(stand: &Stand) {
    let lease = stand.store.grant(TTL * 60).await.unwrap();
    let writes = vec![put_leased("b", lease), put_leased("a", lease), put_leased("c/d", lease)];
    let written = stand.commit(vec![], writes).await.unwrap();
    stand.store.revoke(lease).await.unwrap();
    stand.store.revoke(lease).await.expect("a lease that has ended is fine");

    let mut watch = stand.watch("", written + 1).await;
    let shown = stand.changes(&mut watch, 3).await;
    let gone = written + 1;
    assert_eq!(shown, [deleted("a", gone), deleted("b", gone), deleted("c/d", gone)]);

    let empty = stand.store.grant(TTL * 60).await.unwrap();
    stand.store.revoke(empty).await.unwrap();
    assert_eq!(stand.put("e", "").await, gone + 1, "a lease without keys raises no revision");
}

pub(crate) async fn a_key_belongs_to_the_lease_it_was_last_put_with(stand: &Stand) {
    let first = stand.store.grant(TTL * 60).await.unwrap();
    let second = stand.store.grant(TTL * 60).await.unwrap();
    let writes = vec![put_leased("freed", first), put_leased("moved", first)];
    stand.commit(vec![], writes).await.unwrap();
    let writes = vec![put("freed", ""), put_leased("moved", second)];
    stand.commit(vec![], writes).await.unwrap();

    stand.store.revoke(first).await.unwrap();
    assert_eq!(stand.keys("").await, ["freed", "moved"]);
    stand.store.revoke(second).await.unwrap();
    assert_eq!(stand.keys("").await, ["freed"]);

    let anew = stand.put("moved", "anew").await;
    let mut watch = stand.watch("moved", anew).await;
    assert_eq!(stand.changes(&mut watch, 1).await, [created("moved", "anew", anew)]);
}
