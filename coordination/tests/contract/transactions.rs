//! What a transaction does, and when it does nothing.

use coordination::{Error, Guard, OPERATIONS_MAX, Operation, TRANSACTION_BYTES_MAX};

use crate::stand::{Stand, put};

fn absent(key: &str) -> Guard {
    Guard::Absent(key.to_owned())
}

fn created_at(key: &str, revision: u64) -> Guard {
    Guard::CreatedAt(key.to_owned(), revision)
}

fn modified_at(key: &str, revision: u64) -> Guard {
    Guard::ModifiedAt(key.to_owned(), revision)
}

/// Tells whether a transaction with this guard would be applied; writes a key of its own.
async fn holds(stand: &Stand, guard: Guard) -> bool {
    match stand.commit(vec![guard], vec![put("probe", "")]).await {
        Ok(_) => true,
        Err(Error::Conflict) => false,
        Err(error) => panic!("neither applied nor in conflict: {error}"),
    }
}

pub(crate) async fn an_empty_store_is_at_revision_one(stand: &Stand) {
    let listing = stand.store.list("a").await.unwrap();
    assert_eq!((listing.entries, listing.revision), (vec![], 1));
    assert_eq!(stand.put("a", "").await, 2);
}

pub(crate) async fn absent_holds_only_while_there_is_no_key(stand: &Stand) {
    assert!(holds(stand, absent("a")).await, "never written");
    stand.put("a", "").await;
    assert!(!holds(stand, absent("a")).await, "written");
    stand.delete("a").await;
    assert!(holds(stand, absent("a")).await, "deleted");
}

pub(crate) async fn created_at_holds_until_the_key_is_made_anew(stand: &Stand) {
    let created = stand.put("a", "1").await;
    assert!(holds(stand, created_at("a", created)).await);
    let modified = stand.put("a", "2").await;
    assert!(holds(stand, created_at("a", created)).await, "a change is not a new key");
    assert!(!holds(stand, created_at("a", modified)).await);
    let entry = stand.get("a").await.expect("it was written");
    assert_eq!((entry.created, entry.modified), (created, modified));

    stand.delete("a").await;
    assert!(!holds(stand, created_at("a", created)).await, "deleted");
    let anew = stand.put("a", "3").await;
    assert!(!holds(stand, created_at("a", created)).await, "another one of that name");
    assert!(holds(stand, created_at("a", anew)).await);
}

pub(crate) async fn modified_at_holds_until_the_key_changes(stand: &Stand) {
    let first = stand.put("a", "1").await;
    assert!(holds(stand, modified_at("a", first)).await);
    let second = stand.put("a", "1").await;
    assert!(!holds(stand, modified_at("a", first)).await, "the same value is a change too");
    assert!(holds(stand, modified_at("a", second)).await);
    stand.delete("a").await;
    assert!(!holds(stand, modified_at("a", second)).await, "deleted");
}

pub(crate) async fn a_guard_on_revision_zero_never_holds(stand: &Stand) {
    assert!(!holds(stand, created_at("a", 0)).await);
    assert!(!holds(stand, modified_at("a", 0)).await);
}

pub(crate) async fn all_guards_must_hold(stand: &Stand) {
    let created = stand.put("a", "").await;
    let both = vec![created_at("a", created), absent("a")];
    assert!(matches!(stand.commit(both, vec![put("b", "")]).await, Err(Error::Conflict)));
    let both = vec![created_at("a", created), absent("b")];
    assert!(stand.commit(both, vec![put("b", "")]).await.is_ok());
}

pub(crate) async fn a_conflict_writes_nothing(stand: &Stand) {
    let before = stand.put("a", "old").await;
    let writes = vec![put("a", "new"), put("b", ""), Operation::DeletePrefix("c".to_owned())];
    assert!(matches!(stand.commit(vec![absent("a")], writes).await, Err(Error::Conflict)));
    let listing = stand.store.list("a").await.unwrap();
    assert_eq!(listing.revision, before, "the revision did not rise");
    assert_eq!(listing.entries[0].value, b"old");
    assert_eq!(stand.get("b").await, None);
}

