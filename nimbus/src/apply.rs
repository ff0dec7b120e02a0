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
