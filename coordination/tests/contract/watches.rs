//! What a watch shows, and when it ends.

use coordination::{Change, Entry, Error, Operation, Watch};
use futures::StreamExt;

use crate::stand::{Stand, created, deleted, put};

pub(crate) async fn a_watch_shows_every_change_once_in_order(stand: &Stand) {
    let mut live = stand.watch("k/", 1).await;
    let mut expected = Vec::new();
    for n in 0..100 {
        if n % 5 == 4 {
            stand.commit(vec![], vec![Operation::DeletePrefix("k/".to_owned())]).await.unwrap();
        }
        let (key, value) = (format!("k/{}", n % 3), n.to_string());
        let modified = stand.put(&key, &value).await;
        expected.push((key, value.into_bytes(), modified));
    }
    let last = expected.last().expect("there were some").2;
    let mut past = stand.watch("k/", 1).await;
    let live = collect_to(&mut live, last).await;
    let past = collect_to(&mut past, last).await;
    assert_eq!(live, past, "what happened while it watched and what it asked for later");

    let puts = live.iter().filter_map(|change| match change {
        Change::Put(entry) => Some((entry.key.clone(), entry.value.clone(), entry.modified)),
        Change::Deleted { .. } => None,
    });
    assert_eq!(puts.collect::<Vec<_>>(), expected, "each put once");
    assert!(live.is_sorted_by_key(Change::revision), "in the order of revisions");
}

/// Reads a watch up to the change of revision `last`.
async fn collect_to(watch: &mut Watch, last: u64) -> Vec<Change> {
    let mut seen: Vec<Change> = Vec::new();
    while seen.last().is_none_or(|change| change.revision() < last) {
        seen.extend(watch.next().await.expect("it goes on").expect("it does not fail"));
    }
    seen
}

pub(crate) async fn a_watch_shows_the_operations_of_a_transaction_in_order(stand: &Stand) {
    for key in ["a/2", "a/1", "z"] {
        stand.put(key, "").await;
    }
    let operations = vec![
        put("m", "1"),
        Operation::DeletePrefix("a/".to_owned()),
        put("b", "2"),
        Operation::Delete("z".to_owned()),
        Operation::Delete("missing".to_owned()),
    ];
    let at = stand.commit(vec![], operations).await.unwrap();
    let mut watch = stand.watch("", at).await;
    assert_eq!(
        stand.changes(&mut watch, 5).await,
        [
            created("m", "1", at),
            deleted("a/1", at),
            deleted("a/2", at),
            created("b", "2", at),
            deleted("z", at),
        ]
    );
}

pub(crate) async fn a_watch_from_a_past_revision_begins_there(stand: &Stand) {
    let first = stand.put("a", "1").await;
    let second = stand.put("a", "2").await;
    let third = stand.delete("a").await;
    let mut watch = stand.watch("a", second).await;
    let changed =
        Entry { key: "a".to_owned(), value: b"2".to_vec(), created: first, modified: second };
    let shown = stand.changes(&mut watch, 2).await;
    assert_eq!(shown, [Change::Put(changed), deleted("a", third)]);
    let mut all = stand.watch("a", 0).await;
    assert_eq!(stand.changes(&mut all, 3).await.len(), 3, "0 means from the beginning");
}

pub(crate) async fn a_watch_from_a_future_revision_waits_for_it(stand: &Stand) {
    let now = stand.put("a", "0").await;
    let mut watch = stand.watch("a", now + 3).await;
    for n in 1..=3 {
        stand.put("a", &n.to_string()).await;
    }
    let shown = stand.changes(&mut watch, 1).await;
    assert_eq!(shown[0].revision(), now + 3, "{shown:?}");
}

pub(crate) async fn a_watch_shows_its_prefix_only(stand: &Stand) {
    let mut watch = stand.watch("b/", 1).await;
    for key in ["a", "b", "b/1", "b0", "c"] {
        stand.put(key, "").await;
    }
    let last = stand.put("b/2", "").await;
    let shown = stand.changes(&mut watch, 2).await;
    assert_eq!(shown, [created("b/1", "", 4), created("b/2", "", last)]);
}

pub(crate) async fn a_watch_from_before_the_compaction_is_told(stand: &Stand) {
    let first = stand.put("a", "1").await;
    stand.put("a", "2").await;
    let third = stand.put("a", "3").await;
    stand.compact(third).await;

    let error = match stand.store.watch("a", first).await {
        Err(error) => error,
        Ok(mut watch) => {
            let error = watch.next().await.expect("it is told").expect_err("not shown a gap");
            assert!(watch.next().await.is_none(), "that was its last item");
            error
        }
    };
    assert!(matches!(error, Error::Compacted(at) if at == first), "{error:?}");

    let mut watch = stand.watch("a", third).await;
    let shown = stand.changes(&mut watch, 1).await;
    assert_eq!(shown[0].revision(), third, "the compaction's own revision is remembered");
}

pub(crate) async fn a_watch_that_is_up_to_date_outlives_a_compaction(stand: &Stand) {
    let mut watch = stand.watch("a", 1).await;
    let first = stand.put("a", "1").await;
    assert_eq!(stand.changes(&mut watch, 1).await[0].revision(), first);
    let other = stand.put("b", "").await;
    stand.compact(other).await;
    let second = stand.put("a", "2").await;
    assert_eq!(stand.changes(&mut watch, 1).await[0].revision(), second);
}
