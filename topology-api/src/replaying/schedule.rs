//! What waits to be replayed, by when its turn comes.
//!
//! Pauses double from failure to failure and are then shortened by chance to between half of it and
//! all ("equal jitter": M. Brooker, "Exponential Backoff and Jitter", 2015), so that what failed
//! together does not come back together. Pure: the time is passed in, and chance is a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// How failed tuples are replayed: how often, and after which pauses.
///
/// ```
/// use std::time::Duration;
/// use topology_api::Replays;
///
/// let replays = Replays::default().attempts(3).pauses(Duration::ZERO, Duration::ZERO);
/// assert_ne!(replays, Replays::default(), "at most 10 attempts, pauses of 0.1 to 30 s");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replays {
    attempts: u32,
    first: Duration,
    longest: Duration,
}

impl Default for Replays {
    fn default() -> Self {
        Self { attempts: 10, first: Duration::from_millis(100), longest: Duration::from_secs(30) }
    }
}

impl Replays {
    /// Sets how often a tuple may fail by its own fault: with the last of these failures it becomes
    /// a dead letter. With `u32::MAX` it never does. At least 1.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts: attempts.max(1), ..self }
    }

    /// Sets the pause after a first failure, and the longest one; in between they double.
    #[must_use]
    pub fn pauses(self, first: Duration, longest: Duration) -> Self {
        Self { first, longest: longest.max(first), ..self }
    }

    pub(super) fn is_over(&self, own_failures: u32) -> bool {
        own_failures >= self.attempts && self.attempts != u32::MAX
    }

    /// The pause after this many failures, before chance.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

/// Something that waits, in the order of due times, then of arrival.
#[derive(Debug)]
struct Waiting<K> {
    due: Instant,
    number: u64,
    kept: K,
}

impl<K> Ord for Waiting<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl<K> PartialOrd for Waiting<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Waiting<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K> Eq for Waiting<K> {}

/// What waits to be replayed.
#[derive(Debug)]
pub(super) struct Schedule<K> {
    replays: Replays,
    waiting: BinaryHeap<Reverse<Waiting<K>>>,
    /// How many were put in: the order of arrival.
    number: u64,
    chance: u64,
}

impl<K> Schedule<K> {
    pub(super) fn new(replays: Replays, seed: u64) -> Self {
        Self { replays, waiting: BinaryHeap::new(), number: 0, chance: seed }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Lets it wait for the pause that follows this many failures; none after no failure.
    pub(super) fn push(&mut self, kept: K, failures: u32, now: Instant) {
        let pause = if failures == 0 { Duration::ZERO } else { self.replays.pause(failures) };
        let half = pause / 2;
        let by_chance = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        let due = now + half + Duration::from_nanos(self.chance() % by_chance);
        self.number += 1;
        self.waiting.push(Reverse(Waiting { due, number: self.number, kept }));
    }

    /// Takes the one that is due first, if it is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<K> {
        self.waiting.peek().filter(|Reverse(first)| first.due <= now)?;
        self.waiting.pop().map(|Reverse(first)| first.kept)
    }

    /// `SplitMix64` (G. Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014).
    fn chance(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests count from some instant")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_to_the_longest_and_vary_by_half() {
        let replays = Replays::default().pauses(SECOND, 10 * SECOND);
        let now = Instant::now();
        for (failures, longest) in [(1, 1), (2, 2), (4, 8), (5, 10), (40, 10), (u32::MAX, 10)] {
            let mut schedule = Schedule::new(replays, 7);
            (0..200).for_each(|kept| schedule.push(kept, failures, now));
            let longest = longest * SECOND;
            assert_eq!(schedule.due(now + longest / 2 - SECOND / 1_000), None, "half at least");
            assert!(schedule.due(now + longest * 6 / 10).is_some(), "some come early");
            let due = std::iter::from_fn(|| schedule.due(now + longest)).count();
            assert_eq!(due, 199, "none waits longer than {longest:?}");
            assert!(schedule.is_empty());
        }
    }

    #[test]
    fn without_a_pause_the_order_is_that_of_arrival() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Replays::default(), 7);
        (0..100).for_each(|kept| schedule.push(kept, 0, now));
        let due: Vec<u32> = std::iter::from_fn(|| schedule.due(now)).collect();
        assert!(due.into_iter().eq(0..100));
    }
}
