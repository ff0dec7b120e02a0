//! What the engine shows of what it knows: the status is made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use coordination::{Revision, Watermark};
use proto::nimbus::Standby;
use proto::store::SupervisorRecord;

use super::Engine;
use super::command::{Refusal, Reply};
use super::event::{Now, Request};
use super::events::Events;
use super::findings::Finding;
use super::history::History;
use super::reports::Reports;
use super::view::View;

impl Engine {
    /// Returns what the store says.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Returns what supervisors and workers report.
    #[must_use]
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Returns what a topology did over time, since this nimbus leads.
    #[must_use]
    pub fn history(&self, topology: &str) -> Option<&History> {
        self.insight.history(topology)
    }

    /// Returns what happened since this nimbus leads.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.insight.events
    }

    /// Returns what was found wrong with each topology, a few seconds ago.
    #[must_use]
    pub fn findings(&self) -> &BTreeMap<String, Vec<Finding>> {
        &self.insight.findings
    }

    /// Returns who was turned away in the last minute or two, why, and how often.
    #[must_use]
    pub fn turned_away_of_late(&self) -> Vec<(String, String, u64)> {
        self.insight.turned.of_late(&self.reports)
    }

    /// Returns the second in which the histories are, and the milliseconds since 1970 at which second
    /// 0 of them began.
    #[must_use]
    pub fn history_clock(&self, now: Now) -> (u64, u64) {
        let lasted = self.insight.lasted(now);
        let lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        (lasted.as_secs(), now.wall_ms.saturating_sub(lasted_ms))
    }

    /// Returns the supervisors that are registered, or were and are not lost yet.
    #[must_use]
    pub fn supervisors(&self) -> &BTreeMap<String, SupervisorRecord> {
        &self.supervisors
    }

    /// Tells whether this nimbus leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.elected.is_some()
    }

    /// Tells whether this nimbus has seen all that leaders before it wrote: until then it must not
    /// show what there is, or people would miss what they were told is done.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.elected.is_none_or(|elected| self.view.revision >= elected)
    }

    /// Returns the revision of this nimbus's election while it leads, else of the newest one it
    /// knows of.
    #[must_use]
    pub fn term(&self) -> Revision {
        self.elected.unwrap_or(self.view.term)
    }

    /// Returns which nimbus this is.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Says beside an answer that it comes from a nimbus that does not lead, if that is so.
    #[must_use]
    pub fn standby(&self) -> Option<Standby> {
        self.elected.is_none().then(|| Standby {
            nimbus_id: self.id.clone(),
            leader: self.leader_elsewhere().unwrap_or_default(),
            unknown: "what supervisors and workers report: counters, latencies, errors, memory, \
                      and who is silent"
                .to_owned(),
        })
    }

    /// Returns why the store takes no writes, while it takes none.
    #[must_use]
    pub fn store_problem(&self) -> Option<String> {
        let unread = || (self.view.revision == 0).then(|| "it was not read yet".to_owned());
        self.store.problem().or_else(unread)
    }

    /// Tells whether a write is on its way to the store.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Tells whether the store answers but takes no writes.
    #[must_use]
    pub fn is_store_read_only(&self) -> bool {
        self.store.is_read_only()
    }

    /// Returns how far the store was seen and how far it is now, if it went back and nobody
    /// accepted that.
    #[must_use]
    pub fn store_went_back(&self) -> Option<(Watermark, Watermark)> {
        self.store.went_back()
    }

    /// Returns how often something was refused because who sent it was out of date, by kind: by this
    /// nimbus, and by the supervisors that report to it.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<String, u64> {
        let own = self.refused.iter().map(|(what, count)| (what.word().to_owned(), *count));
        let told = self.reports.supervisors.values().flat_map(|latest| &latest.report.refused);
        let mut refused = BTreeMap::new();
        for (what, count) in own.chain(told.map(|(what, count)| (what.clone(), *count))) {
            *refused.entry(what).or_insert(0) += count;
        }
        refused
    }

    /// Returns why a topology has no workers, where that is so.
    #[must_use]
    pub fn unplaced(&self, topology: &str) -> Option<&str> {
        self.unplaced.get(topology).map(String::as_str)
    }

    /// Returns how long a supervisor has been silent.
    #[must_use]
    pub fn silence(&self, supervisor: &str, now: Now) -> Duration {
        self.liveness.silence(supervisor, now.at)
    }

    /// Tells whether nothing new is placed on a supervisor because it comes and goes.
    #[must_use]
    pub fn is_held_back(&self, supervisor: &str, now: Now) -> bool {
        self.flapping.is_held_back(supervisor, now.at)
    }

    /// Foresees what a request would lead to now, without doing it: a refusal, the answer it got
    /// before, or `None` if it is to be carried out.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn foresee(&self, request: &Request, now: Now) -> Result<Option<Reply>, Refusal> {
        if self.elected.is_none() {
            return Err(self.not_leading());
        }
        if let Some(refusal) = self.store.refusal() {
            return Err(refusal);
        }
        match self.request(request, now) {
            Ok(_) => Ok(None),
            Err(answer) => answer.map(Some),
        }
    }

    /// Returns the leader's address, if that is another nimbus.
    #[must_use]
    pub fn leader_elsewhere(&self) -> Option<String> {
        let leader = self.view.leader.as_ref()?;
        self.elected.is_none().then(|| leader.address.clone())
    }

    /// Says who can answer instead, or why nobody can: without its store a cluster elects nobody.
    #[must_use]
    pub fn not_leading(&self) -> Refusal {
        match (self.leader_elsewhere(), self.store.refusal()) {
            (None, Some(refusal)) => refusal,
            (leader, _) => Refusal::not_leader(leader),
        }
    }
}
