//! Records that failed: when each is read again, and how often it failed.
//!
//! Pure: the time and chance are passed in. Only what failed and was not acked since is in memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Instant;

use super::spout::RecordId;
use crate::Retry;

/// What becomes of a record that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is read again later.
    Again,
    /// With this it failed too often by its own fault.
    Died,
}

/// Records that failed.
#[derive(Debug)]
pub(super) struct Failed {
    retry: Retry,
    due: BinaryHeap<Reverse<(Instant, RecordId)>>,
    /// How often those that are open or wait have failed: at all, and by their own fault.
    times: BTreeMap<RecordId, (u32, u32)>,
}

impl Failed {
    pub(super) fn new(retry: Retry) -> Self {
        Self { retry, due: BinaryHeap::new(), times: BTreeMap::new() }
    }

    /// A record failed. `random` is uniform in `0.0..=1.0`.
    pub(super) fn failed(
        &mut self,
        id: RecordId,
        own_fault: bool,
        now: Instant,
        random: f64,
    ) -> Fate {
        let (all, own) = self.times.entry(id).or_default();
        *all = all.saturating_add(1);
        *own = own.saturating_add(u32::from(own_fault));
        let is_over = own_fault && self.retry.attempts == Some(*own);
        let endless = Retry { attempts: None, ..self.retry.clone() };
        let wait = endless.wait(*all, random).unwrap_or_default();
        self.due.push(Reverse((now + wait, id)));
        if is_over { Fate::Died } else { Fate::Again }
    }

    /// A record cannot be read again yet.
    pub(super) fn later(&mut self, id: RecordId, due: Instant) {
        self.due.push(Reverse((due, id)));
    }

    /// The next record whose time has come, and how often it failed by its own fault.
    pub(super) fn due(&mut self, now: Instant) -> Option<(RecordId, u32)> {
        self.due.peek().filter(|Reverse((due, _))| *due <= now)?;
        let Reverse((_, id)) = self.due.pop()?;
        Some((id, self.times.get(&id).map_or(0, |(_, own)| *own)))
    }

    /// Whether a record that failed so often by its own fault is dead.
    pub(super) fn is_dead(&self, own: u32) -> bool {
        self.retry.attempts.is_some_and(|attempts| own >= attempts)
    }

    /// A record was acked or given up.
    #[inline]
    pub(super) fn settled(&mut self, id: RecordId) {
        if !self.times.is_empty() {
            self.times.remove(&id);
        }
    }

    /// Whether any record waits.
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests count from some instant")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_record_is_read_again_after_pauses_until_its_own_failures_are_too_many() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut failed = Failed::new(Retry::new(second, 8 * second).attempts(2));
        let id = RecordId::at(0, 0, 10);
        assert_eq!(failed.failed(id, false, now, 1.0), Fate::Again, "a worker died");
        assert_eq!(failed.due(now), None, "not yet");
        assert_eq!(failed.due(now + second), Some((id, 0)));
        assert_eq!(failed.failed(id, true, now, 1.0), Fate::Again);
        assert_eq!(failed.due(now + second), None, "the pause is longer");
        assert_eq!(failed.due(now + 2 * second), Some((id, 1)));
        assert_eq!(failed.failed(id, true, now, 1.0), Fate::Died);
        assert!(failed.is_dead(2));
        failed.settled(id);
        assert_eq!(failed.failed(id, true, now, 1.0), Fate::Again, "it was forgotten");
    }
}
