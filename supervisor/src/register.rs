//! What this supervisor has written in the store, kept true while leases and connections come and
//! go: its own record, and one for each of its workers.
//!
//! Nobody waits for the store here: the loop says what is to be there, and it gets there as soon as
//! the store takes it. A worker's record is only replaced by one of the same or a newer epoch, so a
//! supervisor that was away for long cannot overwrite what its successor wrote.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordination::{
    Error, Guard, Keys, LeaseId, Operation, Revision, Session, Store, Transaction, decode, put,
};
use daemon::{Backoff, Clock, Shutdown};
use proto::store::{SupervisorRecord, WorkerRecord};
use tokio::sync::Notify;

use crate::engine::Epoch;

/// The lease lives so long without being kept alive.
const TTL: Duration = Duration::from_secs(10);

/// A worker: its topology and its number.
type Worker = (String, u32);

/// What is to be in the store of one worker.
#[derive(Debug)]
struct Wish {
    /// `None`: nothing.
    record: Option<WorkerRecord>,
    /// It is not there yet.
    open: bool,
}

#[derive(Debug, Default)]
struct Shared {
    wishes: Mutex<BTreeMap<Worker, Wish>>,
    /// There are new wishes.
    wished: Notify,
    /// There are no open wishes.
    settled: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Worker, Wish>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what is to be in the store; a cheap handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registrar {
    shared: Arc<Shared>,
}

impl Registrar {
    /// Registers the supervisor, and keeps what it wishes for, until `parts` is asked to stop: then
    /// everything vanishes with the lease.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        keys: Keys,
        supervisor: SupervisorRecord,
        clock: Clock,
        parts: &Shutdown,
    ) -> Self {
        let registrar = Self::default();
        let shared = Arc::clone(&registrar.shared);
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let known = BTreeMap::new();
        let mut writer = Writer { store, keys, supervisor, shared, clock, known, backoff };
        let group = parts.clone();
        parts.spawn_until_asked(async move { writer.run(&group).await });
        registrar
    }

    /// Wishes that this is the worker's record.
    pub(crate) fn announce(&self, record: WorkerRecord) {
        let worker = (record.topology.clone(), record.worker);
        self.wish(worker, Some(record));
    }

    /// Wishes that the worker has no record of ours.
    pub(crate) fn withdraw(&self, topology: String, worker: u32) {
        self.wish((topology, worker), None);
    }

    fn wish(&self, worker: Worker, record: Option<WorkerRecord>) {
        self.shared.lock().insert(worker, Wish { record, open: true });
        self.shared.wished.notify_one();
    }

    /// Waits until everything wished for is in the store.
    pub(crate) async fn settled(&self) {
        loop {
            let mut settled = pin!(self.shared.settled.notified());
            settled.as_mut().enable();
            if !self.shared.lock().values().any(|wish| wish.open) {
                return;
            }
            settled.await;
        }
    }
}

/// The side that faces the store.
struct Writer {
    store: Arc<dyn Store>,
    keys: Keys,
    supervisor: SupervisorRecord,
    shared: Arc<Shared>,
    clock: Clock,
    /// Revisions of the keys as this writer saw them last.
    known: BTreeMap<String, Revision>,
    backoff: Backoff,
}

impl Writer {
    async fn run(&mut self, parts: &Shutdown) {
        let mut session = self.open(parts).await;
        loop {
            // Everything again under each new lease: the keys of the old one are gone.
            self.shared.lock().values_mut().for_each(|wish| wish.open = true);
            let lease = session.lease();
            tokio::select! {
                () = session.lost() => {}
                () = self.keep(lease) => {}
            }
        }
    }

    async fn open(&mut self, parts: &Shutdown) -> Session {
        loop {
            let store = Arc::clone(&self.store);
            match Session::open_on(store, TTL, self.clock.clone(), parts).await {
                Ok(session) => return session,
                Err(error) => self.wait_after("open a session", &error).await,
            }
        }
    }

    async fn wait_after(&mut self, what: &str, error: &Error) {
        tracing::warn!(%error, "cannot {what}, trying again");
        let wait = self.backoff.next(rand::random());
        self.clock.sleep(wait).await;
    }

    /// Keeps everything true under one lease; never ends.
    async fn keep(&mut self, lease: LeaseId) {
        let key = self.keys.supervisor(&self.supervisor.id);
        loop {
            let operations = vec![put(key.clone(), &self.supervisor, Some(lease))];
            match self.store.commit(Transaction { guards: Vec::new(), operations }).await {
                Ok(_) => break,
                Err(error) => self.wait_after("register the supervisor", &error).await,
            }
        }
        tracing::info!(supervisor = %self.supervisor.id, "supervisor registered");
        loop {
            let Some((worker, record)) = self.next_wish() else {
                self.shared.settled.notify_waiters();
                self.shared.wished.notified().await;
                continue;
            };
            match self.fulfil(&worker, record.as_ref(), lease).await {
                Ok(()) => {
                    self.backoff.reset();
                    self.fulfilled(&worker, record.as_ref());
                }
                Err(error) => self.wait_after("write a worker's record", &error).await,
            }
        }
    }

    fn next_wish(&self) -> Option<(Worker, Option<WorkerRecord>)> {
        let wishes = self.shared.lock();
        let (worker, wish) = wishes.iter().find(|(_, wish)| wish.open)?;
        Some((worker.clone(), wish.record.clone()))
    }

    fn fulfilled(&self, worker: &Worker, record: Option<&WorkerRecord>) {
        let mut wishes = self.shared.lock();
        // Another wish may have come in the meantime.
        if let Some(wish) = wishes.get_mut(worker)
            && wish.record.as_ref() == record
        {
            wish.open = false;
            if record.is_none() {
                wishes.remove(worker);
            }
        }
    }

    async fn fulfil(
        &mut self,
        worker: &Worker,
        record: Option<&WorkerRecord>,
        lease: LeaseId,
    ) -> Result<(), Error> {
        let key = self.keys.worker(&worker.0, worker.1);
        if record.is_none() && !self.known.contains_key(&key) && !self.may_write(&key, None).await?
        {
            return Ok(());
        }
        loop {
            let guard = match self.known.get(&key) {
                Some(revision) => Guard::ModifiedAt(key.clone(), *revision),
                None => Guard::Absent(key.clone()),
            };
            let operation = match record {
                Some(record) => put(key.clone(), record, Some(lease)),
                None => Operation::Delete(key.clone()),
            };
            let transaction = Transaction { guards: vec![guard], operations: vec![operation] };
            match self.store.commit(transaction).await {
                Ok(revision) => {
                    match record {
                        Some(_) => self.known.insert(key, revision),
                        None => self.known.remove(&key),
                    };
                    return Ok(());
                }
                Err(Error::Conflict) => {
                    if !self.may_write(&key, record).await? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a key and tells whether it is ours to write; remembers its revision.
    async fn may_write(&mut self, key: &str, record: Option<&WorkerRecord>) -> Result<bool, Error> {
        let Some(entry) = self.store.get(key).await? else {
            self.known.remove(key);
            return Ok(record.is_some());
        };
        let there = decode::<WorkerRecord>(&entry).unwrap_or_default();
        let epoch = |record: &WorkerRecord| record.epoch.map(Epoch::from).unwrap_or_default();
        let ours = match record {
            Some(record) => epoch(&there) <= epoch(record),
            None => there.supervisor == self.supervisor.id,
        };
        if ours {
            self.known.insert(key.to_owned(), entry.modified);
        } else {
            tracing::info!(key, by = %there.supervisor, "a worker's record is newer than ours");
        }
        Ok(ours)
    }
}
