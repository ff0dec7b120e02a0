//! A mirror shows what the store holds, whatever happens to its watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use coordination::{
    Change, Entry, Error, LeaseId, Listing, Mirror, MirrorEvent, Revision, Store, Transaction,
    Watch,
};
use daemon::Shutdown;
use tokio::sync::Semaphore;

use crate::stand::{Stand, created, deleted};

/// What an owner of a mirror knows.
#[derive(Default)]
struct Known {
    values: BTreeMap<String, Vec<u8>>,
    snapshots: u32,
    outages: u32,
}

impl Known {
    fn learn(&mut self, event: MirrorEvent) {
        match event {
            MirrorEvent::Snapshot(listing) | MirrorEvent::Restored(listing) => {
                let all = listing.entries.into_iter();
                self.values = all.map(|entry| (entry.key, entry.value)).collect();
                self.snapshots += 1;
            }
            MirrorEvent::Changes(changes) => {
                for change in changes {
                    match change {
                        Change::Put(entry) => {
                            self.values.insert(entry.key, entry.value);
                        }
                        Change::Deleted { key, .. } => {
                            self.values.remove(&key);
                        }
                    }
                }
            }
            MirrorEvent::Unavailable(_) | MirrorEvent::WentBack { .. } => self.outages += 1,
        }
    }

    async fn learn_until(&mut self, mirror: &mut Mirror, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            self.learn(mirror.changed().await);
        }
    }

    fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }
}

pub(crate) async fn a_mirror_begins_with_a_snapshot_and_follows(stand: &Stand) {
    let at = stand.put("m/1", "one").await;
    stand.put("other", "").await;
    let mut mirror = Mirror::follow(stand.store.clone(), "m/".to_owned(), &Shutdown::new());
    let MirrorEvent::Snapshot(listing) = mirror.changed().await else { panic!("snapshot first") };
    let entry = Entry { key: "m/1".into(), value: b"one".into(), created: at, modified: at };
    assert_eq!(listing, Listing { entries: vec![entry], revision: at + 1 });

    let second = stand.put("m/2", "two").await;
    assert_eq!(mirror.changed().await, MirrorEvent::Changes(vec![created("m/2", "two", second)]));
    let third = stand.delete("m/1").await;
    assert_eq!(mirror.changed().await, MirrorEvent::Changes(vec![deleted("m/1", third)]));
}

/// A store whose first watch starts only after it was compacted.
struct CompactedBeforeTheWatch {
    store: Arc<dyn Store>,
    happened: AtomicBool,
    /// Told that the mirror has listed.
    listed: Arc<Semaphore>,
    /// Waited for before the watch starts.
    compacted: Arc<Semaphore>,
}

#[async_trait]
impl Store for CompactedBeforeTheWatch {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.store.get(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Listing, Error> {
        self.store.list(prefix).await
    }
    async fn commit(&self, transaction: Transaction) -> Result<Revision, Error> {
        self.store.commit(transaction).await
    }
    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        if !self.happened.swap(true, Ordering::SeqCst) {
            self.listed.add_permits(1);
            self.compacted.acquire().await.expect("it is never closed").forget();
        }
        self.store.watch(prefix, from).await
    }
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        self.store.grant(ttl).await
    }
    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        self.store.keep_alive(lease).await
    }
    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.store.revoke(lease).await
    }
}

pub(crate) async fn a_mirror_lists_again_after_a_compaction(stand: &Stand) {
    let (listed, compacted) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let store = Arc::new(CompactedBeforeTheWatch {
        store: stand.store.clone(),
        happened: AtomicBool::new(false),
        listed: listed.clone(),
        compacted: compacted.clone(),
    });
    stand.put("m/before", "").await;
    let mut mirror = Mirror::follow(store, "m/".to_owned(), &Shutdown::new());
    listed.acquire().await.unwrap().forget();
    stand.delete("m/before").await;
    stand.put("m/missed", "").await;
    let last = stand.put("other", "").await;
    stand.compact(last).await;
    compacted.add_permits(1);

    let mut known = Known::default();
    known.learn_until(&mut mirror, |known| known.has("m/missed")).await;
    assert!(!known.has("m/before"), "what was deleted in the gap is gone");
    assert_eq!(known.outages, 0, "a compaction is no outage");

    stand.put("m/after", "").await;
    known.learn_until(&mut mirror, |known| known.has("m/after")).await;
}

pub(crate) async fn a_mirror_reports_an_outage_and_recovers(stand: &Stand) {
    stand.put("m/1", "").await;
    let mut mirror = Mirror::follow(stand.store.clone(), "m/".to_owned(), &Shutdown::new());
    let mut known = Known::default();
    known.learn_until(&mut mirror, |known| known.has("m/1")).await;

    stand.stop();
    known.learn_until(&mut mirror, |known| known.outages > 0).await;
    assert!(known.has("m/1"), "what was known stays known");
    stand.resume().await;
    stand.put("m/2", "").await;
    known.learn_until(&mut mirror, |known| known.has("m/2")).await;
    assert!(known.has("m/1"), "it was never gone");
    assert!(known.snapshots >= 2, "it listed again");
}

pub(crate) async fn a_mirror_that_is_read_late_misses_nothing(stand: &Stand) {
    let mut mirror = Mirror::follow(stand.store.clone(), "m/".to_owned(), &Shutdown::new());
    let mut known = Known::default();
    known.learn_until(&mut mirror, |known| known.snapshots == 1).await;

    // More than waits in the mirror, and each large, so that the store has to wait as well.
    let value = "x".repeat(100_000);
    for n in 0..200 {
        let last = stand.put(&format!("m/{}", n % 50), &format!("{n}{value}")).await;
        if n % 50 == 49 {
            stand.compact(last).await;
        }
    }
    stand.put("m/last", "").await;
    known.learn_until(&mut mirror, |known| known.has("m/last")).await;
    let held = stand.store.list("m/").await.unwrap().entries;
    let held = held.into_iter().map(|entry| (entry.key, entry.value));
    assert!(known.values == held.collect(), "the mirror shows what the store holds");
}
