//! What drives a simulated world: virtual time, what is due when, chance, and a record of it all.
//!
//! Everything that a world does is taken from one calendar, in an order that hangs on the seed
//! alone; so do all numbers that are drawn. The trace hash changes with each of these steps.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How many of the last steps are shown when a seed fails.
const TRACED: usize = 80;

/// Virtual time, what is due, and chance.
pub(super) struct Calendar<E> {
    pub(super) rng: StdRng,
    /// Virtual nanoseconds.
    pub(super) now: u64,
    /// By time, then in the order of scheduling.
    queue: BTreeMap<(u64, u64), E>,
    scheduled: u64,
    /// How often what happened, to see that all of it does.
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// Changes with everything that happens: the same seed gives the same one.
    pub(super) trace_hash: u64,
    /// The last steps, if they are to be shown.
    trace: Option<VecDeque<String>>,
}

impl<E> Calendar<E> {
    pub(super) fn new(seed: u64, traced: bool) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            now: 0,
            queue: BTreeMap::new(),
            scheduled: 0,
            counts: BTreeMap::new(),
            trace_hash: 0,
            trace: traced.then(VecDeque::new),
        }
    }

    /// Puts an event on the calendar.
    pub(super) fn schedule(&mut self, at: u64, event: E) {
        self.scheduled += 1;
        self.queue.insert((at.max(self.now), self.scheduled), event);
    }

    /// Puts an event on the calendar, some time within `range` from now.
    pub(super) fn schedule_in(&mut self, range: Range<u64>, event: E) {
        let delay = self.below(range);
        self.schedule(self.now + delay, event);
    }

    /// Moves the time to the next event, and returns it.
    pub(super) fn next_event(&mut self) -> Option<E> {
        let ((at, number), event) = self.queue.pop_first()?;
        self.now = at;
        self.hash(at ^ number << 40);
        Some(event)
    }

    /// Takes something that happened into the trace hash.
    pub(super) fn hash(&mut self, what: u64) {
        self.trace_hash = (self.trace_hash ^ what).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub(super) fn below(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() { range.start } else { self.rng.random_range(range) }
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    /// One of several, by chance.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.rng.random_range(0..from.len())]) }
    }

    /// Counts something that happened.
    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Notes a step for the reader of a failure.
    pub(super) fn note(&mut self, step: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACED {
                trace.pop_front();
            }
            trace.push_back(format!("{:>10.3} ms  {}", now as f64 / 1e6, step()));
        }
    }

    /// The last steps, if they were kept.
    pub(super) fn last_steps(&self) -> String {
        let steps: Vec<&str> = self.trace.iter().flatten().map(String::as_str).collect();
        steps.join("\n")
    }
}
