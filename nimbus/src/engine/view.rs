//! What the store says, as the engine sees it: nothing is believed before the store shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordination::{Key, Revision};
use proto::store::{
    AssignedRecord, AssignmentRecord, LeaderRecord, NimbusRecord, RequestRecord, SupervisorRecord,
    TaskResult, TopologyRecord, TopologyStatus, WorkerRecord,
};

use super::event::{Fact, Record};

/// A record and the revision of its last change.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned<R> {
    /// The record.
    pub record: R,
    /// When it last changed.
    pub revision: Revision,
}

/// Every record of the cluster, as of one revision.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Revision of the newest change in it; 0 before the first snapshot.
    pub revision: Revision,
    /// Who leads.
    pub leader: Option<LeaderRecord>,
    /// Revision of the newest election it knows of, also when nobody leads any more.
    pub term: Revision,
    /// Nimbuses that are up, by id.
    pub nimbuses: BTreeMap<String, NimbusRecord>,
    /// Supervisors that are registered, by id.
    pub supervisors: BTreeMap<String, SupervisorRecord>,
    /// Topologies, by id.
    pub topologies: BTreeMap<String, Arc<Versioned<TopologyRecord>>>,
    /// Ids of topologies, by name.
    pub names: BTreeMap<String, String>,
    /// The generation in force, by topology.
    pub assigned: BTreeMap<String, AssignedRecord>,
    /// What workers run, by topology, generation and number.
    pub assignments: BTreeMap<(String, u64, u32), Versioned<AssignmentRecord>>,
    /// Where workers listen, by topology and number.
    pub workers: BTreeMap<(String, u32), WorkerRecord>,
    /// What tasks of finished topologies left, by topology and task.
    pub results: BTreeMap<(String, u32), TaskResult>,
    /// Answers to requests, by their id.
    pub requests: BTreeMap<String, RequestRecord>,
}

impl View {
    /// Replaces everything.
    pub fn replace(&mut self, facts: Vec<Fact>, revision: Revision) {
        *self = Self { revision, ..Self::default() };
        for fact in facts {
            self.apply(fact);
        }
    }

    /// Takes one change in.
    pub fn apply(&mut self, fact: Fact) {
        let Fact { key, record, revision } = fact;
        self.revision = self.revision.max(revision);
        match (key, record) {
            (Key::Leader, Some(Record::Leader(record))) => {
                self.leader = Some(record);
                self.term = self.term.max(revision);
            }
            (Key::Nimbus { id }, Some(Record::Nimbus(record))) => {
                self.nimbuses.insert(id, record);
            }
            (Key::Supervisor { id }, Some(Record::Supervisor(record))) => {
                self.supervisors.insert(id, record);
            }
            (Key::Topology { id }, Some(Record::Topology(record))) => {
                self.topologies.insert(id, Arc::new(Versioned { record: *record, revision }));
            }
            (Key::Name { name }, Some(Record::Name(id))) => {
                self.names.insert(name, id);
            }
            (Key::Assigned { topology }, Some(Record::Assigned(record))) => {
                self.assigned.insert(topology, record);
            }
            (
                Key::Assignment { topology, generation, worker },
                Some(Record::Assignment(record)),
            ) => {
                let versioned = Versioned { record, revision };
                self.assignments.insert((topology, generation, worker), versioned);
            }
            (Key::Worker { topology, worker }, Some(Record::Worker(record))) => {
                self.workers.insert((topology, worker), record);
            }
            (Key::Result { topology, task }, Some(Record::Result(result))) => {
                self.results.insert((topology, task), result);
            }
            (Key::Request { id }, Some(Record::Request(record))) => {
                self.requests.insert(id, record);
            }
            (key, None) => self.remove(key),
            // A record of another kind than its key is made of says nothing.
            (_, Some(_)) => {}
        }
    }

