//! How much of their calls executors spend waiting (for input or output, in a sleep, for a lock) and not
//! computing.
//!
//! The system tells how long a thread ran or waited for a core. What the calls of a loop took beyond
//! that they waited: each executor has its part of it, by how long it was called. So two executors of
//! one loop are told apart only over time; who reads it asks whether most of the time is meant. A
//! loop that looks for work runs too, so it is rather less than it was.

use std::collections::BTreeMap;

/// What an executor did with its time, totals in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Its index within the topology.
    pub executor: u16,
    /// Its loop.
    pub at_loop: usize,
    /// It was called by its loop.
    pub executing: u64,
    /// It had as many calls under way as may be, elsewhere.
    pub calling: u64,
}

/// For how long threads ran or waited for a core, totals in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// The loops.
    pub loops: BTreeMap<usize, u64>,
    /// The threads that executors have of their own.
    pub own: BTreeMap<u16, u64>,
}

/// How long executors waited in calls.
///
/// ```
/// use worker::engine::waits::{Busy, Ran, Waits};
///
/// let mut waits = Waits::default();
/// let called = |executing| [Busy { executor: 7, executing, ..Busy::default() }];
/// let ran = |time| Ran { loops: [(0, time)].into(), ..Ran::default() };
/// waits.look(&called(1_000), ran(500));
/// waits.look(&called(2_000), ran(700));
/// assert_eq!(waits.of(7), 800, "it was called for 1000 ns, and computed in 200 of them");
/// ```
#[derive(Debug, Default)]
pub struct Waits {
    before: Ran,
    executors: BTreeMap<u16, (Busy, u64)>,
}

impl Waits {
    /// Takes in what executors did until now, and how long threads ran.
    pub fn look(&mut self, busy: &[Busy], ran: Ran) {
        let mut called: BTreeMap<usize, u64> = BTreeMap::new();
        for it in busy {
            *called.entry(it.at_loop).or_default() += self.since(it).0;
        }
        let mut executors = BTreeMap::new();
        for it in busy {
            let (executing, calling) = self.since(it);
            let in_calls = called.get(&it.at_loop).copied().unwrap_or(0);
            let waited = self.waited(it.at_loop, in_calls, &ran);
            let part = u128::from(waited) * u128::from(executing) / u128::from(in_calls.max(1));
            let part = u64::try_from(part).unwrap_or(u64::MAX);
            let ran_now = ran.own.get(&it.executor).copied().unwrap_or(0);
            let ran_before = self.before.own.get(&it.executor).copied().unwrap_or(0);
            let elsewhere = calling.saturating_sub(ran_now.saturating_sub(ran_before));
            executors.insert(it.executor, (*it, self.of(it.executor) + part + elsewhere));
        }
        (self.executors, self.before) = (executors, ran);
    }

    /// For how long an executor waited so far, in nanoseconds.
    #[must_use]
    pub fn of(&self, executor: u16) -> u64 {
        self.executors.get(&executor).map_or(0, |(_, waited)| *waited)
    }

    /// How long an executor was called, here and elsewhere; nothing is known of the time before it
    /// was first looked at.
    fn since(&self, now: &Busy) -> (u64, u64) {
        let before = self.executors.get(&now.executor).map_or(*now, |(before, _)| *before);
        let executing = now.executing.saturating_sub(before.executing);
        (executing, now.calling.saturating_sub(before.calling))
    }

    /// How long a loop waited in calls; nothing, if the system does not tell how long it ran.
    fn waited(&self, at_loop: usize, in_calls: u64, ran: &Ran) -> u64 {
        let ran = ran.loops.get(&at_loop).zip(self.before.loops.get(&at_loop));
        ran.map_or(0, |(now, before)| in_calls.saturating_sub(now.saturating_sub(*before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(executor: u16, at_loop: usize, executing: u64, calling: u64) -> Busy {
        Busy { executor, at_loop, executing, calling }
    }

    fn ran(loops: &[(usize, u64)], own: &[(u16, u64)]) -> Ran {
        Ran { loops: loops.iter().copied().collect(), own: own.iter().copied().collect() }
    }

    #[test]
    fn what_a_loop_did_not_run_in_its_calls_it_waited_and_each_executor_has_its_part() {
        let mut waits = Waits::default();
        waits.look(
            &[busy(1, 0, 50, 0), busy(2, 0, 0, 0), busy(3, 1, 0, 0)],
            ran(&[(0, 9), (1, 9)], &[]),
        );
        assert_eq!([1, 2, 3].map(|it| waits.of(it)), [0; 3], "there is nothing to compare with");
        let now = [busy(1, 0, 350, 0), busy(2, 0, 600, 0), busy(3, 1, 900, 0)];
        waits.look(&now, ran(&[(0, 99), (1, 1_009)], &[]));
        // Loop 0 was in calls for 300 + 600 and ran for 90; loop 1 ran all of the time.
        assert_eq!([1, 2, 3].map(|it| waits.of(it)), [270, 540, 0]);
    }

    #[test]
    fn calls_elsewhere_wait_but_for_what_their_own_thread_runs() {
        let mut waits = Waits::default();
        waits.look(&[busy(1, 0, 0, 0), busy(2, 0, 0, 0)], ran(&[(0, 0)], &[]));
        waits.look(&[busy(1, 0, 0, 1_000), busy(2, 0, 0, 1_000)], ran(&[(0, 5)], &[(2, 990)]));
        assert_eq!((waits.of(1), waits.of(2)), (1_000, 10), "one awaits, the other computes");
    }

    #[test]
    fn where_the_system_does_not_tell_nothing_is_said_of_a_loop() {
        let mut waits = Waits::default();
        waits.look(&[busy(1, 0, 0, 0)], Ran::default());
        waits.look(&[busy(1, 0, 1_000, 0)], Ran::default());
        assert_eq!(waits.of(1), 0);
    }

    #[test]
    fn who_leaves_is_forgotten_and_begins_at_nothing_when_it_comes_back() {
        let mut waits = Waits::default();
        waits.look(&[busy(1, 0, 0, 0)], ran(&[(0, 0)], &[]));
        waits.look(&[busy(1, 0, 500, 0)], ran(&[(0, 0)], &[]));
        waits.look(&[], ran(&[(0, 0)], &[]));
        waits.look(&[busy(1, 1, 100, 0)], ran(&[(0, 0), (1, 0)], &[]));
        assert_eq!(waits.of(1), 0);
    }
}
