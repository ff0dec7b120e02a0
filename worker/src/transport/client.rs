//! The dialling end of a link: one tokio task that keeps a connection to one incarnation.
//!
//! It dials, says hello, goes on where the receiver is, and starts over with backoff when the
//! connection breaks. It ends when its worker shuts down, or when the incarnation was retired and
//! nobody can send to it any more; until then it hands back what is still sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use daemon::listen::Security;
use daemon::{Backoff, Shutdown};
use futures::{Stream, StreamExt, stream};
use proto::transport::{Credit, FromReceiver, FromSender, from_receiver};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tonic::Streaming;
use tracing::{debug, error, info, warn};

use super::codec::items;
use super::link::{Destination, Next, Shared};
use super::{Receiver, wire};
use crate::engine::acking::FailReason;
use crate::engine::links::handshake::{Hello, Identity, PROTOCOL, Refusal};

/// First and longest wait before dialling again.
const REDIAL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A receiver answers a hello at once; one that does not is stopped or no worker.
const ANSWER: Duration = Duration::from_secs(2);

/// A refused link waits for the next table; it tries again after this long in case none comes.
const PARKED: Duration = Duration::from_secs(5);

/// How a connection ended.
enum Ended {
    Broken(String),
    Refused(Refusal),
    /// The table says something else now.
    Rerouted,
}

/// What the tokio task of a link works with.
pub(super) struct Client {
    me: Arc<Identity>,
    security: Security,
    shared: Arc<Shared>,
    route: watch::Receiver<Destination>,
    receiver: Arc<dyn Receiver>,
}

impl Client {
    /// `me` says which worker dials, and how.
    pub(super) fn new(
        (me, security): (Arc<Identity>, Security),
        shared: Arc<Shared>,
        receiver: Arc<dyn Receiver>,
    ) -> Self {
        let route = shared.route.subscribe();
        Self { me, security, shared, route, receiver }
    }

    /// Runs until the worker shuts down or the link has ended.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.asked() => {}
            () = async {
                self.connect_until_retired().await;
                self.hand_back_what_is_sent().await;
            } => {}
        }
    }

    async fn connect_until_retired(&mut self) {
        let mut backoff = Backoff::new(REDIAL.0, REDIAL.1);
        loop {
            let route = self.route.borrow_and_update().clone();
            if route.retired {
                return;
            }
            if route.address.is_empty() {
                self.until_rerouted(None).await;
                continue;
            }
            let (peer, address) = (self.shared.peer, &route.address);
            let ended = self.serve(&route).await;
            let was_connected = self.shared.disconnected();
            if was_connected {
                backoff.reset();
            }
            match ended {
                Ended::Rerouted => {}
                Ended::Broken(problem) => {
                    if was_connected {
                        warn!(peer, address, problem, "link broke");
                    } else {
                        debug!(peer, address, problem, "worker cannot be reached");
                    }
                    self.until_rerouted(Some(backoff.next(rand::random()))).await;
                }
                Ended::Refused(Refusal::CannotResume) => {
                    warn!(peer, address, "link cannot resume");
                    self.lose(self.shared.abandon(), FailReason::LinkLost);
                    self.receiver.wake();
                    self.until_rerouted(Some(backoff.next(rand::random()))).await;
                }
                Ended::Refused(refusal) => {
                    warn!(peer, address, %refusal, "link was refused");
                    self.until_rerouted(Some(PARKED)).await;
                }
            }
        }
    }

    /// Waits for a change of the route, for at most `patience`.
    async fn until_rerouted(&mut self, patience: Option<Duration>) {
        let patience = patience.unwrap_or(Duration::MAX);
        let deadline = tokio::time::sleep(patience);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                changed = self.route.changed() => {
                    debug_assert!(changed.is_ok(), "the sender is in `shared`, which we hold");
                    return;
                }
                () = self.shared.attention.notified() => self.lose_too_large(),
                () = &mut deadline => return,
            }
        }
    }

    /// Keeps one connection until it breaks or the route is another one.
    async fn serve(&mut self, route: &Destination) -> Ended {
        let connection = Connection {
            me: Arc::clone(&self.me),
            security: self.security.clone(),
            shared: Arc::clone(&self.shared),
            receiver: Arc::clone(&self.receiver),
        };
        let served = connection.serve(route);
        tokio::pin!(served);
        loop {
            tokio::select! {
                ended = &mut served => return ended,
                _ = self.route.changed() => {
                    let now = self.route.borrow_and_update();
                    if now.retired || now.address != route.address {
                        return Ended::Rerouted;
                    }
                }
                () = self.shared.attention.notified() => self.lose_too_large(),
            }
        }
    }

    /// After the incarnation was retired: everything is lost, now and later.
    async fn hand_back_what_is_sent(&self) {
        let peer = self.shared.peer;
        info!(peer, "link retired");
        loop {
            self.lose(self.shared.retire(), FailReason::WorkerLost);
            self.lose_too_large();
            // Whoever waits at a gate must see that it is open.
            self.receiver.wake();
            if self.shared.is_dropped() {
                return;
            }
            self.shared.attention.notified().await;
        }
    }

    fn lose_too_large(&self) {
        self.lose(self.shared.take_too_large(), FailReason::TooLarge);
    }

    fn lose(&self, frames: Vec<Bytes>, reason: FailReason) {
        let peer = self.shared.peer;
        let mut lost = Vec::new();
        for frame in &frames {
            match items(frame) {
                Ok(items) => lost.extend(items),
                Err(problem) => error!(peer, %problem, "lost frame cannot be read"),
            }
        }
        if !lost.is_empty() {
            warn!(peer, frames = frames.len(), %reason, "frames lost");
            self.receiver.lost(peer, lost, reason);
        }
    }
}

