//! What happened, with why: a list of the newest events of each topology, and of the cluster.
//!
//! The leader compares what it sees with what it saw ([`Seen`], `Machine`), so an event has the time at
//! which it was noticed, or its own where a record or report tells it. The lists are bounded and kept in
//! memory: a new leader tells from the records what there is (when it was submitted, which workers run
//! since when, how they ended last), and not what led to it.

mod look;

use std::collections::{BTreeMap, VecDeque};

use proto::store::TopologyStatus;
use serde::Serialize;
use utoipa::ToSchema;

/// Events of one topology, and of the cluster, that are kept.
pub const EVENTS_MAX: usize = 200;

/// Errors of a component that come after so long a pause are an event, in ms.
const PAUSE_MS: u64 = 60_000;

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Happened {
    /// Rises by one with each, so that nobody sees one twice.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What kind it is: a word that does not change.
    pub kind: &'static str,
    /// What happened, and why.
    pub text: String,
    /// The worker it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// The supervisor it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<String>,
}

impl Happened {
    fn new(kind: &'static str, at_ms: u64, text: String) -> Self {
        Self { kind, at_ms, text, ..Self::default() }
    }

    fn at_worker(self, worker: u32) -> Self {
        Self { worker: Some(worker), ..self }
    }
}

/// The newest events, oldest first.
///
/// ```
/// use nimbus::engine::events::{EVENTS_MAX, Happened, Timeline};
///
/// let mut timeline = Timeline::default();
/// timeline.extend((0..1_000).map(|at_ms| Happened { at_ms, ..Happened::default() }).collect());
/// assert_eq!(timeline.newest().count(), EVENTS_MAX);
/// assert_eq!(timeline.newest().next().map(|it| (it.at_ms, it.number)), Some((999, 1_000)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    events: VecDeque<Happened>,
    numbered: u64,
}

impl Timeline {
    /// Adds what happened.
    pub fn extend(&mut self, mut happened: Vec<Happened>) {
        happened.sort_by_key(|event| event.at_ms);
        for event in happened {
            self.numbered += 1;
            if self.events.len() == EVENTS_MAX {
                self.events.pop_front();
            }
            self.events.push_back(Happened { number: self.numbered, ..event });
        }
    }

    /// The events, newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Happened> {
        self.events.iter().rev()
    }
}

/// What is seen of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worker {
    /// Where it is assigned.
    pub supervisor: String,
    /// Its incarnation that runs; nothing while none does.
    pub epoch: Option<(u64, u64)>,
    /// When that started.
    pub started_ms: u64,
    /// How the one before ended, and when.
    pub exit: (String, u64),
}

/// What is seen of a topology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its status.
    pub status: TopologyStatus,
    /// Why it is in it, for people.
    pub reason: String,
    /// When it was submitted.
    pub submitted_ms: u64,
    /// The generation in force, and what it was written for, if this nimbus wrote it.
    pub generation: Option<(u64, &'static str)>,
    /// Why it has no workers.
    pub unplaced: String,
    /// Its workers.
    pub workers: BTreeMap<u32, Worker>,
    /// The newest error of each component: when, and what it said.
    pub errors: BTreeMap<String, (u64, String)>,
}

impl Seen {
    /// Tells what happened since `before`; of a topology that was not seen before, what is known of how
    /// it came to be.
    #[must_use]
    pub fn since(&self, before: Option<&Self>, now_ms: u64) -> Vec<Happened> {
        let mut events = Vec::new();
        let nothing = Self { generation: None, ..Self::default() };
        let old = before.unwrap_or(&nothing);
        if before.is_none() {
            let text = "submitted".to_owned();
            events.push(Happened::new("submitted", self.submitted_ms, text));
        }
        if before.is_some() && old.status != self.status {
            let (kind, text) = self.became(old.status);
            events.push(Happened::new(kind, now_ms, text));
        }
        if self.unplaced != old.unplaced && !self.unplaced.is_empty() {
            events.push(Happened::new("waiting", now_ms, self.unplaced.clone()));
        }
        if let Some((generation, why)) = self.generation
            && old.generation.map(|(generation, _)| generation) != Some(generation)
        {
            let text = self.assigned(generation, why);
            events.push(Happened::new("assigned", now_ms, text));
        }
        for (number, worker) in &self.workers {
            events.extend(worker.since(*number, old.workers.get(number), now_ms));
        }
        for (number, worker) in &old.workers {
            if !self.workers.contains_key(number) {
                let text =
                    format!("worker {number} on {} is not wanted any more", worker.supervisor);
                events.push(Happened::new("worker-gone", now_ms, text).at_worker(*number));
            }
        }
        events.extend(self.bursts(old));
        events
    }

    fn became(&self, before: TopologyStatus) -> (&'static str, String) {
        let because = match self.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        match (before, self.status) {
            (TopologyStatus::Rebalancing, _) => {
                ("rebalanced", format!("rebalance is done{because}"))
            }
            (_, TopologyStatus::Rebalancing) => {
                ("rebalance", format!("rebalance asked for{because}"))
            }
            (_, TopologyStatus::Active) => ("activated", format!("its spouts may emit{because}")),
            (_, TopologyStatus::Inactive) => ("deactivated", format!("its spouts stop{because}")),
            (_, TopologyStatus::Finished) => {
                ("finished", format!("all its spouts are done, and all trees ended{because}"))
            }
            (_, TopologyStatus::Killed) => ("killed", format!("it is to be stopped{because}")),
            (_, TopologyStatus::Unspecified) => {
                ("unknown", format!("its status is unknown{because}"))
            }
        }
    }

