//! Refused connections: counted all, logged at most once a second, so that strangers cannot fill
//! the disk.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use super::words::Reason;
use crate::Clock;

/// The time between two lines in the log.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// What was refused so far.
#[derive(Debug)]
pub(super) struct Refusals {
    counts: [AtomicU64; Reason::ALL.len()],
    told: Mutex<Told>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Told {
    last: Option<String>,
    at: Option<Instant>,
    /// How many were not logged since.
    silent: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { counts: Default::default(), told: Mutex::default(), clock: Clock::system() }
    }
}

impl Refusals {
    /// Counts a refusal, and logs it unless one was just logged.
    pub(super) fn note(&self, peer: &dyn Display, reason: Reason, problem: &str) {
        self.counts[reason as usize].fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.last = Some(problem.to_owned());
        if told.at.is_some_and(|at| now.saturating_duration_since(at) < LINE_EVERY) {
            told.silent += 1;
            return;
        }
        let silent = std::mem::take(&mut told.silent);
        told.at = Some(now);
        drop(told);
        warn!(%peer, reason = reason.name(), problem, not_logged = silent, "connection refused");
    }

    /// How many there were, by reason.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        let count = |reason: Reason| self.counts[reason as usize].load(Ordering::Relaxed);
        let counts =
            Reason::ALL.into_iter().map(|reason| (reason.name().to_owned(), count(reason)));
        counts.filter(|(_, count)| *count != 0).collect()
    }

    /// What was wrong with the last one, once.
    pub(super) fn take(&self) -> Option<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).last.take()
    }
}
