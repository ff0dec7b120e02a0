//! What a prefix holds, kept up to date: list, watch from there, list again when in doubt.
//!
//! A watch is never trusted as a queue. Whatever goes wrong with it, a compaction or an outage, the
//! mirror lists again and its owner reconciles from the whole picture. A store that went back is
//! shown to nobody before people have accepted it.

use std::sync::Arc;
use std::time::Duration;

use daemon::{Backoff, Shutdown};
use futures::StreamExt;
use proto::store::RecoveryRecord;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::keys::Keys;
use crate::records::decode;
use crate::store::{Change, Entry, Error, Listing, Store, Watch};
use crate::watermark::{Watermark, WatermarkFile};

/// Events that wait for the owner. When it is full the watch waits too.
const WAITING_MAX: usize = 64;

/// Follows a prefix until it is dropped.
///
/// ```
/// use coordination::{MemoryStore, Mirror, MirrorEvent, Operation, Store, Transaction};
/// use daemon::{Clock, Shutdown};
/// use std::sync::Arc;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let store = Arc::new(MemoryStore::new(Clock::system()));
/// let shutdown = Shutdown::new();
/// let mut mirror = Mirror::follow(store.clone(), "workers/".into(), &shutdown);
/// assert!(matches!(mirror.changed().await, MirrorEvent::Snapshot(all) if all.entries.is_empty()));
///
/// let put = Operation::Put { key: "workers/1".into(), value: vec![1], lease: None };
/// store.commit(Transaction { guards: vec![], operations: vec![put] }).await.unwrap();
/// assert!(matches!(mirror.changed().await, MirrorEvent::Changes(some) if some.len() == 1));
/// # });
/// ```
#[derive(Debug)]
pub struct Mirror {
    events: mpsc::Receiver<MirrorEvent>,
}

/// What a [`Mirror`] tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorEvent {
    /// This is all there is now: replace everything.
    Snapshot(Listing),
    /// These changes happened since, in this order.
    Changes(Vec<Change>),
    /// The store does not answer, for this reason. A [`MirrorEvent::Snapshot`] follows when it
    /// does; until then keep what was.
    Unavailable(String),
    /// The store answers, but it has gone back: it was wiped, or restored from a backup. Keep what
    /// was and write nothing. A [`MirrorEvent::Restored`] follows when people accepted it.
    WentBack {
        /// How far it was seen.
        seen: Watermark,
        /// How far it is now.
        found: Watermark,
    },
    /// The store went back and that was accepted: this is all there is now. What is newer than it
    /// was never decided.
    Restored(Listing),
}

impl Mirror {
    /// Starts to follow `prefix`.
    pub fn follow(store: Arc<dyn Store>, prefix: String, shutdown: &Shutdown) -> Self {
        let follower = |events| Follower::new(store, prefix, events);
        Self::start(follower, shutdown)
    }

    /// Starts to follow all keys of a cluster; `memory` is where it is written down how far the
    /// store was seen.
    pub fn follow_cluster(
        store: Arc<dyn Store>,
        keys: &Keys,
        memory: Option<WatermarkFile>,
        shutdown: &Shutdown,
    ) -> Self {
        let seen = memory.as_ref().map(WatermarkFile::read).unwrap_or_default();
        let (root, recovery) = (keys.root(), Some(keys.recovery()));
        let follower =
            |events| Follower { seen, recovery, memory, ..Follower::new(store, root, events) };
        Self::start(follower, shutdown)
    }

    fn start(
        follower: impl FnOnce(mpsc::Sender<MirrorEvent>) -> Follower,
        shutdown: &Shutdown,
    ) -> Self {
        let (sender, events) = mpsc::channel(WAITING_MAX);
        let follower = follower(sender.clone());
        shutdown.spawn_until_asked(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = follower.run() => {}
            }
        });
        Self { events }
    }

    /// Waits for the next event. Never returns once shutdown was asked for; losing a race in
    /// `select!` loses no event.
    pub async fn changed(&mut self) -> MirrorEvent {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

/// Why a watch came to an end.
enum Ended {
    /// The owner is gone.
    Dropped,
    /// List again.
    Failed(Error),
    /// List again: the store went back to this.
    WentBack(Watermark),
}

/// The side of the mirror that faces the store.
struct Follower {
    store: Arc<dyn Store>,
    prefix: String,
    events: mpsc::Sender<MirrorEvent>,
    /// How far it has seen the store.
    seen: Watermark,
    /// The key that says how often people accepted that the store went back.
    recovery: Option<String>,
    /// Where `seen` is written down.
    memory: Option<WatermarkFile>,
    /// What it logged last of an outage.
    told: Told,
}

/// What was logged of the store: each kind of trouble once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Fine,
    Silent,
    WentBack,
}

