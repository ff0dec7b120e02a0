//! The store on etcd; with what is below it, all that names its client.
//!
//! Errors of etcd and of gRPC are classified here, once. Each call has a limit of time. Reads and
//! leases are tried again on another member; a transaction only if it cannot have reached etcd,
//! because else it could be applied twice.

mod causes;
mod connection;
mod files;

use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{
    Compare, CompareOp, DeleteOptions, Event, EventType, GetOptions, KeyValue, KvClient,
    LeaseClient, MaintenanceClient, PutOptions, Txn, TxnOp, WatchClient, WatchOptions,
    WatchResponse, WatchStream,
};
use futures::{StreamExt, stream};
use tonic::ConnectError;

use self::causes::{Verdict, alarm, root_cause, verdict};
pub use self::connection::EtcdTls;
use self::connection::{Site, members};
use crate::failover::{Failed, Members, Rules};
use crate::store::{
    Change, Entry, Error, Guard, LeaseId, Listing, Operation, Revision, Store, Transaction, Watch,
};

/// How long a call may take that may as well be made twice.
const CALL: Rules = Rules { limit: Duration::from_secs(5), repeatable: true };

/// How long a transaction may take; an election in etcd takes 1 to 2 s.
const WRITE: Rules = Rules { limit: Duration::from_secs(5), repeatable: false };

/// How long keeping a lease alive may take: short, because leases are.
const KEEP_ALIVE: Rules = Rules { limit: Duration::from_secs(2), repeatable: true };

/// How long a look at the health of a member may take.
const HEALTH: Rules = Rules { limit: Duration::from_secs(3), repeatable: true };

/// Most bytes of an answer: a listing comes in one piece.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A coordination store on etcd 3.4 or newer.
///
/// ```no_run
/// use coordination::{EtcdStore, Store};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = EtcdStore::connect(&["http://127.0.0.1:2379".to_owned()]).await.unwrap();
/// let everything = store.list("/squall/v1/").await.unwrap();
/// println!("{} keys at revision {}", everything.entries.len(), everything.revision);
/// # });
/// ```
#[derive(Clone)]
pub struct EtcdStore {
    site: Arc<Site>,
    /// Who is asked from now on: others when the files of TLS have changed.
    members: Arc<RwLock<Arc<Members<Member>>>>,
}

/// One member of the etcd cluster.
#[derive(Clone)]
struct Member {
    kv: KvClient,
    watch: WatchClient,
    lease: LeaseClient,
    maintenance: MaintenanceClient,
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore").finish_non_exhaustive()
    }
}

impl EtcdStore {
    /// Connects to the members of one etcd cluster, `http://host:port` each, and asks for a sign of
    /// life.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if an address makes no sense, [`Error::Unavailable`] if no member answers
    /// within a few seconds.
    pub async fn connect(urls: &[String]) -> Result<Self, Error> {
        Self::connect_with(urls, &EtcdTls::default()).await
    }

    /// Like [`EtcdStore::connect`], with TLS towards members whose address begins with `https://`.
    ///
    /// # Errors
    ///
    /// As there, and [`Error::Refused`] if a file cannot be read.
    pub async fn connect_with(urls: &[String], tls: &EtcdTls) -> Result<Self, Error> {
        let site = Site { urls: urls.to_vec(), tls: tls.clone() };
        let members = Arc::new(RwLock::new(Arc::new(members(&site).await?)));
        let store = Self { site: Arc::new(site), members };
        store.get("/").await?;
        Ok(store)
    }

    fn members(&self) -> Arc<Members<Member>> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls a member; `lease` is the one the call is about.
    async fn call<R, F>(
        &self,
        rules: Rules,
        lease: Option<LeaseId>,
        call: impl Fn(Member) -> F + Send + Sync,
    ) -> Result<R, Error>
    where
        F: Future<Output = Result<R, etcd_client::Error>> + Send,
    {
        let ask = |member: &Member| {
            let answer = call(member.clone());
            async {
                answer.await.map_err(|error| Failed {
                    reached: !never_left(&error),
                    error: self.classify(lease, error),
                })
            }
        };
        self.members().ask(rules, ask).await
    }