pub(crate) async fn a_transaction_has_one_revision(stand: &Stand) {
    stand.put("old", "").await;
    let writes = vec![put("a", ""), Operation::Delete("old".to_owned()), put("b", "")];
    let revision = stand.commit(vec![], writes).await.unwrap();
    for key in ["a", "b"] {
        let entry = stand.get(key).await.expect("it was written");
        assert_eq!((entry.created, entry.modified), (revision, revision), "{key}");
    }
    assert_eq!(stand.put("c", "").await, revision + 1);
}

pub(crate) async fn a_transaction_that_changes_nothing_raises_no_revision(stand: &Stand) {
    let before = stand.put("a", "").await;
    assert_eq!(stand.commit(vec![], vec![]).await.unwrap(), before);
    assert_eq!(stand.delete("missing").await, before);
    let prefix = vec![Operation::DeletePrefix("missing".to_owned())];
    assert_eq!(stand.commit(vec![], prefix).await.unwrap(), before);
    assert_eq!(stand.put("a", "").await, before + 1);
}

pub(crate) async fn a_prefix_is_deleted_and_nothing_else(stand: &Stand) {
    for key in ["a", "a/", "a/1", "a/2/3", "a0", "b/1"] {
        stand.put(key, "").await;
    }
    let prefix = vec![Operation::DeletePrefix("a/".to_owned())];
    stand.commit(vec![], prefix).await.unwrap();
    assert_eq!(stand.keys("a").await, ["a", "a0"]);
    assert_eq!(stand.keys("b").await, ["b/1"]);
}

pub(crate) async fn a_listing_is_sorted_and_ends_with_its_prefix(stand: &Stand) {
    for key in ["k/9", "k/10", "k/1/x", "k/1", "k", "l/1"] {
        stand.put(key, "").await;
    }
    assert_eq!(stand.keys("k/").await, ["k/1", "k/1/x", "k/10", "k/9"]);
    assert!(stand.keys("nothing/").await.is_empty());
}

pub(crate) async fn as_many_operations_as_allowed_pass_and_one_more_is_refused(stand: &Stand) {
    let writes = |count: usize| (0..count).map(|n| put(&format!("k/{n}"), "")).collect();
    let guards = |count: usize| (0..count).map(|n| absent(&format!("g/{n}"))).collect();
    for count in [100, OPERATIONS_MAX] {
        stand.commit(guards(count), writes(count)).await.unwrap();
        assert_eq!(stand.keys("k/").await.len(), count);
    }
    for too_many in [
        stand.commit(vec![], writes(OPERATIONS_MAX + 1)).await,
        stand.commit(guards(OPERATIONS_MAX + 1), vec![]).await,
    ] {
        assert!(matches!(too_many, Err(Error::Refused(_))), "{too_many:?}");
    }
}

pub(crate) async fn what_is_too_large_is_refused(stand: &Stand) {
    let large = "x".repeat(TRANSACTION_BYTES_MAX);
    let refused = stand.commit(vec![], vec![put("a", &large)]).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert_eq!(stand.get("a").await, None);
}

pub(crate) async fn a_value_of_1300000_bytes_comes_back_whole(stand: &Stand) {
    let value: String = (0..1_300_000_u32).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let mut watch = stand.watch("large", 1).await;
    let revision = stand.put("large", &value).await;
    assert_eq!(stand.get("large").await.expect("it was written").value, value.as_bytes());
    let shown = stand.changes(&mut watch, 1).await;
    assert!(shown == [crate::stand::created("large", &value, revision)], "a watch shows it whole");

    for n in 0..5 {
        stand.put(&format!("large/{n}"), &value).await;
    }
    let all = stand.store.list("large").await.unwrap();
    assert_eq!(all.entries.len(), 6, "listings are not limited to what gRPC allows by default");
}

pub(crate) async fn a_key_written_twice_is_refused(stand: &Stand) {
    for twice in [
        vec![put("a", "1"), put("a", "2")],
        vec![put("a", "1"), Operation::Delete("a".to_owned())],
        vec![Operation::DeletePrefix("a".to_owned()), put("a", "1")],
    ] {
        let refused = stand.commit(vec![], twice.clone()).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{twice:?}: {refused:?}");
    }
    let deletes = vec![Operation::Delete("a".to_owned()), Operation::DeletePrefix("a".to_owned())];
    stand.put("a", "").await;
    stand.commit(vec![], deletes).await.expect("a deletion may be said twice");
}
