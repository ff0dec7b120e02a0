//! What all parts of a world share: its calendar, its plan, and the wires between processes.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut, Range};
use std::time::{Duration, Instant};

use rand::RngExt;

use super::ghosts::Ghosts;
use super::plan::{Fault, LONG_TIMEOUT, Plan};
use super::sabotage::Sabotage;
use super::wires::{Side, Wire};
use crate::sim::calendar::Calendar;

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
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
pub(super) struct Env {
    calendar: Calendar<Event>,
    pub(super) plan: Plan,
    /// What the time counts from, for those who want an `Instant`.
    start: Instant,
    pub(super) ghosts: Ghosts,
    pub(super) wires: Vec<Wire>,
    /// Who listens where.
    pub(super) ports: BTreeMap<String, usize>,
    /// The largest batch so far, in bytes and in tuples.
    pub(super) largest: (u64, u64),
    /// What is done wrong on purpose.
    pub(super) sabotage: Option<Sabotage>,
}

impl Deref for Env {
    type Target = Calendar<Event>;

    fn deref(&self) -> &Self::Target {
        &self.calendar
    }
}

impl DerefMut for Env {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.calendar
    }
}

impl Env {
    pub(super) fn new(seed: u64, sabotage: Option<Sabotage>, traced: bool) -> Self {
        let plan = Plan::new(seed);
        let never_time_out = if plan.timeout == LONG_TIMEOUT { usize::MAX } else { 0 };
        Self {
            calendar: Calendar::new(seed ^ 0x5eed, traced),
            plan,
            start: daemon::Clock::manual().now(),
            ghosts: Ghosts::new(never_time_out),
            wires: Vec::new(),
            ports: BTreeMap::new(),
            largest: (0, 0),
            sabotage,
        }
    }

    /// Tells whether this is done wrong on purpose.
    pub(super) fn does_wrong(&self, what: Sabotage) -> bool {
        self.sabotage == Some(what)
    }

    /// The time, for those who want an `Instant`.
    pub(super) fn instant(&self) -> Instant {
        self.start + Duration::from_nanos(self.now)
    }

    /// As the calendar's, for ranges that are made of what is beside it.
    pub(super) fn below(&mut self, range: Range<u64>) -> u64 {
        self.calendar.below(range)
    }

    /// As the calendar's, for times and events that are made of what is beside it.
    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        self.calendar.schedule(at, event);
    }

    /// Whether a bolt fails its input, or worse.
    pub(super) fn fails(&mut self) -> bool {
        let failing = if self.ghosts.calm { 0 } else { self.plan.failing };
        failing > 0 && self.rng.random_range(0..1_000) < failing
    }

    pub(super) fn fault(&self, at: usize) -> Fault {
        self.plan.faults[at].1
    }
}
