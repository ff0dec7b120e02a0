//! The receiving ends of all links: which incarnation of each worker is the one, which of its
//! frames are here, and what it may send.
//!
//! Two locks a peer. `order` is held while a frame is handed on, so that frames stay in order and
//! none of a retired incarnation comes after the table that retired it was adopted. `grants` is
//! held for moments, because executors take it with every batch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use daemon::TurnedAway;
use proto::transport::{Frame, FromReceiver};
use tokio::sync::Notify;
use tracing::{error, info};

use super::codec::items;
use super::link::lock;
use super::{Receiver, wire};
use crate::engine::flow::credit::window_among;
use crate::engine::flow::{Budget, Windows};
use crate::engine::links::handshake::{Hello, Identity, Known, Refusal, admit};
use crate::engine::links::sequence::Arrival;
use crate::engine::routing::Epoch;

/// Most peers that are remembered because they said hello, and not because a table named them: a
/// bound for what strangers on the port can make us keep.
const PEERS_MAX: usize = 1 << 14;

/// The sender keeps what was not acknowledged. So many bytes of it are worth a message; of less it
/// hears with the next credits, or after [`SAY_AFTER`].
const UNSAID_MAX: usize = 256 << 10;

/// How long a frame may go without acknowledgement while there is nothing else to say.
pub(super) const SAY_AFTER: Duration = Duration::from_millis(5);

/// What comes in, from all peers.
pub(super) struct Incoming {
    me: Arc<Identity>,
    receiver: Arc<dyn Receiver>,
    /// Version of the adopted table.
    version: AtomicU64,
    peers: RwLock<HashMap<u32, Arc<Peer>>>,
    /// What the windows of all peers share.
    budget: Arc<Budget>,
    /// How many windows are open.
    windows: Arc<AtomicU64>,
    turned_away: Mutex<TurnedAway>,
}

