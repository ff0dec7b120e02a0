//! The model of etcd: the store in memory, which the contract suite holds against a real etcd, with
//! calls and answers that travel, and troubles of its own.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use coordination::{
    Change, Error, Listing, MemoryStore, Operation, Revision, Store, Transaction, Watch,
};
use daemon::Clock;
use futures::{StreamExt, stream};

use super::env::{Env, Life, Node};
use super::events::{Answered, Ask, By, Event, Got, Why};
use super::plan::{MS, SECOND};

/// How long anybody waits for an answer.
const CALL_TIMEOUT: u64 = 5 * SECOND;

/// The store, and who waits for it.
pub(super) struct Etcd {
    store: MemoryStore,
    clock: Clock,
    pub(super) start: Instant,
    moved: u64,
    /// It has no quorum.
    away: bool,
    /// It takes no writes until then.
    pub(super) full_until: u64,
    /// It takes its time until then.
    pub(super) slow_until: u64,
    calls: BTreeMap<u64, (Life, Why)>,
    last_call: u64,
    /// The revision that watches were last told of.
    touched: Revision,
    watches: Vec<Option<Watcher>>,
}

struct Watcher {
    stream: Watch,
    whose: Life,
    /// Its owner knows of it.
    open: bool,
    /// It is on the calendar.
    due: bool,
}

/// What a watch showed.
pub(super) type Shown = Result<Vec<Change>, Error>;

impl Etcd {
    pub(super) fn new() -> Self {
        let clock = Clock::manual();
        Self {
            store: MemoryStore::new(clock.clone()),
            start: clock.now(),
            clock,
            moved: 0,
            away: false,
            full_until: 0,
            slow_until: 0,
            calls: BTreeMap::new(),
            last_call: 0,
            touched: 0,
            watches: Vec::new(),
        }
    }

    /// Moves the clock of the leases.
    pub(super) fn move_to(&mut self, now: u64) {
        if now > self.moved {
            self.clock.advance(Duration::from_nanos(now - self.moved));
            self.moved = now;
        }
    }

    pub(super) fn set_away(&mut self, away: bool) {
        self.away = away;
        self.store.set_available(!away);
    }

    pub(super) fn is_away(&self) -> bool {
        self.away
    }

    /// Forgets all changes so far.
    pub(super) fn compact(&self) {
        if let Ok(Listing { revision, .. }) = self.list("-") {
            self.store.compact(revision + 1);
        }
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Listing, Error> {
        at_once(self.store.list(prefix))
    }

    pub(super) fn watch(&self, from: Revision) -> Result<Watch, Error> {
        at_once(self.store.watch("", from))
    }

    /// Ends a lease, though its owner lives.
    pub(super) fn revoke(&self, lease: coordination::LeaseId) {
        at_once(self.store.revoke(lease)).ok();
    }

    /// Whose call this was and what for, once.
    pub(super) fn finish(&mut self, call: u64) -> Option<(Life, Why)> {
        self.calls.remove(&call)
    }

    /// The answer to a call is not taken yet.
    pub(super) fn put_back(&mut self, call: u64, whose: Life, why: Why) {
        self.calls.insert(call, (whose, why));
    }

    pub(super) fn whose(&self, watch: usize) -> Option<Life> {
        self.watches[watch].as_ref().map(|watcher| watcher.whose)
    }

    /// The owner of a watch knows of it: there may be something to show already.
    pub(super) fn open(&mut self, watch: usize) {
        self.touched = 0;
        self.watches[watch].iter_mut().for_each(|watcher| watcher.open = true);
    }

    /// Breaks a watch.
    pub(super) fn cut(&mut self, at: usize) {
        if let Some(watcher) = &mut self.watches[at] {
            let broken = Err(Error::Unavailable("the watch broke".to_owned()));
            watcher.stream = stream::iter([broken]).boxed();
        }
    }

    /// Shows what is new on a watch; `None` if there is none of this number any more.
    pub(super) fn poll(&mut self, at: usize) -> Option<(Life, Vec<Shown>)> {
        let watcher = self.watches[at].as_mut()?;
        watcher.due = false;
        let mut shown = Vec::new();
        let mut ended = false;
        while let Some(item) = poll_next(&mut watcher.stream) {
            ended |= item.is_err();
            shown.push(item);
        }
        let whose = watcher.whose;
        if ended {
            self.watches[at] = None;
        }
        Some((whose, shown))
    }

    pub(super) fn end_watch(&mut self, at: usize) {
        self.watches[at] = None;
    }

    /// Returns the watches that are open.
    pub(super) fn watches(&self) -> impl Iterator<Item = (usize, Life)> {
        let open = self.watches.iter().enumerate();
        open.filter_map(|(at, watcher)| {
            watcher.as_ref().filter(|it| it.open).map(|it| (at, it.whose))
        })
    }
}

/// The next item of a stream that has one.
pub(super) fn poll_next(stream: &mut Watch) -> Option<Shown> {
    match stream.poll_next_unpin(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(item) => item,
        Poll::Pending => None,
    }
}

/// The store in memory answers at once.
fn at_once<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("the store in memory never waits"),
    }
}

