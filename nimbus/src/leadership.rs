//! Becoming the leader, and noticing when that is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coordination::{Error, Keys, Session, Store, Transaction, campaign, put};
use daemon::{Backoff, Clock, Shutdown};
use proto::store::{LeaderRecord, NimbusRecord};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use crate::daemon::Handle;

/// A nimbus that wants to lead.
pub(crate) struct Candidate {
    pub(crate) keys: Keys,
    /// What it puts under the leader's key.
    pub(crate) record: LeaderRecord,
    /// The binaries that it says it has under its own.
    pub(crate) held: watch::Receiver<Option<BTreeSet<String>>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    /// How long its keys outlive it.
    pub(crate) ttl: Duration,
}

/// Campaigns, leads, and campaigns again, until asked to stop.
pub(crate) fn start(candidate: Candidate, handle: Handle, shutdown: &Shutdown) {
    let group = shutdown.clone();
    shutdown.spawn_until_asked(async move {
        let session = candidate.session(&group).await;
        let renewed = session.clone();
        tokio::join!(candidate.stay_registered(renewed), candidate.lead(&session, &handle));
    });
}

impl Candidate {
    async fn session(&self, shutdown: &Shutdown) -> Session {
        let mut backoff = backoff();
        loop {
            let clock = self.clock.clone();
            match Session::open_on(self.store.clone(), self.ttl, clock, shutdown).await {
                Ok(session) => return session,
                Err(error) => warn!(%error, "cannot get a lease, trying again"),
            }
            self.clock.sleep(backoff.next(rand::random())).await;
        }
    }

    /// Keeps the key that says that this nimbus is up, and which binaries it has.
    async fn stay_registered(&self, mut session: Session) {
        let mut held = self.held.clone();
        let mut told = false;
        loop {
            let mut backoff = backoff();
            while let Err(error) = self.register(&session, &mut held).await {
                // Once an outage.
                if told {
                    debug!(%error, "still cannot register");
                } else {
                    warn!(%error, "cannot register, trying again");
                }
                told = true;
                self.clock.sleep(backoff.next(rand::random())).await;
            }
            told = false;
            tokio::select! {
                () = session.lost() => {}
                changed = held.changed() => if changed.is_err() { session.lost().await; }
            }
        }
    }

    async fn register(
        &self,
        session: &Session,
        held: &mut watch::Receiver<Option<BTreeSet<String>>>,
    ) -> Result<(), Error> {
        let key = self.keys.nimbus(&self.record.nimbus_id);
        let record = NimbusRecord {
            nimbus_id: self.record.nimbus_id.clone(),
            address: self.record.address.clone(),
            http_address: self.record.http_address.clone(),
            version: crate::VERSION.to_owned(),
            digests: held.borrow_and_update().iter().flatten().cloned().collect(),
        };
        let operations = vec![put(key, &record, Some(session.lease()))];
        self.store.commit(Transaction { guards: Vec::new(), operations }).await.map(drop)
    }

    async fn lead(&self, session: &Session, handle: &Handle) {
        let mut backoff = backoff();
        loop {
            let campaign = campaign(self.store.clone(), &self.keys, self.record.clone(), session);
            match campaign.await {
                Ok(leadership) => {
                    info!(nimbus = self.record.nimbus_id, term = leadership.created, "leads");
                    handle.leads(leadership.clone()).await;
                    leadership.ended(&*self.store).await;
                    info!(nimbus = self.record.nimbus_id, "no longer leads");
                    handle.follows().await;
                    backoff.reset();
                }
                Err(error) => {
                    error!(%error, "the store does not let this nimbus campaign");
                    self.clock.sleep(backoff.next(rand::random())).await;
                }
            }
        }
    }
}

fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(2))
}
