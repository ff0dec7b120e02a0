//! What is heard of machines whose supervisor is silent, what follows from it, and when silence proves
//! nothing because this process stood still itself.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::nimbus::{Retired, WorkerNews};

use super::Engine;
use super::event::Now;
use super::liveness::{Evidence, Verdict};
use super::reports::Live;
use super::reports::incoming::Incoming;
use super::view::epoch_revision;

/// A time without any event, ticks among them, that means that this process stood still.
const STANDSTILL: Duration = Duration::from_secs(1);

impl Engine {
    /// Tells whether a supervisor is listened to: it is registered, or was, or runs something. One
    /// that was started again while the store takes no writes cannot register.
    pub(super) fn is_known(&self, supervisor: &str) -> bool {
        self.supervisors.contains_key(supervisor)
            || self.view.all_in_force().any(|held| held.record.supervisor == supervisor)
    }

    /// Ticks come ten times a second: after a gap this process stood still, and what the others
    /// reported meanwhile may come in only after this event.
    pub(super) fn note_standstill(&mut self, now: Now) {
        let gap = now.at.saturating_duration_since(std::mem::replace(&mut self.last, now.at));
        if gap > STANDSTILL {
            self.startle(now);
        }
    }

    /// Takes in what a supervisor reports; tells whether there is something to decide.
    pub(super) fn take_report(&mut self, report: Incoming, now: Now) -> bool {
        let supervisor = report.report().supervisor.clone();
        let known = self.is_known(&supervisor);
        if !known || self.reports.is_outdated(report.report(), &self.view) {
            return false;
        }
        self.note_report(now);
        let was_fresh = self.liveness.is_fresh(&supervisor, now.at);
        self.liveness.heard(&supervisor, now.at);
        self.reports.take(report, &self.view, now.at) || !was_fresh
    }

    /// Notes that a report came in: after a time without any, the others get time as well.
    fn note_report(&mut self, now: Now) {
        if !self.liveness.hears(now.at) {
            self.startle(now);
        }
    }

    /// Gives everybody time to report, and gives up nothing in a hurry.
    pub(super) fn startle(&mut self, now: Now) {
        self.liveness.forgive(now.at);
        self.caution.startle(now.at);
    }

    /// Decides which lost machines are given up: what they ran is to run elsewhere.
    pub(super) fn give_up_lost(&mut self, now: Now) {
        let all = self.supervisors.keys();
        let lost = all.filter(|id| self.verdict(id, now) == Verdict::Lost).cloned().collect();
        self.caution.give_up(&lost, now.at);
    }

    /// Judges a supervisor by its silence and by what is heard of its workers.
    #[must_use]
    pub fn verdict(&self, supervisor: &str, now: Now) -> Verdict {
        if !self.liveness.is_in_question(supervisor, now.at) {
            return Verdict::Alive;
        }
        self.liveness.judge(supervisor, self.evidence(supervisor, now), now.at)
    }

    fn evidence(&self, supervisor: &str, now: Now) -> Evidence {
        let live = || self.reports.topologies.values().flat_map(|told| told.live.values());
        if live().any(|it| it.supervisor == supervisor && it.direct && self.is_heard(it, now)) {
            return Evidence::Living;
        }
        let hears = self.supervisors.keys().any(|id| self.liveness.is_fresh(id, now.at))
            || live().any(|it| self.is_heard(it, now));
        if !hears {
            return Evidence::Deaf;
        }
        self.word_of_peers(supervisor, now)
    }

    /// Tells whether what a worker reported last is recent, however it came here, and the stream of its
    /// own reports still there.
    fn is_heard(&self, live: &Live, now: Now) -> bool {
        match live.direct {
            true => !live.hung_up && self.liveness.is_recent(live.at, now.at),
            false => self.liveness.is_fresh(&live.supervisor, now.at),
        }
    }

    /// Asks the workers on other machines whether they are connected to those of `supervisor`.
    fn word_of_peers(&self, supervisor: &str, now: Now) -> Evidence {
        let mut evidence = Evidence::Nothing;
        for (topology, told) in &self.reports.topologies {
            let here: BTreeSet<u32> = self
                .view
                .in_force(topology)
                .filter(|assignment| assignment.record.supervisor == supervisor)
                .map(|assignment| assignment.record.worker)
                .collect();
            if here.is_empty() {
                continue;
            }
            let peers = told
                .live
                .values()
                .filter(|live| live.supervisor != supervisor && self.is_heard(live, now));
            let links = peers.flat_map(|live| &live.report.links);
            for link in links.filter(|link| here.contains(&link.peer)) {
                if link.connected {
                    return Evidence::Living;
                }
                evidence = Evidence::Gone;
            }
        }
        evidence
    }

    /// Takes in what a worker reports by itself; tells whether there is something to decide.
    pub(super) fn hear(&mut self, news: WorkerNews, now: Now) -> bool {
        if self.elected.is_none() {
            return false;
        }
        if self.retired(&news).is_some() {
            self.reports.turn_away(&news);
            return false;
        }
        self.note_report(now);
        self.reports.take_news(news, &self.view, now.at)
    }

    /// Tells whether the store shows that the incarnation which reports is retired, and since which
    /// revision. One that is newer than all this engine has seen is not: the view is behind.
    #[must_use]
    pub fn retired(&self, news: &WorkerNews) -> Option<Retired> {
        let epoch = news.epoch.unwrap_or_default();
        let knows = self.is_leading() && self.is_current();
        if !knows || self.store.problem().is_some() || epoch.revision > self.view.revision {
            return None;
        }
        let retired = |reason: &str| {
            let table_version = self.view.revision;
            Some(Retired { reason: reason.to_owned(), table_version })
        };
        if !self.view.topologies.contains_key(&news.topology) {
            return retired("its topology is gone");
        }
        let mut in_force = self.view.in_force(&news.topology);
        let Some(held) = in_force.find(|held| held.record.worker == news.worker) else {
            return retired("it is not assigned any more");
        };
        let stored = self.view.workers.get(&(news.topology.clone(), news.worker));
        let stored = stored.and_then(|record| record.epoch).unwrap_or_default();
        let newest = (epoch_revision(held), 0).max((stored.revision, stored.restarts));
        match newest > (epoch.revision, epoch.restarts) {
            true => retired("a newer incarnation has taken its place"),
            false => None,
        }
    }
}
