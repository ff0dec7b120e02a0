//! Following the store and keeping a lease: stand-ins for `coordination::Mirror` and
//! `coordination::Session`, which wait where these set alarms.

use std::time::Duration;

use coordination::{Error, LeaseId, MirrorEvent, Revision};
use daemon::Backoff;

use super::env::{Env, Life};
use super::events::{Answered, Ask, Event, Got, Timer, Why};
use super::sabotage::Sabotage;
use super::store::Shown;

/// Sets an alarm.
pub(super) fn alarm(env: &mut Env, whose: Life, wait: Duration, timer: Timer) {
    let at = env.now + u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    env.schedule(at, Event::Timer(whose, timer));
}

/// A random number for a backoff.
fn jitter(env: &mut Env) -> f64 {
    env.below(0..1_000) as f64 / 1e3
}

/// Lists, watches from there, lists again when in doubt.
pub(super) struct Mirror {
    seen: Revision,
    watch: Option<usize>,
    backoff: Backoff,
}

impl Mirror {
    pub(super) fn new() -> Self {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        Self { seen: 0, watch: None, backoff }
    }

    pub(super) fn begin(whose: Life, env: &mut Env) {
        env.ask(whose, Why::List, Ask::List);
    }

    /// Takes the answer to a list or a watch.
    pub(super) fn answered(
        &mut self,
        why: Why,
        answered: Answered,
        whose: Life,
        env: &mut Env,
    ) -> Option<MirrorEvent> {
        match (why, answered) {
            (Why::List, Ok(Got::Listing(listing))) => {
                assert!(listing.revision >= self.seen, "the store went back");
                self.seen = listing.revision;
                let from = listing.revision + 1;
                env.ask(whose, Why::Watch(Some(listing)), Ask::Watch(from));
                None
            }
            (Why::Watch(listing), Ok(Got::Watch(watch))) => {
                self.watch = Some(watch);
                self.backoff.reset();
                env.etcd.open(watch);
                env.touch();
                listing.map(MirrorEvent::Snapshot)
            }
            (_, Err(error)) => self.failed(&error, whose, env),
            (why, Ok(got)) => unreachable!("{why:?} is not answered by {got:?}"),
        }
    }

    /// Takes what a watch shows.
    pub(super) fn shown(
        &mut self,
        watch: usize,
        shown: Shown,
        whose: Life,
        env: &mut Env,
    ) -> Option<MirrorEvent> {
        if self.watch != Some(watch) {
            return None;
        }
        match shown {
            Ok(changes) => {
                let last = changes.last().map_or(0, coordination::Change::revision);
                self.seen = self.seen.max(last);
                Some(MirrorEvent::Changes(changes))
            }
            Err(error) => {
                self.watch = None;
                if matches!(error, Error::Compacted(_)) {
                    env.count("compacted");
                    if env.does_wrong(Sabotage::MissCompaction) {
                        env.ask(whose, Why::Watch(None), Ask::Watch(0));
                        return None;
                    }
                }
                self.failed(&error, whose, env)
            }
        }
    }

    fn failed(&mut self, error: &Error, whose: Life, env: &mut Env) -> Option<MirrorEvent> {
        self.watch = None;
        let wait = self.backoff.next(jitter(env));
        alarm(env, whose, wait, Timer::Mirror);
        let silent = !matches!(error, Error::Compacted(_));
        silent.then(|| MirrorEvent::Unavailable(error.to_string()))
    }
}

/// A lease kept alive, and replaced when it was lost.
pub(super) struct Session {
    ttl: Duration,
    pub(super) lease: Option<LeaseId>,
    backoff: Backoff,
}

impl Session {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, lease: None, backoff: Backoff::new(ttl / 24, ttl / 3) }
    }

    /// Keeps the lease alive, or gets one.
    pub(super) fn beat(&self, whose: Life, env: &mut Env) {
        match self.lease {
            Some(lease) => env.ask(whose, Why::KeepAlive, Ask::KeepAlive(lease)),
            None => env.ask(whose, Why::Grant, Ask::Grant(self.ttl)),
        }
    }

    /// Takes the answer; true if there is a new lease.
    pub(super) fn answered(&mut self, answered: Answered, whose: Life, env: &mut Env) -> bool {
        match answered {
            Ok(got) => {
                self.backoff.reset();
                alarm(env, whose, self.ttl / 3, Timer::Session);
                if let Got::Lease(lease) = got {
                    self.lease = Some(lease);
                    return true;
                }
            }
            Err(Error::LeaseLost(_)) => {
                env.count("leases lost");
                self.lease = None;
                self.beat(whose, env);
            }
            Err(_) => {
                let wait = self.backoff.next(jitter(env));
                alarm(env, whose, wait, Timer::Session);
            }
        }
        false
    }
}
