//! Carries the engine's plans out: one transaction after another, and what became of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coordination::{Error, Keys, Leadership, Revision, Store};
use tracing::{debug, info, warn};

use crate::engine::command::Plan;
use crate::engine::event::WriteFailure;

/// How long the store may take for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long answers are remembered for the repetition of a request.
const REQUEST_TTL: Duration = Duration::from_secs(3_600);

/// Carries plans out.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keys,
    pub(crate) told: Told,
}

/// The failure that was told last: what is tried again and again is told once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<String>>);

impl Told {
    fn is_new(&self, failure: String) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *last != failure;
        *last = failure;
        is_new
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Writer {
    /// Carries a plan out, in as few transactions as the store's limits allow.
    pub(crate) async fn write(
        &self,
        plan: &Plan,
        leadership: &Leadership,
    ) -> Result<Revision, WriteFailure> {
        let written = self.transact(plan, leadership).await;
        let written = match written {
            Err(Error::Conflict) if self.is_fenced(leadership).await => {
                warn!(topology = plan.topology, purpose = plan.purpose, "refused: another leads");
                return Err(WriteFailure::Fenced);
            }
            written => written,
        };
        let Plan { topology, purpose, .. } = plan;
        match &written {
            Ok(revision) => {
                info!(%topology, purpose, revision, "wrote");
                self.told.clear();
            }
            Err(error) if self.told.is_new(format!("{topology} {purpose} {error}")) => {
                warn!(%topology, purpose, %error, "failed to write");
            }
            Err(error) => debug!(%topology, purpose, %error, "failed to write again"),
        }
        written.map_err(|error| match error {
            Error::Conflict => WriteFailure::Conflict,
            Error::Refused(_) | Error::Malformed { .. } => WriteFailure::Refused(error.to_string()),
            Error::Unavailable(_) | Error::Compacted(_) | Error::LeaseLost(_) => {
                WriteFailure::Unavailable(error.to_string())
            }
        })
    }

    /// Finds out whether a write was refused because another nimbus was elected since.
    async fn is_fenced(&self, leadership: &Leadership) -> bool {
        let found = within(self.store.get(&leadership.key)).await;
        found.is_ok_and(|entry| entry.is_none_or(|entry| entry.created != leadership.created))
    }

    async fn transact(&self, plan: &Plan, leadership: &Leadership) -> Result<Revision, Error> {
        let lease = match &plan.request {
            Some(_) => Some(within(self.store.grant(REQUEST_TTL)).await?),
            None => None,
        };
        let mut last = Err(Error::Refused("there is nothing to write".to_owned()));
        for transaction in plan.transactions(&self.keys, &leadership.guard(), lease) {
            last = Ok(within(self.store.commit(transaction)).await?);
        }
        last
    }
}

/// Waits for the store, but not for ever.
async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(result) => result,
        Err(_) => Err(Error::Unavailable(format!("no answer within {CALL_TIMEOUT:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use coordination::{MemoryStore, Operation, Transaction};
    use daemon::Clock;
    use prost::Message as _;
    use proto::store::LeaderRecord;

    use super::*;
    use crate::engine::command::Write;

    #[tokio::test]
    async fn what_an_earlier_leader_still_wants_is_refused_as_such_and_writes_nothing() {
        let keys = Keys::new("test").unwrap();
        let store = Arc::new(MemoryStore::new(Clock::system()));
        let leader = |id: &str| {
            let record = LeaderRecord { nimbus_id: id.to_owned(), ..LeaderRecord::default() };
            let (key, value) = (keys.leader(), record.encode_to_vec());
            vec![Operation::Put { key, value, lease: None }]
        };
        let commit = async |operations| {
            store.commit(Transaction { guards: Vec::new(), operations }).await.unwrap()
        };
        let created = commit(leader("a")).await;
        let leadership = Leadership { key: keys.leader(), created };
        let writer = Writer { store: store.clone(), keys: keys.clone(), told: Told::default() };
        let plan = |name: &str| Plan {
            topology: name.to_owned(),
            decide: vec![Write::Name(name.to_owned())],
            ..Plan::default()
        };
        assert!(writer.write(&plan("first"), &leadership).await.is_ok(), "it leads");
        let taken = writer.write(&plan("first"), &leadership).await;
        assert_eq!(taken, Err(WriteFailure::Conflict), "it leads, but the name is taken");
        commit(vec![Operation::Delete(keys.leader())]).await;
        commit(leader("b")).await;
        let late = writer.write(&plan("second"), &leadership).await;
        assert_eq!(late, Err(WriteFailure::Fenced));
        assert_eq!(store.get(&keys.name("second")).await.unwrap(), None, "nothing was written");
    }
}
