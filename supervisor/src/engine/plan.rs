//! What the store says, and which of it concerns the slots of this supervisor.
//!
//! Only the generation named by `assigned/<topology>` counts, and only when all its workers are in
//! view: a half-seen generation changes nothing, so no worker is stopped because a list arrived
//! before the flip or a deletion after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::store::{
    AssignedRecord, AssignmentRecord, LeaderRecord, NimbusRecord, TopologyRecord, TopologyStatus,
    WorkerRecord,
};
use proto::supervisor::desired_state::State as DesiredState;

use super::{Epoch, Fact, Stamped};

/// What one slot is to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The slot.
    pub slot: u32,
    /// Id of the topology.
    pub topology: String,
    /// Name of the topology.
    pub name: String,
    /// The worker's number within the topology.
    pub worker: u32,
    /// First part of its epoch.
    pub revision: u64,
    /// Where counting restarts begins, if this supervisor does not know better.
    pub restarts_min: u64,
    /// SHA-256 of the binary.
    pub digest: String,
    /// Arguments of the binary.
    pub arguments: Vec<String>,
    /// Configuration of the topology.
    pub config: BTreeMap<String, String>,
    /// Its executors.
    pub assignment: Arc<AssignmentRecord>,
}

impl Placement {
    /// Tells whether both are the same worker under the same assignment: a process of the one
    /// may go on as the other.
    #[must_use]
    pub fn continues(&self, other: &Self) -> bool {
        self.same_worker(other) && self.revision == other.revision
    }

    /// Tells whether both are the same worker, be it under another assignment.
    #[must_use]
    pub fn same_worker(&self, other: &Self) -> bool {
        self.topology == other.topology && self.worker == other.worker
    }
}

/// The workers of a topology's generation in force.
#[derive(Debug, PartialEq)]
pub enum InForce<'a> {
    /// Nothing is assigned.
    Nothing,
    /// Assigned, but not all of it was seen: change nothing.
    Unknown,
    /// All workers of the generation, and the revision at which it came into force.
    Complete(Vec<&'a Stamped<AssignmentRecord>>, u64),
}

/// What the slots of one supervisor are to run.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// By slot.
    pub wanted: BTreeMap<u32, Placement>,
    /// Topologies of which too little is known: their slots stay as they are.
    pub held: BTreeSet<String>,
}

/// What the store says.
#[derive(Debug, Default)]
pub struct View {
    /// A snapshot was seen: what is not here is not in the store.
    seen: bool,
    topologies: BTreeMap<String, TopologyRecord>,
    assigned: BTreeMap<String, Stamped<AssignedRecord>>,
    assignments: BTreeMap<String, BTreeMap<(u64, u32), Stamped<AssignmentRecord>>>,
    workers: BTreeMap<String, BTreeMap<u32, Stamped<WorkerRecord>>>,
    leader: Option<Stamped<LeaderRecord>>,
    nimbuses: BTreeMap<String, NimbusRecord>,
    /// How often a generation older than the one in force was refused.
    refused: u64,
}

impl View {
    /// Forgets everything and takes these facts instead; generations still do not go back.
    pub fn replace(&mut self, facts: Vec<Fact>) {
        let before = std::mem::take(self);
        let there = |topology: &String| {
            facts.iter().any(|fact| matches!(fact, Fact::Assigned(id, Some(_)) if id == topology))
        };
        self.assigned = before.assigned;
        self.assigned.retain(|topology, _| there(topology));
        (self.seen, self.refused) = (true, before.refused);
        facts.into_iter().for_each(|fact| self.apply(fact));
    }