    fn assigned(&self, generation: u64, why: &str) -> String {
        let mut on: BTreeMap<&str, u32> = BTreeMap::new();
        for worker in self.workers.values() {
            *on.entry(&worker.supervisor).or_default() += 1;
        }
        let on: Vec<String> = on.iter().map(|(id, count)| format!("{count} on {id}")).collect();
        let why = match why {
            "" => "by an earlier leader".to_owned(),
            why => format!("to {why}"),
        };
        format!("generation {generation} {why}: workers {}", on.join(", "))
    }

    /// Errors of components that had none for a while.
    fn bursts(&self, old: &Self) -> Vec<Happened> {
        let mut events = Vec::new();
        for (component, (at_ms, text)) in &self.errors {
            let before = old.errors.get(component).map_or(0, |(at_ms, _)| *at_ms);
            if *at_ms >= before.saturating_add(PAUSE_MS) {
                let line = text.lines().next().unwrap_or_default();
                let line: String = line.chars().take(200).collect();
                let text = format!("`{component}` begins to have errors: {line}");
                events.push(Happened::new("errors", *at_ms, text));
            }
        }
        events
    }
}

impl Worker {
    fn since(&self, number: u32, before: Option<&Self>, now_ms: u64) -> Vec<Happened> {
        let mut events = Vec::new();
        let none = Self::default();
        let old = before.unwrap_or(&none);
        let event = |kind, at_ms, text| {
            let event = Happened::new(kind, at_ms, text).at_worker(number);
            Happened { supervisor: Some(self.supervisor.clone()), ..event }
        };
        let when = |at_ms: u64| if at_ms == 0 { now_ms } else { at_ms };
        if before.is_some() && old.supervisor != self.supervisor {
            let text =
                format!("worker {number} goes from {} to {}", old.supervisor, self.supervisor);
            events.push(event("worker-moved", now_ms, text));
        }
        if self.exit != old.exit && !self.exit.0.is_empty() {
            let text = format!("worker {number} on {} ended: {}", self.supervisor, self.exit.0);
            events.push(event("worker-ended", when(self.exit.1), text));
        }
        if let Some((_, restarts)) = self.epoch.filter(|epoch| Some(*epoch) != old.epoch) {
            let again = match restarts {
                0 => String::new(),
                restarts => format!(" again, restart {restarts}"),
            };
            let text = format!("worker {number} on {} started{again}", self.supervisor);
            events.push(event("worker-started", when(self.started_ms), text));
        }
        events
    }
}

/// What is seen of the cluster: who leads, and of each supervisor what is thought of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machines {
    /// The nimbus that leads.
    pub leader: String,
    /// Why nothing can be written to the store; empty if it can.
    pub store: String,
    /// By supervisor: `alive`, `silent`, `away` or `lost`.
    pub supervisors: BTreeMap<String, &'static str>,
}

impl Machines {
    /// Tells what happened since `before`.
    #[must_use]
    pub fn since(&self, before: Option<&Self>, now_ms: u64) -> Vec<Happened> {
        let mut events = Vec::new();
        let nothing = Self::default();
        let old = before.unwrap_or(&nothing);
        if old.leader != self.leader && !self.leader.is_empty() {
            let text = format!("nimbus {} leads", self.leader);
            events.push(Happened::new("leader", now_ms, text));
        }
        if old.store != self.store {
            let text = match self.store.as_str() {
                "" => "the coordination store takes writes again".to_owned(),
                problem => format!("the coordination store cannot be used: {problem}"),
            };
            events.push(Happened::new("store", now_ms, text));
        }
        for (id, word) in &self.supervisors {
            let was = old.supervisors.get(id);
            let (kind, text) = match (was, *word) {
                (Some(was), word) if *was == word => continue,
                (None, "alive") => ("supervisor-there", format!("supervisor {id} is there")),
                (Some(_), "alive") => ("supervisor-back", format!("supervisor {id} is back")),
                (_, "lost") => ("supervisor-lost", format!("supervisor {id} is lost")),
                (_, word) => ("supervisor-silent", format!("supervisor {id} is {word}")),
            };
            let event = Happened::new(kind, now_ms, text);
            events.push(Happened { supervisor: Some(id.clone()), ..event });
        }
        for id in old.supervisors.keys().filter(|id| !self.supervisors.contains_key(*id)) {
            let text = format!("supervisor {id} is gone");
            let event = Happened::new("supervisor-gone", now_ms, text);
            events.push(Happened { supervisor: Some(id.clone()), ..event });
        }
        events
    }
}

/// All that was noticed since this nimbus leads.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// By topology.
    pub topologies: BTreeMap<String, (Seen, Timeline)>,
    /// Of the cluster.
    pub cluster: Timeline,
    machines: Option<Machines>,
    /// What this nimbus wrote last for each topology, and why.
    purposes: BTreeMap<String, &'static str>,
}

#[cfg(test)]
mod tests;