/// One connection of a link.
struct Connection {
    me: Arc<Identity>,
    security: Security,
    shared: Arc<Shared>,
    receiver: Arc<dyn Receiver>,
}

impl Connection {
    async fn serve(&self, route: &Destination) -> Ended {
        match self.exchange(route).await {
            Ok(refusal) => Ended::Refused(refusal),
            Err(problem) => Ended::Broken(problem),
        }
    }

    /// Returns why it was refused, or what broke it.
    async fn exchange(&self, route: &Destination) -> Result<Refusal, String> {
        let channel =
            wire::connect(&route.address, &self.security).await.map_err(|it| chain(&it))?;
        let (connection, oldest, starts_over) = self.shared.begin();
        let hello = Hello {
            protocol: PROTOCOL,
            sender: Identity::clone(&self.me),
            receiver: self.shared.peer,
            receiver_epoch: self.shared.epoch,
            oldest,
            starts_over,
        };
        let hello = wire::hello(&hello, route.version);
        let frames = frames(Arc::clone(&self.shared), connection);
        let outgoing = stream::once(std::future::ready(hello)).chain(frames);
        let opened = timeout(ANSWER, wire::exchange(channel, outgoing)).await;
        let silent = |_| "no answer to the hello".to_owned();
        let mut incoming = opened.map_err(silent)?.map_err(|it| it.to_string())?;
        let mut message = timeout(ANSWER, next_message(&mut incoming)).await.map_err(silent)??;
        loop {
            if let Some(refusal) = self.take(message)? {
                return Ok(refusal);
            }
            message = next_message(&mut incoming).await?;
        }
    }

    /// Takes in what the receiver says; returns why it was refused, if it was.
    fn take(&self, message: FromReceiver) -> Result<Option<Refusal>, String> {
        let resumed = match message.kind.ok_or("an empty message")? {
            from_receiver::Kind::Welcome(welcome) => {
                let resumed = self.shared.welcomed(welcome.next_sequence);
                info!(peer = self.shared.peer, next = welcome.next_sequence, "link connected");
                self.raise(&welcome.credits);
                resumed
            }
            from_receiver::Kind::Progress(progress) => {
                let resumed = self.shared.acknowledged(progress.next_sequence);
                self.raise(&progress.credits);
                resumed
            }
            from_receiver::Kind::Refused(refused) => {
                let refusal = wire::read_refused(&refused);
                self.shared.refused(refusal, refused.table_version);
                return Ok(Some(refusal));
            }
        };
        Ok(resumed.err().map(|problem| {
            warn!(peer = self.shared.peer, %problem, "the ends of a link disagree");
            Refusal::CannotResume
        }))
    }

    fn raise(&self, credits: &[Credit]) {
        let mut opened = false;
        for credit in credits {
            opened |= self.shared.granted(credit.task, credit.tuples, credit.bytes);
        }
        if opened {
            self.receiver.wake();
        }
    }
}

/// The frames that leave on one connection, as they come.
fn frames(shared: Arc<Shared>, connection: Arc<Notify>) -> impl Stream<Item = FromSender> {
    stream::unfold((shared, connection), |(shared, connection)| async move {
        loop {
            match shared.next(&connection) {
                Next::Frame(sequence, payload) => {
                    return Some((wire::frame(sequence, payload), (shared, connection)));
                }
                Next::Wait => connection.notified().await,
                Next::Superseded => return None,
            }
        }
    })
}

async fn next_message(incoming: &mut Streaming<FromReceiver>) -> Result<FromReceiver, String> {
    let message = incoming.message().await.map_err(|status| chain(&status))?;
    message.ok_or_else(|| "the receiver closed it".to_owned())
}

/// An error with its causes: the outermost one of tonic only says "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
