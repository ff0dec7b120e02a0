//! Calls into components: which one a loop is in, and how many to make at once.
//!
//! A component that never comes back stops its loop, and with it everything that could say so. So
//! each loop notes the call it is in, and another thread looks for one that takes too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use topology_api::runtime::Watch;

use crate::executor::outbox::BATCH_TUPLES;
use crate::executor::task_state::guarded;

/// How long a group of calls should take at most: other executors of the loop wait for its end.
pub const GROUP: Duration = Duration::from_millis(5);

/// The call that a loop is in.
#[derive(Debug)]
pub struct CallWatch {
    epoch: Instant,
    /// The task that is called, plus one; 0 while there is no call.
    task: AtomicU32,
    /// When the call began, in nanoseconds since the epoch.
    since: AtomicU64,
    /// The call that was told of last, by when it began.
    told: AtomicU64,
}

impl CallWatch {
    /// Watches a loop; `epoch` is some time before its first call.
    #[must_use]
    pub fn new(epoch: Instant) -> Arc<Self> {
        let none = AtomicU64::new(u64::MAX);
        Arc::new(Self { epoch, task: AtomicU32::new(0), since: AtomicU64::new(0), told: none })
    }

    /// Calls a component so that a panic of its stays its own, and is seen while it lasts.
    ///
    /// # Errors
    ///
    /// The text of the panic.
    pub fn call<R>(
        &self,
        (task, now): (u32, Instant),
        call: impl FnOnce() -> R,
    ) -> Result<R, String> {
        self.begin(task, now);
        let result = guarded(call);
        self.task.store(0, Ordering::Release);
        result
    }

    fn begin(&self, task: u32, now: Instant) {
        self.since.store(self.nanoseconds(now), Ordering::Relaxed);
        self.task.store(task + 1, Ordering::Release);
    }

    /// The task that has been in one call for longer than `limit`, with how long, once a call.
    pub fn stuck(&self, now: Instant, limit: Duration) -> Option<(u32, Duration)> {
        let task = self.task.load(Ordering::Acquire).checked_sub(1)?;
        let since = self.since.load(Ordering::Relaxed);
        let took = Duration::from_nanos(self.nanoseconds(now).saturating_sub(since));
        let is_new = took >= limit && self.told.swap(since, Ordering::Relaxed) != since;
        is_new.then_some((task, took))
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The calls that a component's own thread makes.
#[derive(Debug)]
pub struct ThreadWatch {
    /// What looks for stuck ones.
    pub calls: Arc<CallWatch>,
    /// What tells the time.
    pub clock: daemon::Clock,
}

impl Watch for ThreadWatch {
    fn begin(&self, task: u32) {
        self.calls.begin(task, self.clock.now());
    }

    fn end(&self) -> Duration {
        let since = self.calls.since.load(Ordering::Relaxed);
        self.calls.task.store(0, Ordering::Release);
        let now = self.calls.nanoseconds(self.clock.now());
        Duration::from_nanos(now.saturating_sub(since))
    }
}

/// How many calls a task is given at once: as many as fit [`GROUP`], found by trying.
#[derive(Clone, Copy, Debug)]
pub struct Pace(usize);

impl Default for Pace {
    fn default() -> Self {
        Self(1)
    }
}

impl Pace {
    /// How many to make.
    #[must_use]
    pub fn calls(self) -> usize {
        self.0
    }

    /// Tells whether whole batches fit.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.0 == BATCH_TUPLES
    }

    /// Learns that so many calls took so long.
    pub fn learn(&mut self, calls: usize, took: Duration) {
        if took > GROUP {
            let fit = GROUP.as_nanos() * calls as u128 / took.as_nanos();
            self.0 = usize::try_from(fit).unwrap_or(BATCH_TUPLES).clamp(1, BATCH_TUPLES);
        } else if took.as_nanos() * 2 * self.0 as u128 <= GROUP.as_nanos() * calls as u128 {
            // Twice as many would fit, also if fewer than it may make were there to be made.
            self.0 = (self.0 * 2).min(BATCH_TUPLES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_call_is_told_of_once_and_a_short_one_never() {
        let begun = daemon::Clock::system().now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let watch = CallWatch::new(begun);
        let limit = Duration::from_secs(30);
        let stuck = |seconds| watch.stuck(after(seconds), limit);
        assert_eq!(stuck(40), None, "nobody is called");
        let ends = watch.call((7, after(1)), || [stuck(30), stuck(31), stuck(50)]).unwrap();
        assert_eq!(ends, [None, Some((7, limit)), None], "at the limit, and not again");
        assert_eq!(stuck(90), None, "the call is over");
        let next = watch.call((7, after(100)), || stuck(131)).unwrap();
        assert_eq!(next, Some((7, Duration::from_secs(31))), "the next call is another");
    }

    #[test]
    fn fast_calls_are_made_a_batch_at_a_time_and_slow_ones_one_by_one() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace.learn(pace.calls(), Duration::from_micros(10));
        }
        assert!(pace.is_full(), "a batch fits: {pace:?}");
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace.learn(pace.calls().min(16), Duration::from_micros(1));
        }
        assert!(pace.is_full(), "so it does if batches are always small: {pace:?}");
        pace.learn(BATCH_TUPLES, GROUP * 4);
        assert_eq!(pace.calls(), BATCH_TUPLES / 4, "a quarter fits");
        pace.learn(pace.calls(), Duration::from_secs(30));
        assert_eq!(pace.calls(), 1, "a slow one is called alone");
    }
}