    fn remove(&mut self, key: Key) {
        match key {
            Key::Leader => self.leader = None,
            Key::Recovery => {}
            Key::Nimbus { id } => drop(self.nimbuses.remove(&id)),
            Key::Supervisor { id } => drop(self.supervisors.remove(&id)),
            Key::Topology { id } => drop(self.topologies.remove(&id)),
            Key::Name { name } => drop(self.names.remove(&name)),
            Key::Assigned { topology } => drop(self.assigned.remove(&topology)),
            Key::Assignment { topology, generation, worker } => {
                self.assignments.remove(&(topology, generation, worker));
            }
            Key::Worker { topology, worker } => drop(self.workers.remove(&(topology, worker))),
            Key::Result { topology, task } => drop(self.results.remove(&(topology, task))),
            Key::Request { id } => drop(self.requests.remove(&id)),
        }
    }

    /// Returns the topology of this name, or of this id.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Versioned<TopologyRecord>> {
        self.topologies.get(self.names.get(name).map_or(name, String::as_str)).map(Arc::as_ref)
    }

    /// Returns the assignments of the generation in force, by worker.
    pub fn in_force<'a>(
        &'a self,
        topology: &str,
    ) -> impl Iterator<Item = &'a Versioned<AssignmentRecord>> + use<'a> {
        let range = self.assigned.get(topology).map(|assigned| {
            let generation = assigned.generation;
            let first = (topology.to_owned(), generation, 0);
            self.assignments.range(first..=(topology.to_owned(), generation, u32::MAX))
        });
        range.into_iter().flatten().map(|(_, assignment)| assignment)
    }

    /// Returns every assignment in force, of all topologies.
    pub fn all_in_force(&self) -> impl Iterator<Item = &Versioned<AssignmentRecord>> {
        self.assigned.keys().flat_map(|topology| self.in_force(topology))
    }

    /// Returns the workers in force whose slot was given to another one later, as can happen when a
    /// write that got no answer is done after all: supervisors run the newer of the two.
    #[must_use]
    pub fn crowded(&self) -> BTreeSet<(String, u32)> {
        let mut holders: BTreeMap<(&str, u32), &Versioned<AssignmentRecord>> = BTreeMap::new();
        let mut crowded = BTreeSet::new();
        for held in self.all_in_force() {
            let slot = (held.record.supervisor.as_str(), held.record.slot);
            let Some(other) = holders.insert(slot, held) else { continue };
            let other_is_newer = epoch_revision(other) > epoch_revision(held);
            let (older, newer) = if other_is_newer { (held, other) } else { (other, held) };
            holders.insert(slot, newer);
            crowded.insert((older.record.topology.clone(), older.record.worker));
        }
        crowded
    }

    /// Returns the generations of a topology that have keys but are not in force.
    #[must_use]
    pub fn stale_generations(&self, topology: &str) -> Vec<u64> {
        let in_force = self.assigned.get(topology).map(|assigned| assigned.generation);
        let first = (topology.to_owned(), 0, 0);
        let range = self.assignments.range(first..=(topology.to_owned(), u64::MAX, u32::MAX));
        let mut generations: Vec<u64> = range.map(|((_, generation, _), _)| *generation).collect();
        generations.dedup();
        generations.retain(|generation| Some(*generation) != in_force);
        generations
    }

    /// Tells whether a topology uses the binary of this digest.
    #[must_use]
    pub fn uses(&self, digest: &str) -> bool {
        self.topologies.values().any(|topology| topology.record.digest == digest)
    }
}

/// Returns the first part of a worker's epoch.
#[must_use]
pub fn epoch_revision(assignment: &Versioned<AssignmentRecord>) -> u64 {
    match assignment.record.epoch_revision {
        0 => assignment.revision,
        revision => revision,
    }
}

/// Returns the status of a topology.
#[must_use]
pub fn status(record: &TopologyRecord) -> TopologyStatus {
    TopologyStatus::try_from(record.status).unwrap_or(TopologyStatus::Unspecified)
}
