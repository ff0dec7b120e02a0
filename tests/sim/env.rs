//! What all parts of a world share: chance, the time, what is due, and the wires between processes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::ghosts::Ghosts;
use crate::plan::{Fault, LONG_TIMEOUT, Plan};
use crate::wires::{Side, Wire};

/// How many of the last steps are shown when a seed fails.
const TRACED: usize = 60;

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A loop gives its executors their turns.
    Round { process: usize, at: usize },
    /// The first message of a wire arrives at this side.
    Arrive { wire: usize, side: Side },
    /// This side notices that its wire is broken.
    Broken { wire: usize, side: Side },
    /// The receiver's answer to a hello is due.
    Answer { wire: usize },
    /// A link dials.
    Dial { process: usize, link: usize },
    /// A receiver tells a sender what it has and what may be sent.
    News { process: usize, peer: u32 },
    /// A process is told a routing table.
    Table { process: usize, table: usize },
    /// A process ends.
    Stop { process: usize },
    /// A supervisor finds a process dead and says so.
    Found { process: usize },
    /// A supervisor starts the current incarnation of a worker, if it is still this one.
    Start { worker: u32, revision: u64, restarts: u64 },
    /// Something goes wrong.
    Fault(usize),
    /// Is all calm?
    Calm,
}

/// What all parts of a world share.
pub(crate) struct Env {
    pub(crate) plan: Plan,
    pub(crate) rng: StdRng,
    /// Virtual nanoseconds.
    pub(crate) now: u64,
    /// What the time counts from, for those who want an `Instant`.
    start: Instant,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    pub(crate) ghosts: Ghosts,
    pub(crate) wires: Vec<Wire>,
    /// Who listens where.
    pub(crate) ports: BTreeMap<String, usize>,
    /// How often what happened, to see that all of it does.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// The largest batch so far, in bytes and in tuples.
    pub(crate) largest: (u64, u64),
    /// Changes with everything that happens: the same seed gives the same one.
    pub(crate) digest: u64,
    /// The last steps, if they are to be shown.
    pub(crate) trace: Option<VecDeque<String>>,
}

impl Env {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let plan = Plan::new(seed);
        let never_time_out = if plan.timeout == LONG_TIMEOUT { usize::MAX } else { 0 };
        Self {
            plan,
            rng: StdRng::seed_from_u64(seed ^ 0x5eed),
            now: 0,
            start: daemon::Clock::manual().now(),
            queue: BinaryHeap::new(),
            scheduled: 0,
            ghosts: Ghosts::new(never_time_out),
            wires: Vec::new(),
            ports: BTreeMap::new(),
            counts: BTreeMap::new(),
            largest: (0, 0),
            digest: 0,
            trace: traced.then(VecDeque::new),
        }
    }

    /// Puts an event on the calendar.
    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.queue.push(Reverse((at.max(self.now), self.scheduled, event)));
    }

    /// Puts an event on the calendar, some time within `range` from now.
    pub(crate) fn schedule_in(&mut self, range: std::ops::Range<u64>, event: Event) {
        let delay = self.below(range);
        self.schedule(self.now + delay, event);
    }

    /// Moves the time to the next event, and returns it.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let Reverse((at, number, event)) = self.queue.pop()?;
        self.now = at;
        self.digest = (self.digest ^ at ^ number << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Some(event)
    }

    /// The time, for those who want an `Instant`.
    pub(crate) fn instant(&self) -> Instant {
        self.start + Duration::from_nanos(self.now)
    }

    pub(crate) fn below(&mut self, range: std::ops::Range<u64>) -> u64 {
        if range.is_empty() { range.start } else { self.rng.random_range(range) }
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    /// One of several, by chance.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.rng.random_range(0..from.len())]) }
    }

    /// Whether a bolt fails its input, or worse.
    pub(crate) fn fails(&mut self) -> bool {
        let failing = if self.ghosts.calm { 0 } else { self.plan.failing };
        failing > 0 && self.rng.random_range(0..1_000) < failing
    }

    /// Counts something that happened.
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Notes a step for the reader of a failure.
    pub(crate) fn note(&mut self, step: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACED {
                trace.pop_front();
            }
            trace.push_back(format!("{:>10.3} ms  {}", now as f64 / 1e6, step()));
        }
    }

    pub(crate) fn fault(&self, at: usize) -> Fault {
        self.plan.faults[at].1
    }
}
