//! Calls into components: which one a loop is in, and how many to make at once.
//!
//! A component that never comes back stops its loop, and with it everything that could say so. So
//! each loop notes the call it is in, and another thread looks for one that takes too long.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use topology_api::runtime::Watch;

use crate::executor::outbox::BATCH_TUPLES;
use crate::executor::task_state::guarded;
use crate::executor::threads::ThreadClock;

/// How long a group of calls should take at most: other executors of the loop wait for its end.
pub const GROUP: Duration = Duration::from_millis(5);

/// Whoever has not looked at the calls for so long stood still itself.
const LOOKS: Duration = Duration::from_secs(1);

thread_local! {
    /// The task that this thread calls, plus one.
    static CALLED: Cell<u32> = const { Cell::new(0) };
}

/// The task that this thread is in a call of.
#[must_use]
pub fn called() -> Option<u32> {
    CALLED.get().checked_sub(1)
}

/// Does something in the name of a task, as if in a call of it.
pub fn in_name_of<R>(task: u32, act: impl FnOnce() -> R) -> R {
    let before = CALLED.replace(task + 1);
    let result = act();
    CALLED.set(before);
    result
}

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
    /// What whoever looks saw last.
    seen: Mutex<Seen>,
    /// The thread that makes the calls, and the task if it makes those of one only.
    thread: OnceLock<(Option<u32>, Option<ThreadClock>)>,
}

/// What was seen of a loop's calls.
#[derive(Debug)]
struct Seen {
    /// When somebody looked.
    looked: Instant,
    /// The call, by when it began, and its progress.
    got_on: (u64, u32),
    /// When that was seen to change.
    at: Instant,
}

impl CallWatch {
    /// Watches a loop; `epoch` is some time before its first call.
    #[must_use]
    pub fn new(epoch: Instant) -> Arc<Self> {
        let seen = Mutex::new(Seen { looked: epoch, got_on: (u64::MAX, 0), at: epoch });
        let (since, told) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        let (task, thread) = (AtomicU32::new(0), OnceLock::new());
        Arc::new(Self { epoch, task, since, told, seen, thread })
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
        self.end();
        result
    }

    /// The task that is called now.
    #[must_use]
    pub fn task(&self) -> Option<u32> {
        self.task.load(Ordering::Acquire).checked_sub(1)
    }

    /// Notes that this thread makes the calls: all of them are of `task`, if one is given.
    pub fn note_thread(&self, task: Option<u32>) {
        self.thread.get_or_init(|| (task, ThreadClock::own()));
    }

    /// The thread that makes the calls, and the task if it makes those of one only.
    #[must_use]
    pub fn thread(&self) -> Option<(Option<u32>, ThreadClock)> {
        let (task, thread) = self.thread.get()?;
        Some((*task, (*thread)?))
    }

    fn begin(&self, task: u32, now: Instant) {
        self.since.store(self.nanoseconds(now), Ordering::Relaxed);
        self.task.store(task + 1, Ordering::Release);
        CALLED.set(task + 1);
    }

    fn end(&self) {
        self.task.store(0, Ordering::Release);
        CALLED.set(0);
    }

