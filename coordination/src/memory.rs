//! The store in memory: for one process (`squall dev`) and for tests.
//!
//! It means what etcd means, down to revisions: the first is 1, each transaction that changes
//! something raises it by one, and so does each lease that ends with keys. Leases run on a
//! [`Clock`], so a test can let them expire by moving it. Nothing runs in the background: leases
//! that are due end when somebody looks, and a waiting watch looks when the next one is due.

mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daemon::Clock;
use futures::StreamExt;
use futures::stream;
use tokio::sync::watch;

use crate::store::{Change, Entry, Error, LeaseId, Listing, Revision, Store, Transaction, Watch};
use state::State;

/// A coordination store in this process's memory; a cheap handle.
///
/// ```
/// use coordination::{Guard, MemoryStore, Operation, Store, Transaction};
/// use daemon::Clock;
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let clock = Clock::manual();
/// let store = MemoryStore::new(clock.clone());
/// let lease = store.grant(Duration::from_secs(2)).await.unwrap();
/// let put = Operation::Put { key: "leader".into(), value: b"me".into(), lease: Some(lease) };
/// let guards = vec![Guard::Absent("leader".into())];
/// store.commit(Transaction { guards, operations: vec![put] }).await.unwrap();
///
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(store.get("leader").await.unwrap(), None, "it went with its lease");
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// Wakes the watches: something changed, or the next lease ends at another time.
    touched: watch::Sender<()>,
}

impl MemoryStore {
    /// Makes an empty store whose leases run on `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let state = Mutex::new(State::default());
        Self { shared: Arc::new(Shared { clock, state, touched: watch::Sender::default() }) }
    }

    /// Forgets the changes before `revision`; a watch from there gets [`Error::Compacted`].
    ///
    /// Old changes are also forgotten by themselves once there are very many.
    pub fn compact(&self, revision: Revision) {
        self.shared.lock().compact(revision);
        self.shared.touched.send_replace(());
    }

    /// Makes the store answer [`Error::Unavailable`] to everything, or answer again.
    ///
    /// For showing how the rest behaves while the store is away. Coming back gives every lease its
    /// whole time again, as etcd does when it elects a leader.
    pub fn set_available(&self, available: bool) {
        let now = self.shared.clock.now();
        self.shared.lock().set_available(available, now);
        self.shared.touched.send_replace(());
    }

    /// Lets `act` read or change a state that is up to date.
    fn with<R>(&self, act: impl FnOnce(&mut State) -> Result<R, Error>) -> Result<R, Error> {
        let mut state = self.shared.lock();
        let before = (state.revision(), state.next_lease_end());
        state.end_leases(self.shared.clock.now());
        let answer = if state.is_available() { act(&mut state) } else { Err(away()) };
        let touched = before != (state.revision(), state.next_lease_end());
        drop(state);
        if touched {
            self.shared.touched.send_replace(());
        }
        answer
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn away() -> Error {
    Error::Unavailable("the store in memory was told to be away".to_owned())
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.with(|state| Ok(state.get(key)))
    }

    async fn list(&self, prefix: &str) -> Result<Listing, Error> {
        self.with(|state| Ok(state.list(prefix)))
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, Error> {
        transaction.check()?;
        self.with(|state| state.commit(transaction))
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        self.with(|_| Ok(()))?;
        let cursor = Cursor {
            shared: Arc::clone(&self.shared),
            touched: self.shared.touched.subscribe(),
            prefix: prefix.to_owned(),
            next: from,
            ended: false,
        };
        Ok(stream::unfold(cursor, |mut cursor| async move {
            let item = cursor.next().await?;
            Some((item, cursor))
        })
        .boxed())
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        let now = self.shared.clock.now();
        self.with(|state| Ok(state.grant(ttl, now)))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        let now = self.shared.clock.now();
        self.with(|state| state.keep_alive(lease, now))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.with(|state| {
            state.revoke(lease);
            Ok(())
        })
    }
}

/// How far a watch has come.
struct Cursor {
    shared: Arc<Shared>,
    touched: watch::Receiver<()>,
    prefix: String,
    /// The first revision it has not shown.
    next: Revision,
    /// It has shown its error.
    ended: bool,
}

impl Cursor {
    /// Waits for the next changes; `None` after an error.
    async fn next(&mut self) -> Option<Result<Vec<Change>, Error>> {
        while !self.ended {
            // Marked before looking, so that a change during the look wakes the wait below.
            self.touched.mark_unchanged();
            let due = {
                let mut state = self.shared.lock();
                if state.end_leases(self.shared.clock.now()) {
                    self.shared.touched.send_replace(());
                }
                let seen = if state.is_available() {
                    state.since(self.next, &self.prefix)
                } else {
                    Err(away())
                };
                self.next = self.next.max(state.revision() + 1);
                match seen {
                    Ok(changes) if changes.is_empty() => state.next_lease_end(),
                    Ok(changes) => return Some(Ok(changes)),
                    Err(error) => {
                        self.ended = true;
                        return Some(Err(error));
                    }
                }
            };
            let lease_ends = async {
                match due {
                    Some(due) => self.shared.clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.touched.changed() => changed.expect("`shared` holds the sender"),
                () = lease_ends => {}
            }
        }
        None
    }
}
