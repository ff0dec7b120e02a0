//! Which nimbus leads: whoever holds the key `leader`.
//!
//! The key is put with the candidate's lease under the guard that nobody holds it; the others watch
//! for its deletion. Holding a lease proves nothing, because a process can sleep through its end.
//! So every write of a leader carries [`Leadership::guard`]: once somebody else has created the key
//! anew, the store refuses what the old leader still wants to write.

use std::sync::Arc;
use std::time::Duration;

use daemon::Backoff;
use futures::StreamExt;
use prost::Message;
use proto::store::LeaderRecord;
use tracing::{debug, warn};

use crate::keys::Keys;
use crate::records::put;
use crate::session::Session;
use crate::store::{Change, Error, Guard, Operation, Revision, Store, Transaction};

/// Proof of having won an election, good for as long as the key stands.
///
/// ```
/// use coordination::{Guard, Keys, Leadership, MemoryStore, Session, campaign};
/// use daemon::{Clock, Shutdown};
/// use proto::store::LeaderRecord;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let store = Arc::new(MemoryStore::new(Clock::system()));
/// let keys = Keys::new("test").unwrap();
/// let shutdown = Shutdown::new();
/// let ttl = Duration::from_secs(5);
/// let session = Session::open(store.clone(), ttl, &shutdown).await.unwrap();
/// let record = LeaderRecord { nimbus_id: "nimbus-1".into(), ..Default::default() };
/// let leadership = campaign(store, &keys, record, &session).await.unwrap();
/// assert_eq!(leadership.guard(), Guard::CreatedAt(keys.leader(), leadership.created));
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The leader's key.
    pub key: String,
    /// The revision at which this leader created it.
    pub created: Revision,
}

impl Leadership {
    /// Returns the guard that every write of this leader carries.
    #[must_use]
    pub fn guard(&self) -> Guard {
        Guard::CreatedAt(self.key.clone(), self.created)
    }

    /// Waits until this leadership has ended in the store. Outages do not end it.
    pub async fn ended(&self, store: &dyn Store) {
        let mut backoff = backoff();
        let mut told = false;
        loop {
            match self.watch_for_the_end(store, &mut told).await {
                Ok(()) => return,
                Err(Error::Compacted(_)) => {}
                // Once an outage.
                Err(error) if told => debug!(%error, "still cannot follow the leader's key"),
                Err(error) => {
                    told = true;
                    warn!(%error, "cannot follow the leader's key, trying again");
                }
            }
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
    }

    /// Gives the leadership up at once; no longer having it is fine.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: then it ends with its lease.
    pub async fn resign(&self, store: &dyn Store) -> Result<(), Error> {
        give_up(store, self).await
    }

    async fn watch_for_the_end(&self, store: &dyn Store, told: &mut bool) -> Result<(), Error> {
        let entry = store.get(&self.key).await?;
        *told = false;
        match entry {
            Some(entry) if entry.created == self.created => {
                until_deleted(store, &self.key, entry.modified + 1).await
            }
            _ => Ok(()),
        }
    }
}

/// Waits until this candidate leads.
///
/// Outages are waited out, and a session that lost its lease goes on with its next one. Dropping
/// the future gives up; if that happens just as the election is won, the key stays until the session
/// ends or the same candidate campaigns again.
///
/// # Errors
///
/// [`Error::Refused`] if the store does not let this candidate write.
pub async fn campaign(
    store: Arc<dyn Store>,
    keys: &Keys,
    record: LeaderRecord,
    session: &Session,
) -> Result<Leadership, Error> {
    let mut backoff = backoff();
    let mut told = false;
    loop {
        match try_to_lead(&*store, &keys.leader(), &record, session).await {
            Ok(Some(leadership)) => return Ok(leadership),
            Ok(None) | Err(Error::Conflict) => {
                backoff.reset();
                told = false;
                continue;
            }
            Err(error @ Error::Refused(_)) => return Err(error),
            Err(Error::Compacted(_)) => {}
            // Once an outage.
            Err(error) if told => debug!(%error, "still cannot campaign"),
            Err(error) => {
                told = true;
                warn!(%error, "cannot campaign, trying again");
            }
        }
        tokio::time::sleep(backoff.next(rand::random())).await;
    }
}

/// Puts the key if nobody holds it; else waits until whoever does has gone, and returns `None`.
async fn try_to_lead(
    store: &dyn Store,
    key: &str,
    record: &LeaderRecord,
    session: &Session,
) -> Result<Option<Leadership>, Error> {
    let guards = vec![Guard::Absent(key.to_owned())];
    let operations = vec![put(key.to_owned(), record, Some(session.lease()))];
    match store.commit(Transaction { guards, operations }).await {
        Ok(created) => return Ok(Some(Leadership { key: key.to_owned(), created })),
        Err(Error::Conflict) => {}
        Err(error) => return Err(error),
    }
    let Some(held) = store.get(key).await? else { return Ok(None) };
    if held.value == record.encode_to_vec() {
        // Ours: put by a transaction whose answer was lost, or by the life of this nimbus before
        // the last, whose address nobody else can have. Its lease may be any, so start afresh.
        debug!(key, created = held.created, "leader key is of an earlier try, removing it");
        give_up(store, &Leadership { key: key.to_owned(), created: held.created }).await?;
    } else {
        until_deleted(store, key, held.modified + 1).await?;
    }
    Ok(None)
}

async fn give_up(store: &dyn Store, leadership: &Leadership) -> Result<(), Error> {
    let guards = vec![leadership.guard()];
    let operations = vec![Operation::Delete(leadership.key.clone())];
    match store.commit(Transaction { guards, operations }).await {
        Ok(_) | Err(Error::Conflict) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until `key` is deleted at or after revision `from`.
async fn until_deleted(store: &dyn Store, key: &str, from: Revision) -> Result<(), Error> {
    let mut watch = store.watch(key, from).await?;
    while let Some(changes) = watch.next().await {
        let gone =
            |change: &Change| matches!(change, Change::Deleted { key: gone, .. } if gone == key);
        if changes?.iter().any(gone) {
            return Ok(());
        }
    }
    Err(Error::Unavailable("the watch ended".to_owned()))
}

fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_secs(1))
}