    /// Names an error of etcd by what the caller can do.
    fn classify(&self, lease: Option<LeaseId>, error: etcd_client::Error) -> Error {
        match (error, lease) {
            (etcd_client::Error::GRpcStatus(status), _) => match (verdict(status.code()), lease) {
                (Verdict::NotFound, Some(lease)) => Error::LeaseLost(lease),
                (Verdict::NotFound | Verdict::Refused, _) => {
                    Error::Refused(status.message().to_owned())
                }
                (Verdict::Unavailable, _) => self.members().unavailable(root_cause(&status)),
            },
            (etcd_client::Error::LeaseKeepAliveError(_), Some(lease)) => Error::LeaseLost(lease),
            (error, _) => self.members().unavailable(error),
        }
    }

    /// Reads one message of a watch whose first unseen revision is `next`.
    fn changes(
        &self,
        response: Option<&WatchResponse>,
        next: Revision,
    ) -> Result<Vec<Change>, Error> {
        let response = response.ok_or_else(|| self.members().unavailable("the watch ended"))?;
        // After this message the stream stays open and silent for ever.
        if response.canceled() {
            let reason = response.cancel_reason();
            return Err(match response.compact_revision() {
                0 => self.members().unavailable(format!("the watch was cancelled: {reason}")),
                _ => Error::Compacted(next),
            });
        }
        Ok(response.events().iter().filter_map(change).collect())
    }