fn writes(transaction: &Transaction) -> bool {
    transaction.operations.iter().any(|operation| matches!(operation, Operation::Put { .. }))
}

impl Env {
    /// Sends a call to the store; the answer, or that there is none, comes as an event.
    pub(super) fn ask(&mut self, from: Life, why: Why, ask: Ask) {
        self.etcd.last_call += 1;
        let call = self.etcd.last_call;
        self.etcd.calls.insert(call, (from, why));
        if let Some(at) = self.travel(from.node, Node::Store) {
            self.schedule(at, Event::AtStore { call, from, ask });
        }
        let late = self.now + CALL_TIMEOUT;
        self.schedule(late, Event::NoAnswer { call });
    }

    /// The store takes a call, and answers.
    pub(super) fn at_store(&mut self, call: u64, from: Life, ask: Ask) {
        self.show(None);
        if let (Ask::Commit(transaction, By::Supervisor), false) =
            (&ask, self.etcd.calls.contains_key(&call))
        {
            let keys = transaction.operations.iter().filter_map(|operation| match operation {
                Operation::Put { key, .. } => Some(key.clone()),
                _ => None,
            });
            self.witness.given_up.extend(keys);
        }
        let answered = self.apply(from, ask);
        self.touch();
        if let Some(at) = self.travel(Node::Store, from.node) {
            self.schedule(at, Event::Answer { call, answered });
        }
    }

    fn apply(&mut self, from: Life, ask: Ask) -> Answered {
        let root = self.keys.root();
        let full = self.etcd.full_until > self.now;
        let no_space = || Error::Unavailable("mvcc: database space exceeded".to_owned());
        let store = self.etcd.store.clone();
        match ask {
            Ask::List => at_once(store.list(&root)).map(Got::Listing),
            Ask::Get(key) => at_once(store.get(&key)).map(Got::Entry),
            Ask::Commit(transaction, _) if full && writes(&transaction) => {
                self.count("out of space");
                Err(no_space())
            }
            Ask::Commit(transaction, by) => {
                let revision = at_once(store.commit(transaction))?;
                self.hash(revision);
                self.show(Some((revision, by)));
                Ok(Got::Done(revision))
            }
            Ask::Watch(from_revision) => {
                let now = at_once(store.list("-"))?.revision;
                let first = if from_revision == 0 { now + 1 } else { from_revision };
                let stream = at_once(store.watch(&root, first))?;
                self.etcd.watches.push(Some(Watcher {
                    stream,
                    whose: from,
                    open: false,
                    due: false,
                }));
                Ok(Got::Watch(self.etcd.watches.len() - 1))
            }
            Ask::Grant(_) if full => Err(no_space()),
            Ask::Grant(ttl) => at_once(store.grant(ttl)).map(Got::Lease),
            Ask::KeepAlive(lease) => at_once(store.keep_alive(lease)).map(|()| Got::Kept),
        }
    }

    /// Lets the witness see all that changed.
    pub(super) fn show(&mut self, last: Option<(Revision, By)>) {
        if !self.etcd.away {
            let now = self.now;
            self.witness.look(last, now);
        }
    }

    /// Something may have changed: every watch shows it, each in its time.
    pub(super) fn touch(&mut self) {
        let revision = self.etcd.list("-").map(|listing| listing.revision);
        if revision.as_ref().is_ok_and(|revision| *revision == self.etcd.touched) {
            return;
        }
        self.etcd.touched = revision.unwrap_or(0);
        for at in 0..self.etcd.watches.len() {
            let Some(watcher) = self.etcd.watches[at].as_mut().filter(|it| it.open && !it.due)
            else {
                continue;
            };
            watcher.due = true;
            let node = watcher.whose.node;
            let free = self.blocked_until(Node::Store, node).unwrap_or(self.now);
            let delay = self.plan.delay.max(MS);
            let delay = self.below(0..delay);
            self.schedule(free + delay, Event::Watch(at));
        }
    }
}
