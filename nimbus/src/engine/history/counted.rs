//! What was counted of late under names: failures by reason, counters, and tuples by edge.

use std::collections::BTreeMap;

use super::super::reports::Told;
use super::recent::{PAIRS, Windows, since};

/// More names of one topology are not followed.
const NAMES_MAX: usize = 4_096;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// Tuples or trees of a component that failed, by reason.
    Failed(String, String),
    /// A counter of a component.
    Counter(String, String),
    /// Tuples of a component's stream that went to a consumer; to nobody: that were emitted.
    Flow(String, String, String),
}

/// How much was counted of late under each name.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    names: BTreeMap<Name, ([u64; 1], Windows<1, PAIRS>)>,
    begun: bool,
}

impl Counted {
    /// Takes in what all workers have counted by now.
    pub(super) fn take(&mut self, told: &Told, second: u64) {
        let fresh = !std::mem::replace(&mut self.begun, true);
        for (name, total) in sums(told) {
            if !self.names.contains_key(&name) && self.names.len() >= NAMES_MAX {
                continue;
            }
            // What a name that is new was counted before this began nobody knows when.
            let before = if fresh { [total] } else { [0] };
            let new = || (before, Windows::new(second + u64::from(fresh)));
            let (before, windows) = self.names.entry(name).or_insert_with(new);
            windows.add(second, since(before, [total]));
        }
    }

    /// What was counted a second, in the last `spans` of five seconds.
    #[must_use]
    pub fn rate(&self, name: &Name, spans: usize) -> Option<f64> {
        self.names.get(name)?.1.rates(spans).map(|[rate]| rate)
    }

    /// The names, with what was counted a second.
    pub fn rates(&self, spans: usize) -> impl Iterator<Item = (&Name, f64)> {
        let rate = move |(name, (_, windows)): (_, &(_, Windows<1, PAIRS>))| {
            windows.rates(spans).map(|[rate]| (name, rate))
        };
        self.names.iter().filter_map(rate)
    }

    /// Bytes that it takes, without the names.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.names.len() * size_of::<(Name, [u64; 1], Windows<1, PAIRS>)>()
    }
}

/// What all workers, those that are gone included, have counted.
fn sums(told: &Told) -> BTreeMap<Name, u64> {
    let mut sums = BTreeMap::new();
    let mut add = |name: Name, count: u64| {
        let sum: &mut u64 = sums.entry(name).or_default();
        *sum = sum.saturating_add(count);
    };
    let live = told.live.values().flat_map(|live| &live.work.components);
    for part in told.dead.values().chain(live) {
        let name = || part.component.to_string();
        let (failed, counters) = (part.failed.iter(), part.counters.iter());
        failed.for_each(|(it, n)| add(Name::Failed(name(), it.to_string()), *n));
        counters.for_each(|(it, n)| add(Name::Counter(name(), it.to_string()), *n));
    }
    for live in told.live.values() {
        for flow in &live.work.flows {
            let [component, stream, consumer] =
                [&flow.component, &flow.stream, &flow.consumer].map(|name| name.to_string());
            add(Name::Flow(component, stream, consumer), flow.tuples);
        }
    }
    sums
}
