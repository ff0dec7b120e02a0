//! What a prefix holds, kept up to date: list, watch from there, list again when in doubt.
//!
//! A watch is never trusted as a queue. Whatever goes wrong with it, a compaction or an outage, the
//! mirror lists again and its owner reconciles from the whole picture.

use std::sync::Arc;
use std::time::Duration;

use daemon::{Backoff, Shutdown};
use futures::StreamExt;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::store::{Change, Error, Listing, Revision, Store, Watch};

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
}

impl Mirror {
    /// Starts to follow `prefix`; the first event is a snapshot.
    #[must_use]
    pub fn follow(store: Arc<dyn Store>, prefix: String, shutdown: &Shutdown) -> Self {
        let (sender, events) = mpsc::channel(WAITING_MAX);
        let follower = Follower { store, prefix, events: sender.clone(), seen: 0, failing: false };
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
}

/// The side of the mirror that faces the store.
struct Follower {
    store: Arc<dyn Store>,
    prefix: String,
    events: mpsc::Sender<MirrorEvent>,
    /// The newest revision it has seen.
    seen: Revision,
    /// The last thing it heard of the store was an error.
    failing: bool,
}

impl Follower {
    async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            let error = match self.follow(&mut backoff).await {
                Ended::Dropped => return,
                Ended::Failed(error) => error,
            };
            if let Error::Compacted(revision) = error {
                debug!(prefix = %self.prefix, revision, "watch fell behind, listing again");
            } else {
                // One line an outage: the owner is told of every failure.
                if self.failing {
                    debug!(prefix = %self.prefix, %error, "still cannot follow the store");
                } else {
                    warn!(prefix = %self.prefix, %error, "cannot follow the store, trying again");
                }
                self.failing = true;
                if self.tell(MirrorEvent::Unavailable(error.to_string())).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
    }

    /// Lists, then watches until that fails.
    async fn follow(&mut self, backoff: &mut Backoff) -> Ended {
        let mut watch = match self.begin().await {
            Ok(watch) => watch,
            Err(ended) => return ended,
        };
        backoff.reset();
        if self.failing {
            info!(prefix = %self.prefix, revision = self.seen, "following the store again");
            self.failing = false;
        }
        loop {
            match watch.next().await {
                Some(Ok(changes)) => {
                    if let Some(last) = changes.last() {
                        self.seen = self.seen.max(last.revision());
                    }
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
        if listing.revision < self.seen {
            // The store was wiped or restored. Acting on it would undo decisions that were made.
            return Err(Ended::Failed(Error::Unavailable(format!(
                "it went back from revision {} to {}: was it restored from a backup? restart \
                 Squall's daemons to accept what it holds",
                self.seen, listing.revision
            ))));
        }
        self.seen = listing.revision;
        let watch = self.store.watch(&self.prefix, listing.revision + 1).await;
        let watch = watch.map_err(Ended::Failed)?;
        self.tell(MirrorEvent::Snapshot(listing)).await?;
        Ok(watch)
    }

    async fn tell(&self, event: MirrorEvent) -> Result<(), Ended> {
        self.events.send(event).await.map_err(|_| Ended::Dropped)
    }
}
