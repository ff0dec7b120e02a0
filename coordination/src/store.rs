//! The contract of a coordination store: what etcd gives us and no more.
//!
//! Reads and writes are linearizable. Every change raises the store's revision; a watch shows each
//! change once, in order. Leases are for noticing that somebody is gone, never for excluding them.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

/// Rises with every change of the store.
pub type Revision = u64;

/// Names a lease.
pub type LeaseId = i64;

/// Most operations in one transaction (etcd's default limit).
pub const OPERATIONS_MAX: usize = 128;

/// Most bytes in one transaction (etcd's default limit, less room for its envelope).
pub const TRANSACTION_BYTES_MAX: usize = 1_400_000;

/// One key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The whole key.
    pub key: String,
    /// Its value: an encoded record.
    pub value: Vec<u8>,
    /// Revision at which the key last came into being.
    pub created: Revision,
    /// Revision of its last change.
    pub modified: Revision,
}

/// All keys below a prefix, at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Sorted by key.
    pub entries: Vec<Entry>,
    /// The store's revision when they were read: watch from the next one.
    pub revision: Revision,
}

/// What must hold for a transaction to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key does not exist.
    Absent(String),
    /// The key exists and came into being at this revision: whoever created it still holds it.
    CreatedAt(String, Revision),
    /// The key exists and last changed at this revision.
    ModifiedAt(String, Revision),
}

/// One write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sets a key; with a lease, it vanishes when the lease ends.
    Put {
        /// The whole key.
        key: String,
        /// The encoded record.
        value: Vec<u8>,
        /// The lease that keeps it.
        lease: Option<LeaseId>,
    },
    /// Removes a key; nothing happens if it is not there.
    Delete(String),
    /// Removes every key that starts with this.
    DeletePrefix(String),
}

/// Writes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// Applied in order, at one revision. A key may be written only once.
    pub operations: Vec<Operation>,
}

/// One change a watch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this value now.
    Put(Entry),
    /// The key is gone.
    Deleted {
        /// The whole key.
        key: String,
        /// Revision at which it went.
        revision: Revision,
    },
}

impl Change {
    /// Returns the key that changed.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Deleted { key, .. } => key,
        }
    }

    /// Returns the revision at which it changed.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(entry) => entry.modified,
            Self::Deleted { revision, .. } => *revision,
        }
    }
}

/// Why a store call failed, named by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A guard did not hold: read again, then decide again.
    #[error("the store changed since it was read")]
    Conflict,
    /// The store did not answer: wait, then try again.
    #[error("the coordination store is unavailable: {0}")]
    Unavailable(String),
    /// The watch fell behind what the store still remembers: list again.
    #[error("the store no longer has the changes since revision {0}")]
    Compacted(Revision),
    /// The lease ended: whatever it kept is gone.
    #[error("the lease {0} ended")]
    LeaseLost(LeaseId),
    /// The request can never succeed: it is too large, or not allowed.
    #[error("the coordination store refused: {0}")]
    Refused(String),
    /// A key holds something else than its record: leave it alone and show it.
    #[error("the record at {key} cannot be read: {reason}")]
    Malformed {
        /// The key.
        key: String,
        /// What is wrong with its value.
        reason: String,
    },
}

/// Changes in the order of their revisions; ends with the first error.
pub type Watch = BoxStream<'static, Result<Vec<Change>, Error>>;

/// A coordination store. One suite (`tests/contract.rs`) runs on every implementation.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads one key.
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error>;

    /// Reads every key that starts with `prefix`, all as of one revision.
    async fn list(&self, prefix: &str) -> Result<Listing, Error>;

    /// Applies the transaction if all its guards hold, and returns its revision.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if a guard did not hold: nothing was written. After
    /// [`Error::Unavailable`] it may or may not have been applied.
    async fn commit(&self, transaction: Transaction) -> Result<Revision, Error>;

    /// Shows every change at or after revision `from` of keys that start with `prefix`.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`], here or as the stream's last item, if `from` is no longer remembered.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error>;

    /// Makes a lease that ends `ttl` after it was last kept alive (rounded up to whole seconds;
    /// etcd's least is 2 s by default).
    async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error>;

    /// Keeps a lease alive for its time to live from now.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] if it has ended.
    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error>;

    /// Ends a lease now; its keys vanish. A lease that has already ended is fine.
    async fn revoke(&self, lease: LeaseId) -> Result<(), Error>;

    /// Says why the store answers but takes no writes, if that is so: it is full, for example.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if it does not answer, or has lost its quorum.
    async fn read_only(&self) -> Result<Option<String>, Error> {
        Ok(None)
    }
}
