//! What the leader learns by looking on: every second it adds what was reported to the histories.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Engine;
use super::event::Now;
use super::events::Events;
use super::figures;
use super::findings::{self, Finding};
use super::history::{History, Keep};
use super::reports::Reports;

/// What is wrong with a topology is looked for so often, in seconds.
const FIND_EVERY: u64 = 3;

/// Turning away is counted over at least so many seconds.
const TURNED_EVERY: u64 = 60;

/// What the leader learned by looking on, since it leads.
#[derive(Debug, Default)]
pub(super) struct Insight {
    /// When it began.
    begun: Option<Instant>,
    /// The seconds that were looked at.
    seconds: u64,
    /// What the store showed when it was looked at.
    revision: u64,
    /// By topology.
    pub(super) histories: BTreeMap<String, History>,
    /// What is wrong with each topology.
    pub(super) findings: BTreeMap<String, Vec<Finding>>,
    pub(super) turned: Turned,
    pub(super) events: Events,
}

/// How often each was turned away, by whom and why, at two earlier times.
#[derive(Debug, Default)]
pub(super) struct Turned {
    newer: Option<BTreeMap<(String, String), u64>>,
    older: Option<BTreeMap<(String, String), u64>>,
}

impl Turned {
    fn look(&mut self, reports: &Reports) {
        self.older = self.newer.replace(turned(reports));
    }

    /// What came since the earlier time; nothing is known before there is one.
    pub(super) fn of_late(&self, reports: &Reports) -> Vec<(String, String, u64)> {
        let Some(older) = &self.older else { return Vec::new() };
        let since = |((who, why), count): ((String, String), u64)| {
            let before = older.get(&(who.clone(), why.clone())).copied().unwrap_or(0);
            (who, why, count.saturating_sub(before))
        };
        turned(reports).into_iter().map(since).filter(|(_, _, count)| *count > 0).collect()
    }
}

/// Everybody who was turned away, by whomever, and how often.
fn turned(reports: &Reports) -> BTreeMap<(String, String), u64> {
    let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut add = |who: String, why: &str, count: u64| {
        let sum = sums.entry((who, why.to_owned())).or_default();
        *sum = sum.saturating_add(count);
    };
    for (who, _, why, count) in reports.turned_away.iter() {
        add(who.to_owned(), why, count);
    }
    for latest in reports.supervisors.values() {
        latest.report.turned_away.iter().for_each(|it| add(it.who.clone(), &it.why, it.count));
    }
    for (topology, told) in &reports.topologies {
        for it in told.live.values().flat_map(|live| &live.report.turned_away) {
            add(format!("{} of {topology}", it.who), &it.why, it.count);
        }
    }
    sums
}

impl Insight {
    /// How long it has looked on.
    pub(super) fn lasted(&self, now: Now) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| now.at.saturating_duration_since(begun))
    }
}

impl Engine {
    /// Looks for what is wrong with a part of the topologies: each has its second.
    fn find(&mut self, second: u64, now: Now) {
        let known = &self.view.topologies;
        self.insight.findings.retain(|topology, _| known.contains_key(topology));
        let due =
            (0..).zip(known.values()).filter(|(at, _)| (second + at).is_multiple_of(FIND_EVERY));
        let found = due.map(|(_, topology)| {
            let figures = figures::gather(self, &topology.record, now);
            (topology.record.id.clone(), findings::of_topology(&figures))
        });
        let found: Vec<_> = found.collect();
        self.insight.findings.extend(found);
    }

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
        if self.view.revision != std::mem::replace(&mut self.insight.revision, self.view.revision)
            || second != self.insight.seconds
        {
            self.notice(now);
        }
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
        if second.is_multiple_of(TURNED_EVERY) {
            self.insight.turned.look(&self.reports);
        }
        self.find(second, now);
    }
}
