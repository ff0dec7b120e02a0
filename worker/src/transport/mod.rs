//! Frames between the workers of one topology, over gRPC.
//!
//! Each worker listens, and dials every other one it knows of: frames go the way of the dialling,
//! acknowledgements and credits come back. A link belongs to one pair of incarnations. While both
//! live, each frame arrives once and in order, over however many connections; when one is retired,
//! the frames that were not acknowledged are handed back, so that their roots fail at once.
//!
//! One thread owns all sockets. Executors call [`Transport`] and [`Link`] from theirs, once a frame
//! or batch and never once a tuple; none of these calls waits.
//!
//! * [`codec`] lays out frames, `edges` what is in them of tuple trees, and `parse` reads them;
//! * `link` is the sending end as executors see it, `client` carries its frames out;
//! * `accept` takes connections in, `server` speaks on them, `incoming` is what it knows of each peer;
//! * `wire` has the settings of HTTP/2.
//!
//! What is decided is decided in [`engine::links`](crate::engine::links) and
//! [`engine::flow`](crate::engine::flow).

mod client;
pub mod codec;
mod edges;
mod incoming;
mod link;
mod listen;
mod parse;
mod server;
#[cfg(test)]
mod tests;
pub mod wire;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use daemon::listen::Security;
use daemon::{Clock, Shutdown, TurnedAway};

pub use self::codec::{BatchHead, FrameWriter, Item};
pub use self::link::{Link, LinkReport};
pub use self::listen::{Listen, ListenError};
pub use crate::engine::flow::Gate;
pub use crate::engine::links::handshake::Refusal;

use self::client::Client;
use self::incoming::Incoming;
use self::link::{Destination, Shared};
use crate::engine::acking::FailReason;
use crate::engine::flow::Budget;
use crate::engine::links::handshake::Identity;
use crate::engine::routing::{Epoch, Table};

/// Takes what comes over the links of this worker.
///
/// All calls come from the I/O thread and must not block it.
pub trait Receiver: Send + Sync + 'static {
    /// Takes the items of a frame: each frame once, in the order in which `from` sent them.
    ///
    /// Every batch must be counted with [`Transport::consumed`] when it is taken for execution,
    /// refused or dropped. Must not call [`Transport::adopt`].
    fn frame(&self, from: u32, items: Vec<Item>);

    /// Takes back frames of ours that `peer` may not have received and never will: the roots in
    /// them are to be failed for `reason`.
    fn lost(&self, peer: u32, items: Vec<Item>, reason: FailReason);

    /// A gate that was closed is open: who waits for one should look again.
    fn wake(&self);
}

/// Which worker this is and where it listens.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the cluster.
    pub cluster: String,
    /// Id of the topology.
    pub topology: String,
    /// Number of this worker in it.
    pub worker: u32,
    /// Its incarnation.
    pub epoch: Epoch,
    /// Where to listen.
    pub listen: Listen,
    /// Host under which other workers reach this one.
    pub advertise: String,
    /// Largest frame that is sent or taken, in bytes: larger ones come back as lost.
    pub frame_bytes_max: usize,
    /// What the worker holds: frames that are not acknowledged count.
    pub budget: Arc<Budget>,
    /// How it speaks with other workers.
    pub security: Security,
}

/// Why the transport did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No port of the range is free, or the address is not ours.
    #[error(
        "cannot listen on {listen}: {source}; free a port, or give the supervisor others with \
         --worker-ports"
    )]
    Listen {
        /// Where it was to listen.
        listen: Listen,
        /// Why the last port that was tried failed.
        #[source]
        source: io::Error,
    },
}

/// The links of this worker; a cheap handle.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("address", &self.inner.address).finish_non_exhaustive()
    }
}

struct Inner {
    me: Arc<Identity>,
    frame_bytes_max: usize,
    budget: Arc<Budget>,
    address: String,
    receiver: Arc<dyn Receiver>,
    incoming: Arc<Incoming>,
    security: Security,
    links: RwLock<HashMap<u32, Arc<Link>>>,
    clock: Clock,
    shutdown: Shutdown,
    /// The runtime of the I/O thread: tables are adopted on other threads too.
    runtime: tokio::runtime::Handle,
}