    /// Waits for changes; messages without any say that the watch was made, or how far it is.
    async fn next_changes(
        &self,
        watch: &mut WatchStream,
        next: Revision,
    ) -> Result<Vec<Change>, Error> {
        loop {
            let message = watch.message().await;
            let message = message.map_err(|error| self.classify(None, error))?;
            let changes = self.changes(message.as_ref(), next)?;
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        let answer =
            self.call(CALL, None, |mut member| async move { member.kv.get(key, None).await });
        Ok(answer.await?.kvs().first().map(entry))
    }

    async fn list(&self, prefix: &str) -> Result<Listing, Error> {
        let options = GetOptions::new().with_prefix();
        let answer = self.call(CALL, None, |mut member| {
            let options = options.clone();
            async move { member.kv.get(prefix, Some(options)).await }
        });
        let answer = answer.await?;
        let revision = answer.header().map_or(0, |header| unsigned(header.revision()));
        Ok(Listing { entries: answer.kvs().iter().map(entry).collect(), revision })
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, Error> {
        transaction.check()?;
        let lease = transaction.operations.iter().find_map(|operation| match operation {
            Operation::Put { lease, .. } => *lease,
            Operation::Delete(_) | Operation::DeletePrefix(_) => None,
        });
        let compares: Option<Vec<_>> = transaction.guards.iter().map(compare).collect();
        let Some(compares) = compares else { return Err(Error::Conflict) };
        let operations: Vec<_> = transaction.operations.into_iter().map(operation).collect();
        let txn = Txn::new().when(compares).and_then(operations);
        let answer = self.call(WRITE, lease, |mut member| {
            let txn = txn.clone();
            async move { member.kv.txn(txn).await }
        });
        let answer = answer.await?;
        if !answer.succeeded() {
            return Err(Error::Conflict);
        }
        Ok(answer.header().map_or(0, |header| unsigned(header.revision())))
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        // To etcd a start at 0 means now, and history starts at 1.
        let next = from.max(1);
        let options = WatchOptions::new().with_prefix().with_start_revision(signed(next));
        let started = self.call(CALL, None, |mut member| {
            let options = options.clone();
            async move {
                let mut watch = member.watch.watch(prefix, Some(options)).await?;
                let first = watch.message().await?;
                Ok((watch, first))
            }
        });
        let (watch, first) = started.await?;
        let first = self.changes(first.as_ref(), next)?;
        let state = Some((self.clone(), watch, next));
        let rest = stream::unfold(state, |state| async move {
            let (store, mut watch, next) = state?;
            Some(match store.next_changes(&mut watch, next).await {
                Ok(changes) => {
                    let last = changes.last().map_or(0, Change::revision);
                    (Ok(changes), Some((store, watch, next.max(last + 1))))
                }
                Err(error) => (Err(error), None),
            })
        });
        let first = stream::iter((!first.is_empty()).then_some(Ok(first)));
        Ok(first.chain(rest).boxed())
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let answer = self.call(CALL, None, |mut member| async move {
            member.lease.grant(signed(seconds.max(1)), None).await
        });
        Ok(answer.await?.id())
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        let answer = self.call(KEEP_ALIVE, Some(lease), |mut member| async move {
            member.lease.keep_alive(lease).await
        });
        answer.await.map(drop)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        let answer = self
            .call(CALL, Some(lease), |mut member| async move { member.lease.revoke(lease).await });
        match answer.await {
            Ok(_) | Err(Error::LeaseLost(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn read_only(&self) -> Result<Option<String>, Error> {
        let answer = self.call(HEALTH, None, |mut member| async move {
            let status = member.maintenance.status().await?;
            // What a member says that has no leader is its own affair: ask the next.
            if status.leader() == 0 {
                let error = tonic::Status::unavailable("it has no leader: too few members are up");
                return Err(etcd_client::Error::GRpcStatus(error));
            }
            Ok(status)
        });
        Ok(answer.await?.errors().iter().find_map(|error| alarm(error)))
    }
}

/// Tells whether a call cannot have reached etcd because there was no connection.
fn never_left(error: &etcd_client::Error) -> bool {
    let etcd_client::Error::GRpcStatus(status) = error else { return false };
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Says a guard to etcd; `None` if it can never hold. To etcd an absent key has revision 0.
fn compare(guard: &Guard) -> Option<Compare> {
    let equal = CompareOp::Equal;
    match guard {
        Guard::CreatedAt(_, 0) | Guard::ModifiedAt(_, 0) => None,
        Guard::Absent(key) => Some(Compare::create_revision(key.as_str(), equal, 0)),
        Guard::CreatedAt(key, at) => {
            Some(Compare::create_revision(key.as_str(), equal, signed(*at)))
        }
        Guard::ModifiedAt(key, at) => Some(Compare::mod_revision(key.as_str(), equal, signed(*at))),
    }
}

fn operation(operation: Operation) -> TxnOp {
    match operation {
        Operation::Put { key, value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease));
            TxnOp::put(key, value, options)
        }
        Operation::Delete(key) => TxnOp::delete(key, None),
        Operation::DeletePrefix(prefix) => {
            TxnOp::delete(prefix, Some(DeleteOptions::new().with_prefix()))
        }
    }
}

fn entry(found: &KeyValue) -> Entry {
    Entry {
        key: String::from_utf8_lossy(found.key()).into_owned(),
        value: found.value().to_vec(),
        created: unsigned(found.create_revision()),
        modified: unsigned(found.mod_revision()),
    }
}

fn change(event: &Event) -> Option<Change> {
    let found = event.kv()?;
    Some(match event.event_type() {
        EventType::Put => Change::Put(entry(found)),
        EventType::Delete => {
            let Entry { key, modified, .. } = entry(found);
            Change::Deleted { key, revision: modified }
        }
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use etcd_client::Client;

    use super::*;

    #[tokio::test]
    async fn what_finds_no_connection_never_left() {
        let mut client = Client::connect(["http://127.0.0.1:1"], None).await.unwrap();
        let error = client.get("key", None).await.expect_err("nobody listens on port 1");
        assert!(never_left(&error), "{error:?}");
    }
}
