//! What executors do with their time: execute, wait for their turn, for room ahead, for acks, or for
//! something to do.
//!
//! A loop reads the clock around each group of calls anyway; whoever it was at before such a reading
//! is charged with the time since the one before. Between its turns an executor stands: why is known
//! at the end of each turn, and the time is only added up when that changes. So this costs a few
//! additions a batch, and no reading of the clock but one for a spout whose tuples were executed at
//! once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::executor::calls::CallWatch;
use crate::executor::threads::ThreadClock;

/// Nobody's place: the loop itself looks for work, or sleeps.
const NOBODY: usize = usize::MAX;

/// A loop that posted nothing for so long sleeps, or is in one call: it posts ten times a second.
const SILENT: Duration = Duration::from_millis(200);

/// Why an executor does nothing between two turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stand {
    /// It has nothing to do.
    #[default]
    Idle,
    /// It has, and could: its loop is at others.
    Ready,
    /// It has as many calls under way as may be, on threads of their own or at something they wait for.
    Calling,
    /// What it emitted has no room ahead, or the worker holds too much.
    Blocked,
    /// A spout with as many open trees as may be: it waits for acks.
    Throttled,
}

/// What an executor did with its time since it was made, in nanoseconds.
///
/// ```
/// use worker::executor::effort::{Effort, Stand};
///
/// let mut effort = Effort::default();
/// effort.add(Stand::Blocked, 250);
/// effort.add(Stand::Idle, 750);
/// assert_eq!((effort.blocked, effort.total()), (250, 1_000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// It was called, and what it emitted was sent.
    pub executing: u64,
    /// It could have gone on.
    pub ready: u64,
    /// It had as many calls under way as may be.
    pub calling: u64,
    /// It had no room ahead.
    pub blocked: u64,
    /// It waited for acks.
    pub throttled: u64,
    /// It had nothing to do.
    pub idle: u64,
}

impl Effort {
    /// Adds time in which it stood.
    pub fn add(&mut self, stand: Stand, nanoseconds: u64) {
        let part = match stand {
            Stand::Idle => &mut self.idle,
            Stand::Ready => &mut self.ready,
            Stand::Calling => &mut self.calling,
            Stand::Blocked => &mut self.blocked,
            Stand::Throttled => &mut self.throttled,
        };
        *part += nanoseconds;
    }

    /// How long that is in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.executing + self.ready + self.calling + self.blocked + self.throttled + self.idle
    }
}

/// One executor of the loop.
#[derive(Clone, Copy, Debug)]
struct Seat {
    index: u16,
    effort: Effort,
    stand: Stand,
    /// Since when, and how long it had executed by then.
    since: Instant,
    executed: u64,
}

impl Seat {
    /// Adds up the time until `now`: what of it was not executing it stood.
    fn settle(&mut self, now: Instant) {
        let passed = nanoseconds(now.saturating_duration_since(self.since));
        let executed = self.effort.executing - self.executed;
        self.effort.add(self.stand, passed.saturating_sub(executed));
        (self.since, self.executed) = (now, self.effort.executing);
    }
}

/// The time of the executors of one loop, by their place there.
#[derive(Debug, Default)]
pub struct Efforts {
    seats: Vec<Option<Seat>>,
    /// Whose time passes.
    owner: Option<usize>,
}

impl Efforts {
    /// An executor takes its place.
    pub fn seat(&mut self, place: usize, index: u16, now: Instant) {
        if self.seats.len() <= place {
            self.seats.resize(place + 1, None);
        }
        let (effort, stand) = (Effort::default(), Stand::Idle);
        self.seats[place] = Some(Seat { index, effort, stand, since: now, executed: 0 });
    }

    /// An executor has left its place.
    pub fn unseat(&mut self, place: usize) {
        if let Some(seat) = self.seats.get_mut(place) {
            *seat = None;
        }
    }

    /// Time has passed for whoever's it is.
    pub fn pass(&mut self, time: Duration) {
        let owner = self.owner.unwrap_or(NOBODY);
        if let Some(Some(seat)) = self.seats.get_mut(owner) {
            seat.effort.executing += nanoseconds(time);
        }
    }

    /// Whose time passes from the last reading of the clock on; `None`: the loop's own.
    pub fn turn_to(&mut self, place: Option<usize>) {
        self.owner = place;
    }

    /// Whose time passes.
    #[must_use]
    pub fn owner(&self) -> Option<usize> {
        self.owner
    }

    /// An executor's turn is over, and why.
    pub fn stands(&mut self, place: usize, stand: Stand, now: Instant) {
        if let Some(Some(seat)) = self.seats.get_mut(place)
            && seat.stand != stand
        {
            seat.settle(now);
            seat.stand = stand;
        }
    }

    fn settled(&mut self, now: Instant) -> Vec<(u16, Effort, Stand)> {
        let settle = |seat: &mut Seat| {
            seat.settle(now);
            (seat.index, seat.effort, seat.stand)
        };
        self.seats.iter_mut().flatten().map(settle).collect()
    }
}