impl Incoming {
    pub(super) fn new(me: Arc<Identity>, receiver: Arc<dyn Receiver>, budget: Arc<Budget>) -> Self {
        let (version, windows) = (AtomicU64::new(0), Arc::default());
        let (peers, turned_away) = (RwLock::default(), Mutex::default());
        Self { me, receiver, version, peers, budget, windows, turned_away }
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Adopts the version of a table, after [`Incoming::learn`] for each of its workers.
    pub(super) fn adopted(&self, version: u64) {
        self.version.fetch_max(version, Ordering::Relaxed);
    }

    /// Takes note of an incarnation that a table names; one before it is fenced from now on.
    pub(super) fn learn(&self, worker: u32, epoch: Epoch) {
        if let Some(peer) = self.peer_or_insert(worker, epoch, usize::MAX) {
            let before = peer.learn(epoch);
            self.note_retired(worker, before);
        }
    }

    /// Counts an incarnation whose stream was ended because a newer one is known.
    fn note_retired(&self, worker: u32, epoch: Option<Epoch>) {
        if let Some(epoch) = epoch {
            let sender = Identity { worker, epoch, ..Identity::clone(&self.me) };
            self.note(&sender, Refusal::Retired);
        }
    }

    /// Counts a batch that an executor took, for the credits of its sender.
    pub(super) fn consumed(&self, worker: u32, task: u32, tuples: u64, bytes: u64) {
        if let Some(peer) = self.peer(worker) {
            let windows = self.windows.load(Ordering::Relaxed);
            let size = window_among(self.budget.limit(), windows, self.budget.was_tight());
            let mut grants = lock(&peer.grants);
            grants.windows.resize(size);
            if grants.windows.consumed(task, tuples, bytes)
                && let Some(session) = &grants.session
            {
                session.news.notify_one();
            }
        }
    }

    /// Returns who was turned away.
    pub(super) fn turned_away(&self) -> TurnedAway {
        lock(&self.turned_away).clone()
    }

    /// Answers a hello: with the session that its frames belong to, or why there is none.
    pub(super) fn meet(&self, hello: &Hello) -> Result<(Arc<Session>, FromReceiver), Refusal> {
        self.judge(hello).inspect_err(|refusal| self.note(&hello.sender, *refusal))
    }

    fn note(&self, sender: &Identity, refusal: Refusal) {
        let Identity { topology, worker, epoch, .. } = sender;
        // A stranger may say anything of itself: none of it gets into names.
        let ours = *topology == self.me.topology;
        let who = if ours { format!("worker {worker}") } else { "a stranger".to_owned() };
        let epoch = format!("{}.{}", epoch.revision, epoch.restarts);
        lock(&self.turned_away).note(&who, &epoch, refusal.name());
    }

    fn judge(&self, hello: &Hello) -> Result<(Arc<Session>, FromReceiver), Refusal> {
        admit(&self.me, hello)?;
        let worker = hello.sender.worker;
        let peer = self.peer_or_insert(worker, hello.sender.epoch, PEERS_MAX);
        let peer = peer.ok_or(Refusal::Foreign)?;
        let mut order = lock(&peer.order);
        let before = peer.succeed(&mut order, hello.sender.epoch);
        self.note_retired(worker, before);
        if order.known.meet(hello)? {
            // It gave up what was under way, and counts its credits from zero.
            lock(&peer.grants).reset();
        }
        let next = order.known.link.next();
        let session = Arc::new(Session::new(Arc::clone(&peer), next));
        order.session = Some(Arc::clone(&session));
        let mut grants = lock(&peer.grants);
        if let Some(before) = grants.session.replace(Arc::clone(&session)) {
            before.news.notify_one();
        }
        let welcome = wire::welcome(next, grants.windows.announce_all());
        drop((grants, order));
        Ok((session, welcome))
    }

    /// Takes in a frame of a session, and tells whether the session goes on.
    pub(super) fn take(&self, session: &Arc<Session>, frame: &Frame) -> bool {
        let peer = &session.peer;
        let mut order = lock(&peer.order);
        if !is(&order.session, session) {
            return false;
        }
        let due = frame.sequence == order.known.link.next();
        let items = if due { items(&frame.payload) } else { Ok(Vec::new()) };
        let items = match items {
            Ok(items) => items,
            Err(problem) => {
                error!(peer = peer.worker, %problem, "frame cannot be read");
                peer.end(&mut order, Some(Refusal::CannotResume));
                return false;
            }
        };
        match order.known.link.accept(frame.sequence) {
            Arrival::Fresh => {
                lock(&peer.grants).received(&items);
                self.receiver.frame(peer.worker, items);
            }
            Arrival::Duplicate => {}
            Arrival::Gap => {
                error!(peer = peer.worker, sequence = frame.sequence, "frames are missing");
                peer.end(&mut order, None);
                return false;
            }
        }
        session.next.store(order.known.link.next(), Ordering::Relaxed);
        let unsaid = session.unsaid.fetch_add(frame.payload.len(), Ordering::Relaxed);
        if unsaid + frame.payload.len() >= UNSAID_MAX {
            session.news.notify_one();
        } else if unsaid == 0 {
            session.later.notify_one();
        }
        true
    }

    fn peer(&self, worker: u32) -> Option<Arc<Peer>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(&worker).map(Arc::clone)
    }

    /// Returns what is known of a worker; none if it is new and there are `max` already.
    fn peer_or_insert(&self, worker: u32, epoch: Epoch, max: usize) -> Option<Arc<Peer>> {
        if let Some(peer) = self.peer(worker) {
            return Some(peer);
        }
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= max && !peers.contains_key(&worker) {
            return None;
        }
        let new = || Arc::new(Peer::new(worker, epoch, Arc::clone(&self.windows)));
        let peer = peers.entry(worker).or_insert_with(new);
        Some(Arc::clone(peer))
    }
}

/// One worker that sends to us.
struct Peer {
    worker: u32,
    order: Mutex<Order>,
    grants: Mutex<Grants>,
}

struct Order {
    known: Known,
    /// The stream whose frames count.
    session: Option<Arc<Session>>,
}

struct Grants {
    windows: Windows,
    /// How many windows all peers have open.
    open: Arc<AtomicU64>,
    /// As in `Order`.
    session: Option<Arc<Session>>,
}