    /// Takes one fact.
    pub fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Topology(id, record) => set(&mut self.topologies, id, record.map(|r| *r)),
            Fact::Assigned(id, record) => self.assign(id, record),
            Fact::Assignment { topology, generation, worker, record } => {
                set_below(&mut self.assignments, topology, (generation, worker), record);
            }
            Fact::Worker { topology, worker, record } => {
                set_below(&mut self.workers, topology, worker, record);
            }
            Fact::Leader(record) => self.leader = record,
            Fact::Nimbus(id, record) => set(&mut self.nimbuses, id, record),
        }
    }

    /// Puts a generation in force, unless it is older than the one that is: only a nimbus that does
    /// not lead any more would write that, and its workers are those of then.
    fn assign(&mut self, topology: String, record: Option<Stamped<AssignedRecord>>) {
        let known = self.assigned.get(&topology).map_or(0, |known| known.record.generation);
        if record.as_ref().is_some_and(|record| record.record.generation < known) {
            self.refused += 1;
            return;
        }
        set(&mut self.assigned, topology, record);
    }

    /// Returns how often a generation older than the one in force was refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns where the nimbuses are that have a binary, the leader last.
    #[must_use]
    pub fn holders(&self, digest: &str) -> Vec<String> {
        let leader = self.leader.as_ref().map(|leader| leader.record.address.as_str());
        let have = |nimbus: &&NimbusRecord| nimbus.digests.iter().any(|it| it == digest);
        let have = self.nimbuses.values().filter(have).map(|nimbus| nimbus.address.as_str());
        let mut addresses: Vec<String> =
            have.filter(|address| Some(*address) != leader).map(str::to_owned).collect();
        // It is asked though it does not say that it has it: that may have changed just now.
        addresses.extend(leader.map(str::to_owned));
        addresses
    }

    /// Tells whether a snapshot was seen.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.seen
    }

    /// Tells whether a topology exists.
    #[must_use]
    pub fn knows(&self, topology: &str) -> bool {
        self.topologies.contains_key(topology)
    }

    /// Returns the leading nimbus.
    #[must_use]
    pub fn leader(&self) -> Option<&Stamped<LeaderRecord>> {
        self.leader.as_ref()
    }

    /// Returns where the nimbuses are, the leading one first.
    #[must_use]
    pub fn nimbuses(&self) -> Vec<String> {
        let leader = self.leader.iter().map(|leader| &leader.record.address);
        let mut addresses: Vec<String> = leader.cloned().collect();
        for record in self.nimbuses.values() {
            if !addresses.contains(&record.address) {
                addresses.push(record.address.clone());
            }
        }
        addresses
    }

    /// Returns what the spouts of a topology may do, if the topology is known.
    #[must_use]
    pub fn desired_state(&self, topology: &str) -> Option<DesiredState> {
        let record = self.topologies.get(topology)?;
        let state = match record.status() {
            TopologyStatus::Unspecified => return None,
            TopologyStatus::Active => DesiredState::Active,
            TopologyStatus::Inactive => DesiredState::Inactive,
            // Only what moves stops, and that does so by itself.
            TopologyStatus::Rebalancing => match record.pending.as_ref().map(|it| it.resume()) {
                Some(TopologyStatus::Inactive) => DesiredState::Inactive,
                _ => DesiredState::Active,
            },
            TopologyStatus::Finished | TopologyStatus::Killed => DesiredState::Draining,
        };
        Some(state)
    }

    /// Returns the record of a topology, if it is known.
    #[must_use]
    pub fn topology(&self, id: &str) -> Option<&TopologyRecord> {
        self.topologies.get(id)
    }

    /// Returns the workers of a topology's generation in force.
    #[must_use]
    pub fn in_force(&self, topology: &str) -> InForce<'_> {
        if !self.seen {
            return InForce::Unknown;
        }
        let Some(assigned) = self.assigned.get(topology) else { return InForce::Nothing };
        let generation = assigned.record.generation;
        let workers: Vec<_> = self
            .assignments
            .get(topology)
            .into_iter()
            .flat_map(|all| all.range((generation, 0)..=(generation, u32::MAX)))
            .map(|(_, assignment)| assignment)
            .collect();
        if workers.len() < assigned.record.workers as usize {
            return InForce::Unknown;
        }
        InForce::Complete(workers, assigned.revision)
    }

    /// Returns the records that supervisors wrote about a topology's workers.
    pub fn workers(&self, topology: &str) -> impl Iterator<Item = &Stamped<WorkerRecord>> {
        self.workers.get(topology).into_iter().flat_map(BTreeMap::values)
    }

    /// Returns what the slots of `supervisor` are to run.
    #[must_use]
    pub fn plan(&self, supervisor: &str) -> Plan {
        let mut plan = Plan::default();
        for topology in self.assigned.keys() {
            let InForce::Complete(workers, _) = self.in_force(topology) else {
                plan.held.insert(topology.clone());
                continue;
            };
            for assignment in workers.iter().filter(|a| a.record.supervisor == supervisor) {
                let Some(placement) = self.placement(topology, assignment) else {
                    plan.held.insert(topology.clone());
                    continue;
                };
                // Two workers in one slot are a mistake of the scheduler: the newer one is meant.
                let newer = plan
                    .wanted
                    .get(&placement.slot)
                    .is_none_or(|other| other.revision < placement.revision);
                if newer {
                    plan.wanted.insert(placement.slot, placement);
                }
            }
        }
        plan
    }

    fn placement(
        &self,
        topology: &str,
        assignment: &Stamped<AssignmentRecord>,
    ) -> Option<Placement> {
        let record = self.topologies.get(topology)?;
        let worker = assignment.record.worker;
        let revision = revision_of(assignment);
        let restarts_min = self
            .workers(topology)
            .filter(|known| known.record.worker == worker)
            .filter_map(|known| known.record.epoch.map(Epoch::from))
            .filter(|epoch| epoch.revision == revision)
            .map(|epoch| epoch.next().restarts)
            .max()
            .unwrap_or(0);
        Some(Placement {
            slot: assignment.record.slot,
            topology: topology.to_owned(),
            name: record.name.clone(),
            worker,
            revision,
            restarts_min,
            digest: record.digest.clone(),
            arguments: record.arguments.clone(),
            config: record.spec.as_ref().map(|spec| spec.config.clone()).unwrap_or_default(),
            assignment: Arc::new(assignment.record.clone()),
        })
    }
}

/// Returns the first part of the epoch that an assignment gives its worker.
#[must_use]
pub fn revision_of(assignment: &Stamped<AssignmentRecord>) -> u64 {
    match assignment.record.epoch_revision {
        0 => assignment.revision,
        revision => revision,
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn set_below<K: Ord, V>(
    map: &mut BTreeMap<String, BTreeMap<K, V>>,
    topology: String,
    key: K,
    value: Option<V>,
) {
    let below = map.entry(topology.clone()).or_default();
    set(below, key, value);
    if below.is_empty() {
        map.remove(&topology);
    }
}