/// What one loop posted.
#[derive(Debug)]
struct Posted {
    at: Instant,
    seats: Vec<(u16, Effort, Stand)>,
    calls: Arc<CallWatch>,
}

/// What an executor did with its time, for the reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorEffort {
    /// Its index within the topology.
    pub executor: u16,
    /// Its loop.
    pub at_loop: usize,
    /// Its time until now.
    pub effort: Effort,
    /// In so many nanoseconds of its calls nothing was computed, as far as that is known.
    pub waiting: u64,
}

/// Where loops post what their executors do with their time.
#[derive(Debug, Default)]
pub struct EffortBoard(Mutex<BTreeMap<usize, Posted>>);

impl EffortBoard {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Posted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts the time of a loop's executors until `now`; `calls` sees the loop's calls.
    pub fn post(&self, at: usize, efforts: &mut Efforts, calls: &Arc<CallWatch>, now: Instant) {
        let posted = Posted { at: now, seats: efforts.settled(now), calls: Arc::clone(calls) };
        self.lock().insert(at, posted);
    }

    /// The threads of the loops.
    #[must_use]
    pub fn threads(&self) -> Vec<(usize, ThreadClock)> {
        let posted = self.lock();
        let threads =
            posted.iter().filter_map(|(at, posted)| Some((*at, posted.calls.thread()?.1)));
        threads.collect()
    }

    /// The time of every executor until `now`. A loop that sleeps or is in a call posts nothing: its
    /// executors stand as they stood, but for the one that is called. `executor_of` tells whose a task
    /// is.
    #[must_use]
    pub fn efforts(
        &self,
        now: Instant,
        executor_of: impl Fn(u32) -> Option<u16>,
    ) -> Vec<ExecutorEffort> {
        let mut all = Vec::new();
        for (at_loop, posted) in &*self.lock() {
            let since = now.saturating_duration_since(posted.at);
            let called = (since > SILENT).then(|| posted.calls.task()).flatten();
            let called = called.and_then(&executor_of);
            for (executor, effort, stand) in &posted.seats {
                let mut effort = *effort;
                match called == Some(*executor) {
                    true => effort.executing += nanoseconds(since),
                    false => effort.add(*stand, nanoseconds(since)),
                }
                let (executor, at_loop) = (*executor, *at_loop);
                all.push(ExecutorEffort { executor, at_loop, effort, waiting: 0 });
            }
        }
        all
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn time_goes_to_whoever_is_called_and_the_rest_to_how_the_others_stand() {
        let start = daemon::Clock::manual().now();
        let mut efforts = Efforts::default();
        efforts.seat(0, 7, start);
        efforts.seat(1, 8, start);
        efforts.turn_to(Some(0));
        efforts.pass(ms(30));
        efforts.turn_to(Some(1));
        efforts.pass(ms(50));
        efforts.turn_to(None);
        efforts.stands(0, Stand::Blocked, start + ms(80));
        efforts.pass(ms(20));
        let settled = efforts.settled(start + ms(100));
        let first =
            Effort { executing: 30 * MS, idle: 50 * MS, blocked: 20 * MS, ..Effort::default() };
        let second = Effort { executing: 50 * MS, idle: 50 * MS, ..Effort::default() };
        assert_eq!(settled, [(7, first, Stand::Blocked), (8, second, Stand::Idle)]);
        assert_eq!((first.total(), second.total()), (100 * MS, 100 * MS), "no time is lost");
    }

    #[test]
    fn who_left_has_no_time_and_whoever_comes_begins_at_none() {
        let start = daemon::Clock::manual().now();
        let mut efforts = Efforts::default();
        efforts.seat(0, 7, start);
        efforts.unseat(0);
        efforts.turn_to(Some(0));
        efforts.pass(ms(30));
        assert_eq!(efforts.settled(start + ms(30)), []);
        efforts.seat(0, 9, start + ms(40));
        let idle = Effort { idle: 10 * MS, ..Effort::default() };
        assert_eq!(efforts.settled(start + ms(50)), [(9, idle, Stand::Idle)]);
    }

    #[test]
    fn a_loop_that_sleeps_goes_on_as_it_stood_and_one_in_a_call_executes() {
        let start = daemon::Clock::manual().now();
        let (board, mut efforts) = (EffortBoard::default(), Efforts::default());
        let watch = CallWatch::new(start);
        efforts.seat(0, 7, start);
        efforts.seat(1, 8, start);
        efforts.stands(1, Stand::Throttled, start);
        board.post(0, &mut efforts, &watch, start);
        let at = |after| board.efforts(start + ms(after), |task| (task == 5).then_some(7));
        let asleep: Vec<Effort> = at(1_000).iter().map(|it| it.effort).collect();
        let (idle, throttled) = (1_000 * MS, 1_000 * MS);
        assert_eq!(asleep[0], Effort { idle, ..Effort::default() });
        assert_eq!(asleep[1], Effort { throttled, ..Effort::default() });
        let called = watch.call((5, start), || at(3_000)).unwrap();
        assert_eq!(called[0].effort.executing, 3_000 * MS, "it has not come back");
        assert_eq!(called[1].effort.throttled, 3_000 * MS);
    }
}