impl Grants {
    /// Starts all windows over.
    fn reset(&mut self) {
        self.open.fetch_sub(self.windows.len() as u64, Ordering::Relaxed);
        self.windows.reset();
    }

    fn received(&mut self, items: &[super::Item]) {
        let before = self.windows.len();
        for item in items {
            if let super::Item::Batch { head, rows, .. } = item {
                let bytes = rows.len() as u64;
                self.windows.received(head.target_task, u64::from(head.count), bytes);
            }
        }
        self.open.fetch_add((self.windows.len() - before) as u64, Ordering::Relaxed);
    }
}

impl Peer {
    fn new(worker: u32, epoch: Epoch, open: Arc<AtomicU64>) -> Self {
        let order = Order { known: Known::new(epoch), session: None };
        let grants = Grants { windows: Windows::default(), open, session: None };
        Self { worker, order: Mutex::new(order), grants: Mutex::new(grants) }
    }

    fn learn(&self, epoch: Epoch) -> Option<Epoch> {
        self.succeed(&mut lock(&self.order), epoch)
    }

    /// Forgets what belonged to the incarnation before, if this one is newer. Returns that one if
    /// its stream was open and is ended for it.
    fn succeed(&self, order: &mut Order, epoch: Epoch) -> Option<Epoch> {
        let before = order.known.epoch;
        if !order.known.learn(epoch) {
            return None;
        }
        info!(peer = self.worker, ?epoch, "new incarnation of a worker");
        let ended = order.session.is_some().then_some(before);
        self.end(order, Some(Refusal::Retired));
        lock(&self.grants).reset();
        ended
    }

    fn end(&self, order: &mut Order, refusal: Option<Refusal>) {
        if let Some(session) = order.session.take() {
            *lock(&session.refusal) = refusal;
            lock(&self.grants).session = None;
            session.news.notify_one();
        }
    }
}

/// One stream of one peer, from its welcome until another takes its place.
pub(super) struct Session {
    peer: Arc<Peer>,
    /// Wakes the answering side: there is much to acknowledge, or there are credits to grant.
    pub(super) news: Notify,
    /// Tells the answering side that there is a frame to acknowledge, by and by.
    pub(super) later: Notify,
    /// Bytes of the frames that the sender was not told of.
    unsaid: AtomicUsize,
    /// Every frame below this is here.
    next: AtomicU64,
    /// As far as the sender was told.
    said: AtomicU64,
    /// Last words to the sender.
    refusal: Mutex<Option<Refusal>>,
}

/// What a session has to say.
pub(super) enum News {
    Progress(FromReceiver),
    Nothing,
    /// The session is over, for this reason if there is one.
    Over(Option<Refusal>),
}

impl Session {
    fn new(peer: Arc<Peer>, next: u64) -> Self {
        Self {
            peer,
            news: Notify::new(),
            later: Notify::new(),
            unsaid: AtomicUsize::new(0),
            next: AtomicU64::new(next),
            said: AtomicU64::new(next),
            refusal: Mutex::default(),
        }
    }

    /// Gathers all there is to say into one message.
    pub(super) fn news(self: &Arc<Self>) -> News {
        let mut grants = lock(&self.peer.grants);
        if !is(&grants.session, self) {
            return News::Over(lock(&self.refusal).take());
        }
        self.unsaid.store(0, Ordering::Relaxed);
        let next = self.next.load(Ordering::Relaxed);
        let said = self.said.swap(next, Ordering::Relaxed);
        if next == said && !grants.windows.is_due() {
            return News::Nothing;
        }
        News::Progress(wire::progress(next, grants.windows.announce_due()))
    }

    /// Ends the session because its stream did.
    pub(super) fn leave(self: &Arc<Self>) {
        let mut order = lock(&self.peer.order);
        if is(&order.session, self) {
            self.peer.end(&mut order, None);
        }
    }
}

fn is(held: &Option<Arc<Session>>, session: &Arc<Session>) -> bool {
    held.as_ref().is_some_and(|held| Arc::ptr_eq(held, session))
}