    /// Looks at the call that the loop is in: its task, and for how long nothing of it has got on.
    /// `progress` tells a number of a task that changes with each of the author's calls, of which
    /// several may be made in one. To be asked at least once a second: whoever stood still for longer
    /// cannot know what happened meanwhile, and starts to count anew.
    pub fn stalled(&self, now: Instant, progress: impl Fn(u32) -> u32) -> Option<(u32, Duration)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let blind = now.saturating_duration_since(seen.looked) > LOOKS;
        seen.looked = now;
        let task = self.task()?;
        let since = self.since.load(Ordering::Relaxed);
        let got_on = (since, progress(task));
        if got_on != seen.got_on || blind {
            let begun = self.epoch + Duration::from_nanos(since);
            let is_new = since != seen.got_on.0 && !blind;
            seen.at = if is_new { begun } else { now };
            seen.got_on = got_on;
        }
        Some((task, now.saturating_duration_since(seen.at)))
    }

    /// The task that got on with nothing for longer than `limit`, with how long, once a call.
    pub fn stuck(
        &self,
        now: Instant,
        limit: Duration,
        progress: impl Fn(u32) -> u32,
    ) -> Option<(u32, Duration)> {
        let (task, took) = self.stalled(now, progress)?;
        let since = self.since.load(Ordering::Relaxed);
        let is_new = took >= limit && self.told.swap(since, Ordering::Relaxed) != since;
        is_new.then_some((task, took))
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The watches of a worker: of its loops, and of the threads that components have of their own.
#[derive(Debug, Default)]
pub struct Watches {
    watches: Vec<Arc<CallWatch>>,
    /// What changes with each call of a task, where several are made at once.
    progress: BTreeMap<u32, Arc<AtomicU32>>,
}

impl Watches {
    /// Makes a watch. Those of threads that have ended go.
    pub fn watch(&mut self, epoch: Instant) -> Arc<CallWatch> {
        let watch = CallWatch::new(epoch);
        self.watches.retain(|watch| Arc::strong_count(watch) > 1);
        self.watches.push(Arc::clone(&watch));
        watch
    }

    /// Notes what changes with each call of a task, in place of what it was for an executor that had
    /// the task before.
    pub fn watch_progress(&mut self, task: u32, progress: Option<Arc<AtomicU32>>) {
        match progress {
            Some(progress) => drop(self.progress.insert(task, progress)),
            None => drop(self.progress.remove(&task)),
        }
    }

    /// The tasks that are newly found stuck for longer than `limit`, with how long.
    pub fn stuck(&self, now: Instant, limit: Duration) -> Vec<(u32, Duration)> {
        let stuck = |it: &Arc<CallWatch>| it.stuck(now, limit, |task| self.progress_of(task));
        self.watches.iter().filter_map(stuck).collect()
    }

    /// The task whose call has got on with nothing for the longest time, and for how long.
    pub fn stalled(&self, now: Instant) -> Option<(u32, Duration)> {
        let stalled = |it: &Arc<CallWatch>| it.stalled(now, |task| self.progress_of(task));
        self.watches.iter().filter_map(stalled).max_by_key(|(_, took)| *took)
    }

    /// The threads that tasks have of their own.
    pub fn threads(&self) -> Vec<(u32, ThreadClock)> {
        let own =
            |it: &Arc<CallWatch>| it.thread().and_then(|(task, thread)| Some((task?, thread)));
        self.watches.iter().filter_map(own).collect()
    }

    fn progress_of(&self, task: u32) -> u32 {
        self.progress.get(&task).map_or(0, |progress| progress.load(Ordering::Relaxed))
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
        self.calls.note_thread(Some(task));
        self.calls.begin(task, self.clock.now());
    }

    fn end(&self) -> Duration {
        let since = self.calls.since.load(Ordering::Relaxed);
        self.calls.end();
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

    /// Looks at a watch each half second, and tells in which halves it was stuck for a limit of 3 s.
    fn looks(
        watch: &CallWatch,
        halves: std::ops::Range<u64>,
        progress: impl Fn(u64) -> u32,
    ) -> Vec<u64> {
        let at = |half: u64| watch.epoch + Duration::from_millis(half * 500);
        let stuck = |half: &u64| {
            watch.stuck(at(*half), Duration::from_secs(3), |_| progress(*half)).is_some()
        };
        halves.filter(stuck).collect()
    }

    #[test]
    fn a_long_call_is_told_of_once_and_a_short_one_never() {
        let watch = CallWatch::new(daemon::Clock::system().now());
        let at = |half: u64| watch.epoch + Duration::from_millis(half * 500);
        assert_eq!(looks(&watch, 0..20, |_| 0), [0_u64; 0], "nobody is called");
        let told = watch.call((7, at(19)), || looks(&watch, 20..60, |_| 0)).unwrap();
        assert_eq!(told, [25], "3 s after it began, and not again");
        assert_eq!(looks(&watch, 60..80, |_| 0), [0_u64; 0], "the call is over");
        let told = watch.call((7, at(80)), || looks(&watch, 80..100, |_| 0)).unwrap();
        assert_eq!(told, [86], "the next call is another");
    }

    #[test]
    fn many_calls_in_one_are_not_stuck_while_they_get_on() {
        let watch = CallWatch::new(daemon::Clock::system().now());
        let slow = |half: u64| u32::try_from(half.min(40) / 4).unwrap();
        let told = watch.call((7, watch.epoch), || looks(&watch, 0..60, slow)).unwrap();
        assert_eq!(told, [46], "each takes 2 s; the one that began in the 40th half never ends");
    }

    #[test]
    fn who_stood_still_blames_no_call() {
        let watch = CallWatch::new(daemon::Clock::system().now());
        let told = watch.call((7, watch.epoch), || {
            let before = looks(&watch, 0..3, |_| 0);
            (before, looks(&watch, 1_000..1_010, |_| 0))
        });
        assert_eq!(told.unwrap(), (vec![], vec![1_006]), "counted from when it looked again");
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