impl Follower {
    fn new(store: Arc<dyn Store>, prefix: String, events: mpsc::Sender<MirrorEvent>) -> Self {
        let (seen, told) = (Watermark::default(), Told::Fine);
        Self { store, prefix, events, seen, recovery: None, memory: None, told }
    }

    async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            let told = match self.follow(&mut backoff).await {
                Ended::Dropped => return,
                Ended::Failed(Error::Compacted(revision)) => {
                    debug!(prefix = %self.prefix, revision, "watch fell behind, listing again");
                    Ok(())
                }
                Ended::Failed(error) => self.failed(error).await,
                Ended::WentBack(found) => self.went_back(found).await,
            };
            if told.is_err() {
                return;
            }
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
    }

    /// Logs one line an outage; the owner is told of every failure.
    async fn failed(&mut self, error: Error) -> Result<(), Ended> {
        if self.told == Told::Fine {
            warn!(prefix = %self.prefix, %error, "cannot follow the store, trying again");
            self.told = Told::Silent;
        } else {
            debug!(prefix = %self.prefix, %error, "still cannot follow the store");
        }
        self.tell(MirrorEvent::Unavailable(error.to_string())).await
    }

    /// Somebody must act, so this is told again after each outage.
    async fn went_back(&mut self, found: Watermark) -> Result<(), Ended> {
        // A new store grows too, and soon is further than the old one was.
        self.see(Watermark { went_back: true, ..self.seen });
        let seen = self.seen;
        if self.told != Told::WentBack {
            let (from, to) = (seen.revision, found.revision);
            error!(
                prefix = %self.prefix, from, to,
                "the store went back: nothing is changed until people accept it"
            );
            self.told = Told::WentBack;
        }
        self.tell(MirrorEvent::WentBack { seen, found }).await
    }

    /// Lists, then watches until that fails.
    async fn follow(&mut self, backoff: &mut Backoff) -> Ended {
        let mut watch = match self.begin().await {
            Ok(watch) => watch,
            Err(ended) => return ended,
        };
        backoff.reset();
        if self.told != Told::Fine {
            info!(prefix = %self.prefix, revision = self.seen.revision, "following the store again");
            self.told = Told::Fine;
        }
        loop {
            match watch.next().await {
                Some(Ok(changes)) => {
                    let last = changes.last().map_or(0, Change::revision);
                    let entries = changes.iter().filter_map(|change| match change {
                        Change::Put(entry) => Some(entry),
                        Change::Deleted { .. } => None,
                    });
                    let recovery = self.recoveries(entries).unwrap_or(self.seen.recovery);
                    let revision = last.max(self.seen.revision);
                    self.see(Watermark { revision, recovery, went_back: false });
                    if let Err(ended) = self.tell(MirrorEvent::Changes(changes)).await {
                        return ended;
                    }
                }
                Some(Err(error)) => return Ended::Failed(error),
                None => return Ended::Failed(Error::Unavailable("the watch ended".to_owned())),
            }
        }
    }

    async fn begin(&mut self) -> Result<Watch, Ended> {
        let listing = self.store.list(&self.prefix).await.map_err(Ended::Failed)?;
        let recovery = self.recoveries(listing.entries.iter()).unwrap_or_default();
        let found = Watermark { revision: listing.revision, recovery, went_back: false };
        if self.seen.is_behind(found) {
            // Acting on it would undo decisions that were made.
            return Err(Ended::WentBack(found));
        }
        // Whoever has seen nothing before has nothing to take back.
        let accepted = self.seen.revision > 0 && found.recovery > self.seen.recovery;
        self.see(found);
        let watch = self.store.watch(&self.prefix, listing.revision + 1).await;
        let watch = watch.map_err(Ended::Failed)?;
        let event = if accepted { MirrorEvent::Restored } else { MirrorEvent::Snapshot };
        self.tell(event(listing)).await?;
        Ok(watch)
    }

    /// Finds out how often people accepted that the store went back, if that is among the entries.
    fn recoveries<'a>(&self, mut entries: impl Iterator<Item = &'a Entry>) -> Option<u64> {
        let key = self.recovery.as_ref()?;
        let entry = entries.find(|entry| entry.key == *key)?;
        decode::<RecoveryRecord>(entry).ok().map(|record| record.count)
    }

    fn see(&mut self, now: Watermark) {
        if now != self.seen {
            self.seen = now;
            if let Some(memory) = &self.memory {
                memory.write(now);
            }
        }
    }

    async fn tell(&self, event: MirrorEvent) -> Result<(), Ended> {
        self.events.send(event).await.map_err(|_| Ended::Dropped)
    }
}
