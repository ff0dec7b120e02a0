//! What all parts of a cluster share: its calendar, the network, and the way to the store.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use coordination::Keys;

use super::events::Event;
use super::plan::{MS, Plan, SECOND, Weather};
use super::process::Process;
use super::sabotage::Sabotage;
use super::store::Etcd;
use super::witness::Witness;
use crate::sim::calendar::Calendar;

/// One end of a way through the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Store,
    Nimbus(usize),
    Machine(usize),
    Client(usize),
}

/// One life of a node: what is meant for an earlier one is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) node: Node,
    pub(super) number: u64,
}

/// What all parts of a cluster share.
pub(super) struct Env {
    calendar: Calendar<Event>,
    pub(super) plan: Plan,
    pub(super) keys: Keys,
    pub(super) etcd: Etcd,
    /// Until when nothing passes from one to another.
    blocked: BTreeMap<(Node, Node), u64>,
    pub(super) processes: Vec<Process>,
    pub(super) witness: Witness,
    pub(super) sabotage: Option<Sabotage>,
    /// All is well from now on: nobody misbehaves any more.
    pub(super) healed: bool,
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
        let keys = Keys::new("sim").expect("a good name");
        let etcd = Etcd::new();
        let witness = Witness::new(&etcd, &keys);
        Self {
            calendar: Calendar::new(seed ^ 0xe1cd, traced),
            plan: Plan::new(seed),
            keys,
            etcd,
            blocked: BTreeMap::new(),
            processes: Vec::new(),
            witness,
            sabotage,
            healed: false,
        }
    }

    /// Moves the time to the next event, and returns it.
    pub(super) fn next(&mut self) -> Option<Event> {
        let event = self.calendar.next_event()?;
        self.etcd.move_to(self.calendar.now);
        Some(event)
    }

    pub(super) fn does_wrong(&self, what: Sabotage) -> bool {
        self.sabotage == Some(what)
    }

    /// The time, for engines.
    pub(super) fn instant(&self) -> Instant {
        self.etcd.start + Duration::from_nanos(self.now)
    }

    /// As the calendar's, for times and events that are made of what is beside it.
    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        self.calendar.schedule(at, event);
    }

    /// Schedules an event in so many nanoseconds at most.
    pub(super) fn soon(&mut self, within: u64, event: Event) {
        self.schedule_in(0..within, event);
    }

    /// Lets nothing pass from one to another for a while.
    pub(super) fn block(&mut self, from: Node, to: Node, until: u64) {
        let end = self.blocked.entry((from, to)).or_default();
        *end = until.max(*end);
    }

    /// Ends all that stands between any two.
    pub(super) fn unblock(&mut self) {
        self.blocked.clear();
    }

    pub(super) fn blocked_until(&self, from: Node, to: Node) -> Option<u64> {
        self.blocked.get(&(from, to)).copied().filter(|until| *until > self.now)
    }

    /// When a message arrives; `None` if it is lost.
    pub(super) fn travel(&mut self, from: Node, to: Node) -> Option<u64> {
        let mut delay = self.below_delay();
        let storm = !self.healed && self.plan.weather == Weather::Storm;
        if storm && self.chance(0.01) {
            // A few outlast the patience of whoever waits for an answer.
            let most = if self.chance(0.3) { 15 } else { 3 };
            delay += self.below(0..most * SECOND);
        }
        if [from, to].contains(&Node::Store) && self.etcd.slow_until > self.now {
            delay += self.below(0..4 * SECOND);
        }
        match self.blocked_until(from, to) {
            Some(_) if self.chance(0.5) => None,
            Some(until) => Some(until + delay),
            None if storm && self.chance(0.003) => None,
            None => Some(self.now + delay),
        }
    }

    fn below_delay(&mut self) -> u64 {
        let most = self.plan.delay.max(MS);
        self.below(0..most)
    }
}