impl Transport {
    /// Starts to listen; everything runs on the current tokio runtime until `shutdown`.
    ///
    /// Links are opened by [`Transport::adopt`].
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn start(
        config: Config,
        receiver: Arc<dyn Receiver>,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Result<Self, Error> {
        let Config { cluster, topology, worker, epoch, listen, advertise, .. } = config;
        let (frame_bytes_max, budget) = (config.frame_bytes_max, config.budget);
        let security = config.security;
        let failed = |source| Error::Listen { listen: listen.clone(), source };
        let listener = listen.bind().await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let me = Arc::new(Identity { cluster, topology, worker, epoch });
        let incoming =
            Arc::new(Incoming::new(Arc::clone(&me), Arc::clone(&receiver), Arc::clone(&budget)));
        let message_max = frame_bytes_max + wire::AROUND_PAYLOAD_BYTES;
        let connections = daemon::grpc::incoming(listener, &security, &shutdown);
        let serving =
            server::serve(connections, Arc::clone(&incoming), message_max, shutdown.clone());
        shutdown.spawn(serving);
        let inner = Inner {
            me,
            frame_bytes_max,
            budget,
            address: listen::host_and_port(&advertise, port),
            receiver,
            incoming,
            security,
            links: RwLock::default(),
            clock,
            shutdown,
            runtime: tokio::runtime::Handle::current(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the `host:port` where other workers reach this one.
    #[must_use]
    pub fn address(&self) -> String {
        self.inner.address.clone()
    }

    /// Opens links to the workers of a table and retires those to older incarnations, or to
    /// workers that are gone from it. Incoming streams of older incarnations are refused from now
    /// on. A table older than the last one changes nothing.
    pub fn adopt(&self, table: &Table) {
        let inner = &self.inner;
        if table.version() < inner.incoming.version() {
            return;
        }
        let others = || table.workers().iter().filter(|route| route.worker != inner.me.worker);
        // Outside the lock on `links`: a frame that is being handed on may want a link.
        for route in others() {
            inner.incoming.learn(route.worker, route.epoch);
        }
        inner.incoming.adopted(table.version());
        let mut links = inner.links.write().unwrap_or_else(PoisonError::into_inner);
        for route in others() {
            let there = Destination {
                address: route.address.clone(),
                version: table.version(),
                retired: false,
            };
            match links.get(&route.worker) {
                Some(link) if link.epoch() > route.epoch => {}
                Some(link) if link.epoch() == route.epoch => link.lead_to(there),
                older => {
                    if let Some(older) = older {
                        older.retire();
                    }
                    let link = inner.open(route.worker, route.epoch, there);
                    links.insert(route.worker, Arc::new(link));
                }
            }
        }
        links.retain(|worker, link| {
            let stays = table.worker(*worker).is_some();
            if !stays {
                link.retire();
            }
            stays
        });
    }

    /// Returns the link to a worker's incarnation in the adopted table.
    ///
    /// It is there before it is connected: what is sent waits, bounded by credit. It can be kept
    /// until the next table.
    #[must_use]
    pub fn link(&self, worker: u32) -> Option<Arc<Link>> {
        let links = self.inner.links.read().unwrap_or_else(PoisonError::into_inner);
        links.get(&worker).map(Arc::clone)
    }

    /// Counts a batch from `peer` that left the mailbox of `task`, so that more can be sent.
    ///
    /// `bytes` are those of its rows.
    pub fn consumed(&self, peer: u32, task: u32, tuples: u64, bytes: u64) {
        self.inner.incoming.consumed(peer, task, tuples, bytes);
    }

    /// Tells how each link does, in the order of the workers' numbers.
    #[must_use]
    pub fn reports(&self) -> Vec<LinkReport> {
        let links = self.inner.links.read().unwrap_or_else(PoisonError::into_inner);
        let mut reports: Vec<_> = links.values().map(|link| link.shared().report()).collect();
        reports.sort_by_key(|report| report.peer);
        reports
    }

    /// Tells how long the oldest frame waits that its receiver has not said it has.
    #[must_use]
    pub fn oldest_wait(&self) -> Duration {
        let links = self.inner.links.read().unwrap_or_else(PoisonError::into_inner);
        let oldest = links.values().filter_map(|link| link.shared().oldest_since()).min();
        let now = self.inner.clock.now();
        oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Returns whom this worker turned away.
    #[must_use]
    pub fn turned_away(&self) -> TurnedAway {
        self.inner.incoming.turned_away()
    }

    /// Tells whether a frame of ours is not acknowledged yet.
    #[must_use]
    pub fn pending(&self) -> bool {
        let links = self.inner.links.read().unwrap_or_else(PoisonError::into_inner);
        links.values().any(|link| link.shared().is_pending())
    }

    /// Tells whether a frame that was sent before `then` is not acknowledged yet.
    #[must_use]
    pub fn is_pending_since(&self, then: Instant) -> bool {
        let links = self.inner.links.read().unwrap_or_else(PoisonError::into_inner);
        links.values().any(|link| link.shared().oldest_since().is_some_and(|it| it <= then))
    }

    /// Returns the version of a table in which some peer knows a newer incarnation of *this*
    /// worker: it must stop.
    #[must_use]
    pub fn retired(&self) -> Option<u64> {
        let refusals = self.reports().into_iter().filter_map(|report| report.refusal);
        refusals
            .filter(|(refusal, _)| *refusal == Refusal::Retired)
            .map(|(_, version)| version)
            .max()
    }
}

impl Inner {
    fn open(&self, worker: u32, epoch: Epoch, there: Destination) -> Link {
        let limits = (self.frame_bytes_max, Arc::clone(&self.budget));
        let shared = Arc::new(Shared::new((worker, epoch), limits, there, self.clock.clone()));
        let receiver = Arc::clone(&self.receiver);
        let me = (Arc::clone(&self.me), self.security.clone());
        let client = Client::new(me, Arc::clone(&shared), receiver);
        let _runtime = self.runtime.enter();
        self.shutdown.spawn(client.run(self.shutdown.clone()));
        Link::new(shared)
    }
}
