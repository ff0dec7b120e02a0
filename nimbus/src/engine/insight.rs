//! What the leader learns by looking on: every second it adds what was reported to the histories.
//!
//! A thousand tasks take a millisecond or more, so each topology has its own tenth of the second: all of
//! them at once would hold up whoever asks something.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Engine;
use super::event::Now;
use super::events::Events;
use super::figures;
use super::findings::{self, Finding};
use super::history::{History, Keep};
use super::reports::Reports;
use super::view::View;

/// Tenths of a second, among which the topologies are divided up.
const TENTHS: u64 = 10;

/// What is wrong with a topology is looked for so often, in seconds.
const FIND_EVERY: u64 = 3;

/// Turning away is counted over at least so many seconds.
const TURNED_EVERY: u64 = 60;

/// What the leader learned by looking on, since it leads.
#[derive(Debug, Default)]
pub(super) struct Insight {
    /// When it began.
    begun: Option<Instant>,
    /// How long after that it looked last.
    looked: Duration,
    /// What the store showed when it was looked at.
    revision: u64,
    /// By topology.
    watched: BTreeMap<String, Watched>,
    /// What is wrong with each topology.
    pub(super) findings: BTreeMap<String, Vec<Finding>>,
    pub(super) turned: Turned,
    pub(super) events: Events,
}

/// A topology that is looked at.
#[derive(Debug)]
struct Watched {
    /// In which tenth of each second.
    tenth: u64,
    history: History,
}

impl Watched {
    /// How many seconds of it are over, so long after the beginning.
    fn second(&self, lasted: Duration) -> u64 {
        lasted.saturating_sub(Duration::from_millis(self.tenth * 1_000 / TENTHS)).as_secs()
    }
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
    /// What a topology did over time.
    pub(super) fn history(&self, topology: &str) -> Option<&History> {
        self.watched.get(topology).map(|watched| &watched.history)
    }

    /// Begins with topologies that are new, each in the tenth that has fewest, and ends with those that
    /// are gone.
    fn watch(&mut self, view: &View) {
        let known = &view.topologies;
        if known.keys().eq(self.watched.keys()) {
            return;
        }
        self.watched.retain(|topology, _| known.contains_key(topology));
        for topology in known.keys() {
            if self.watched.contains_key(topology) {
                continue;
            }
            let used = |tenth: &u64| self.watched.values().filter(|it| it.tenth == *tenth).count();
            let tenth = (0..TENTHS).min_by_key(used).unwrap_or(0);
            let history = History::default();
            self.watched.insert(topology.clone(), Watched { tenth, history });
        }
    }

    /// How long it has looked on.
    pub(super) fn lasted(&self, now: Now) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| now.at.saturating_duration_since(begun))
    }
}

impl Engine {
    /// Looks at who is up, and as the second of a topology ends at what was reported of it.
    pub(super) fn look_on(&mut self, now: Now) {
        let up = self.supervisors.keys();
        let is_up =
            |id: &&String| self.liveness.is_fresh(id, now.at) && !self.caution.has_given_up(id);
        let up = up.filter(is_up).cloned().collect();
        self.flapping.look(up, now.at);
        if self.elected.is_none() {
            return;
        }
        self.insight.begun.get_or_insert(now.at);
        let lasted = self.insight.lasted(now);
        let before = std::mem::replace(&mut self.insight.looked, lasted);
        let (second, is_over) = (lasted.as_secs(), lasted.as_secs() != before.as_secs());
        if self.view.revision != std::mem::replace(&mut self.insight.revision, self.view.revision)
            || is_over
        {
            self.notice(now);
        }
        self.insight.watch(&self.view);
        let due = self.sample(before, lasted);
        self.find(due, now);
        if is_over && second.is_multiple_of(TURNED_EVERY) {
            self.insight.turned.look(&self.reports);
        }
    }

    /// Adds what was reported of the topologies whose second is over since it looked before, and returns
    /// those in which it is to be looked for what is wrong: each has its second.
    fn sample(&mut self, before: Duration, lasted: Duration) -> Vec<String> {
        let watched = &mut self.insight.watched;
        let keep = Keep::of(watched.values().map(|it| it.history.count()).sum());
        let mut to_find = Vec::new();
        for (topology, watched) in watched {
            let second = watched.second(lasted);
            if second == watched.second(before) {
                continue;
            }
            let known = self.view.topologies.get(topology);
            let spec = known.and_then(|known| known.record.spec.as_ref());
            if let Some((spec, told)) = spec.zip(self.reports.topologies.get(topology)) {
                // The second that is over.
                watched.history.sample(spec, told, second - 1, keep);
            }
            if (second + watched.tenth).is_multiple_of(FIND_EVERY) {
                to_find.push(topology.clone());
            }
        }
        to_find
    }

    /// Looks for what is wrong with these topologies.
    fn find(&mut self, topologies: Vec<String>, now: Now) {
        let known = &self.view.topologies;
        self.insight.findings.retain(|topology, _| known.contains_key(topology));
        for id in topologies {
            let Some(topology) = known.get(&id) else { continue };
            let figures = figures::gather(self, &topology.record, now);
            self.insight.findings.insert(id, findings::of_topology(&figures));
        }
    }
}
