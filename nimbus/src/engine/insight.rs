//! What the leader learns by looking on: every second it adds what was reported to the histories.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Engine;
use super::event::Now;
use super::history::{History, Keep};

/// What the leader learned by looking on, since it leads.
#[derive(Debug, Default)]
pub(super) struct Insight {
    /// When it began.
    begun: Option<Instant>,
    /// The seconds that were looked at.
    seconds: u64,
    /// By topology.
    pub(super) histories: BTreeMap<String, History>,
}

impl Insight {
    /// How long it has looked on.
    pub(super) fn lasted(&self, now: Now) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| now.at.saturating_duration_since(begun))
    }
}

impl Engine {
    /// Looks at who is up, and as each second ends at what was reported.
    pub(super) fn look_on(&mut self, now: Now) {
        let up = self.supervisors.keys();
        let up = up.filter(|id| self.liveness.is_fresh(id, now.at)).cloned().collect();
        self.flapping.look(up, now.at);
        if self.elected.is_none() {
            return;
        }
        self.insight.begun.get_or_insert(now.at);
        let second = self.insight.lasted(now).as_secs();
        if second == std::mem::replace(&mut self.insight.seconds, second) {
            return;
        }
        let histories = &mut self.insight.histories;
        histories.retain(|topology, _| self.view.topologies.contains_key(topology));
        let keep = Keep::of(histories.values().map(History::count).sum());
        for (topology, told) in &self.reports.topologies {
            let known = self.view.topologies.get(topology);
            let Some(spec) = known.and_then(|known| known.record.spec.as_ref()) else { continue };
            let history = histories.entry(topology.clone()).or_default();
            // The second that is over.
            history.sample(spec, told, second - 1, keep);
        }
    }
}
