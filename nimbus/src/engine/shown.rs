//! What the engine shows of what it knows: the status is made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::store::SupervisorRecord;

use super::Engine;
use super::command::{Refusal, Reply};
use super::event::{Now, Request};
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

    /// Returns why the store does not answer, while it does not.
    #[must_use]
    pub fn store_problem(&self) -> Option<&str> {
        if self.view.revision == 0 && self.store_problem.is_none() {
            return Some("it was not read yet");
        }
        self.store_problem.as_deref()
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
        if let Some(reason) = &self.store_problem {
            return Err(Refusal::store_silent(reason));
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
        match (self.leader_elsewhere(), &self.store_problem) {
            (None, Some(reason)) => Refusal::store_silent(reason),
            (leader, _) => Refusal::not_leader(leader),
        }
    }
}
