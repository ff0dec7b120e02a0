//! A lease kept alive for as long as a process has something to say.
//!
//! A session is for being noticed, never for excluding: nothing here decides that a lease must have
//! ended because time has passed. Only the store says so, and then the session gets a new one.

use std::sync::Arc;
use std::time::Duration;

use daemon::{Backoff, Clock, Shutdown};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::store::{Error, LeaseId, Store};

/// How long a session that ends waits for the store to take its lease back.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// A lease that is kept alive, and replaced when it was lost.
///
/// Clones share the lease; each hears of losses by itself. The lease is revoked, so its keys vanish
/// at once, when the [`Shutdown`] it was opened on is asked or the last clone is dropped. Whoever
/// must keep its keys while it drains opens the session on a group that is asked last.
///
/// ```
/// use coordination::{MemoryStore, Session, Store};
/// use daemon::{Clock, Shutdown};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let store = Arc::new(MemoryStore::new(Clock::system()));
/// let shutdown = Shutdown::new();
/// let ttl = Duration::from_millis(100);
/// let mut session = Session::open(store.clone(), ttl, &shutdown).await.unwrap();
/// let lost = session.lease();
/// store.revoke(lost).await.unwrap();
/// session.lost().await;
/// assert_ne!(session.lease(), lost, "there is a new lease: write the keys again");
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    lease: watch::Receiver<LeaseId>,
}

impl Session {
    /// Gets a lease and keeps it alive every third of `ttl`.
    ///
    /// # Errors
    ///
    /// Whatever [`Store::grant`] says; nothing is tried twice here.
    pub async fn open(
        store: Arc<dyn Store>,
        ttl: Duration,
        shutdown: &Shutdown,
    ) -> Result<Self, Error> {
        Self::open_on(store, ttl, Clock::system(), shutdown).await
    }

    /// Does as [`Session::open`], on a clock that a test may move.
    ///
    /// # Errors
    ///
    /// As [`Session::open`].
    pub async fn open_on(
        store: Arc<dyn Store>,
        ttl: Duration,
        clock: Clock,
        shutdown: &Shutdown,
    ) -> Result<Self, Error> {
        let (sender, lease) = watch::channel(store.grant(ttl).await?);
        let keeper = Keeper { store, ttl, clock, lease: sender };
        let asked = shutdown.clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = asked.asked() => {}
                () = keeper.lease.closed() => {}
                () = keeper.keep() => {}
            }
            keeper.say_farewell().await;
        });
        Ok(Self { lease })
    }

    /// Returns the lease in force: what to put keys with.
    #[must_use]
    pub fn lease(&self) -> LeaseId {
        *self.lease.borrow()
    }

    /// Waits until a lease was lost and replaced: the keys it kept are gone and must be written
    /// again with the new one. Never returns once shutdown was asked for.
    pub async fn lost(&mut self) {
        if self.lease.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The side of the session that faces the store.
struct Keeper {
    store: Arc<dyn Store>,
    ttl: Duration,
    clock: Clock,
    lease: watch::Sender<LeaseId>,
}

impl Keeper {
    /// Keeps the lease alive, or gets a new one, for ever.
    async fn keep(&self) {
        let third = self.ttl / 3;
        // Tries much more often than it must while the store does not answer, for the lease to
        // outlive a short outage.
        let mut backoff = Backoff::new(third / 8, third);
        let (mut wait, mut failing) = (third, false);
        loop {
            self.clock.sleep(wait).await;
            let lease = *self.lease.borrow();
            wait = match self.store.keep_alive(lease).await {
                Ok(()) => {
                    if failing {
                        info!(lease, "lease is kept alive again");
                    }
                    failing = false;
                    backoff.reset();
                    third
                }
                Err(Error::LeaseLost(_)) => {
                    warn!(lease, "lease was lost, getting another");
                    self.replace(&mut backoff).await;
                    failing = false;
                    third
                }
                Err(error) => {
                    if failing {
                        debug!(lease, %error, "still cannot keep the lease alive");
                    } else {
                        warn!(lease, %error, "cannot keep the lease alive, trying again");
                    }
                    failing = true;
                    backoff.next(rand::random())
                }
            };
        }
    }

    async fn replace(&self, backoff: &mut Backoff) {
        loop {
            match self.store.grant(self.ttl).await {
                Ok(lease) => {
                    backoff.reset();
                    self.lease.send_replace(lease);
                    return;
                }
                Err(error) => {
                    warn!(%error, "cannot get a lease, trying again");
                    self.clock.sleep(backoff.next(rand::random())).await;
                }
            }
        }
    }

    /// Revokes the lease so that nobody waits for it to expire.
    async fn say_farewell(&self) {
        let lease = *self.lease.borrow();
        let revoked = tokio::time::timeout(FAREWELL_MAX, self.store.revoke(lease)).await;
        match revoked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(lease, %error, "lease was left to expire"),
            Err(_) => debug!(lease, "lease was left to expire: the store is slow"),
        }
    }
}
