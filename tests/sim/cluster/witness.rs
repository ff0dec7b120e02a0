//! Sees every change of the store as it happens, and every process that starts, and holds both
//! against what must be true of them at any time.

use std::collections::{BTreeMap, BTreeSet};

use coordination::{Change, Key, Keys, Revision, Watch, decode};
use nimbus::engine::command::{Plan, Write};
use nimbus::engine::view::View;
use proto::store::{
    AssignedRecord, AssignmentRecord, TopologyRecord, TopologyStatus, WorkerRecord,
};
use proto::supervisor::RoutingTable;
use supervisor::engine::Epoch;
use worker::executor::seating::OwnExecutor;

use super::events::By;
use super::executors::overlap;
use super::history::{History, is_legal};
use super::plan::MS;
use super::process::Process;
use super::store::{Etcd, poll_next};

/// A silence that is less than this proves nothing, and so does one in so short a term.
const SILENT: u64 = 1_400 * MS;
const TERM: u64 = 2_900 * MS;

/// Nor does one that is less than this, though its stream ended.
const SEVERED: u64 = 700 * MS;

/// Nor does one that is less than this while a worker of that machine reports itself.
const AWAY: u64 = 29_900 * MS;

/// A supervisor, and a topology that has a worker there.
pub(super) type Machine = (String, String);

/// A worker's assignment, and the revision of its record.
type Assigned = (AssignmentRecord, Revision);

/// All that the store held and holds, and all that was started.
pub(super) struct Witness {
    keys: Keys,
    stream: Watch,
    /// The revision at which whoever leads was elected.
    pub(super) leader: Option<Revision>,
    names: BTreeMap<String, String>,
    pub(super) topologies: BTreeMap<String, TopologyRecord>,
    pub(super) assigned: BTreeMap<String, AssignedRecord>,
    pub(super) assignments: BTreeMap<(String, u64, u32), Assigned>,
    pub(super) workers: BTreeMap<(String, u32), WorkerRecord>,
    /// Every worker that was ever in force: its epoch, and where.
    in_force: BTreeSet<(String, u32, Revision, String, u32)>,
    /// Which worker has each task under each ownership.
    owners: BTreeMap<(String, u32, u64), u32>,
    /// Every epoch that a process had, and every incarnation that an executor had.
    epochs: BTreeSet<(String, u32, Epoch)>,
    incarnations: BTreeSet<(String, u32, u64)>,
    pub(super) history: History,
    /// Executors that nobody asked to move, and did.
    pub(super) moves: u64,
    /// What supervisors wrote with calls that they had given up: it stays under their leases, though
    /// it may have been withdrawn in the meantime.
    pub(super) given_up: BTreeSet<String>,
    /// Sabotage: who is not listened to until when, and when it spoke last.
    pub(super) deaf: BTreeMap<String, u64>,
    pub(super) talks: BTreeMap<String, u64>,
    /// Whose stream of reports ended since.
    pub(super) hung_up: BTreeSet<String>,
}

/// The first part of the epoch of an assignment.
pub(super) fn epoch_of((record, revision): &Assigned) -> Revision {
    if record.epoch_revision == 0 { *revision } else { record.epoch_revision }
}

impl Witness {
    pub(super) fn new(etcd: &Etcd, keys: &Keys) -> Self {
        Self {
            keys: keys.clone(),
            stream: etcd.watch(1).expect("the store is there"),
            leader: None,
            names: BTreeMap::new(),
            topologies: BTreeMap::new(),
            assigned: BTreeMap::new(),
            assignments: BTreeMap::new(),
            workers: BTreeMap::new(),
            in_force: BTreeSet::new(),
            owners: BTreeMap::new(),
            epochs: BTreeSet::new(),
            incarnations: BTreeSet::new(),
            history: History::default(),
            moves: 0,
            given_up: BTreeSet::new(),
            deaf: BTreeMap::new(),
            talks: BTreeMap::new(),
            hung_up: BTreeSet::new(),
        }
    }

    /// Takes in what changed; the last change may be a transaction of somebody.
    pub(super) fn look(&mut self, last: Option<(Revision, By)>, now: u64) {
        while let Some(shown) = poll_next(&mut self.stream) {
            let changes = shown.expect("the witness is never behind");
            for group in changes.chunk_by(|a, b| a.revision() == b.revision()) {
                let by = last.as_ref().filter(|(at, _)| *at == group[0].revision());
                self.take(group, by.map(|(_, by)| by), now);
            }
        }
    }

    fn take(&mut self, group: &[Change], by: Option<&By>, now: u64) {
        if let Some(By::Plan { term, purpose, .. }) = by {
            let leader = self.leader;
            assert_eq!(leader, Some(*term), "{purpose}: written by a nimbus that does not lead");
        }
        let mut touched = BTreeSet::new();
        let before: BTreeMap<String, TopologyStatus> =
            self.topologies.iter().map(|(id, it)| (id.clone(), it.status())).collect();
        let forces_before = self.assigned.clone();
        for change in group {
            self.apply(change, &mut touched);
        }
        for (name, id) in &touched {
            let there = self.topologies.get(id).filter(|_| self.names.get(name) == Some(id));
            let state = there.map(|record| (id.clone(), record.status()));
            let other = self.names.get(name).is_some_and(|of| of != id);
            if !other {
                self.history.set(name, state, now);
            }
        }
        if let Some(By::Plan { purpose, request, .. }) = by {
            for (name, id) in &touched {
                let after = self.topologies.get(id).map(TopologyRecord::status);
                let legal = is_legal((purpose, request.is_some()), before.get(id).copied(), after);
                let was = before.get(id);
                assert!(legal, "I9: `{purpose}` made {name} {after:?}, which was {was:?}");
                if let Some(request) = request {
                    self.history.apply(request, id, now);
                }
            }
        }
        for (id, assigned) in self.assigned.clone() {
            if forces_before.get(&id) != Some(&assigned) {
                self.in_force(&id, assigned, forces_before.get(&id).copied());
            }
        }
    }

    /// Takes one change in; notes the names and ids of topologies whose records it touches.
    fn apply(&mut self, change: &Change, touched: &mut BTreeSet<(String, String)>) {
        let Some(key) = self.keys.parse(change.key()) else { return };
        let entry = match change {
            Change::Put(entry) => Some(entry),
            Change::Deleted { .. } => None,
        };
        match key {
            Key::Leader => self.leader = entry.map(|entry| entry.created),
            Key::Name { name } => match entry {
                Some(entry) => {
                    let id = String::from_utf8_lossy(&entry.value).into_owned();
                    let before = self.names.insert(name.clone(), id);
                    assert_eq!(before, None, "I9: the name {name} was taken twice");
                }
                None => drop(self.names.remove(&name)),
            },
            Key::Topology { id } => match entry.map(decode::<TopologyRecord>) {
                Some(record) => {
                    let record = record.expect("a record is whole");
                    touched.insert((record.name.clone(), id.clone()));
                    self.topologies.insert(id, record);
                }
                None => {
                    let gone = self.topologies.remove(&id);
                    touched.extend(gone.map(|it| (it.name, id)));
                }
            },
            Key::Assigned { topology } => match entry {
                Some(entry) => {
                    let record = decode(entry).expect("a record is whole");
                    self.assigned.insert(topology, record);
                }
                None => drop(self.assigned.remove(&topology)),
            },
            Key::Assignment { topology, generation, worker } => {
                let key = (topology, generation, worker);
                match entry {
                    Some(entry) => {
                        let record = decode(entry).expect("a record is whole");
                        self.assignments.insert(key, (record, entry.modified));
                    }
                    None => drop(self.assignments.remove(&key)),
                }
            }
            Key::Worker { topology, worker } => match entry {
                Some(entry) => self.announced((topology, worker), decode(entry)),
                None => drop(self.workers.remove(&(topology, worker))),
            },
            _ => {}
        }
    }

    fn announced(
        &mut self,
        worker: (String, u32),
        record: Result<WorkerRecord, coordination::Error>,
    ) {
        let record = record.expect("a record is whole");
        let epoch = |it: &WorkerRecord| it.epoch.map(Epoch::from).unwrap_or_default();
        if let Some(before) = self.workers.get(&worker) {
            let (was, is) = (epoch(before), epoch(&record));
            assert!(was <= is, "I4: the record of {worker:?} went back from {was} to {is}");
        }
        self.workers.insert(worker, record);
    }

    /// The workers of a generation.
    pub(super) fn generation(&self, id: &str, generation: u64) -> Vec<&Assigned> {
        let first = (id.to_owned(), generation, 0);
        let last = (id.to_owned(), generation, u32::MAX);
        self.assignments.range(first..=last).map(|(_, assigned)| assigned).collect()
    }

    /// A generation comes into force: it is whole, and nothing of it belongs to two.
    fn in_force(&mut self, id: &str, assigned: AssignedRecord, before: Option<AssignedRecord>) {
        let workers: Vec<Assigned> =
            self.generation(id, assigned.generation).into_iter().cloned().collect();
        let count = workers.len();
        assert_eq!(count, assigned.workers as usize, "I4: {id} came into force in part");
        let executors = || workers.iter().flat_map(|(record, _)| &record.executors);
        let mut tasks: Vec<u32> = executors().flat_map(|it| it.first_task..it.end_task).collect();
        tasks.sort_unstable();
        let whole = tasks.iter().copied().eq(0..8);
        assert!(whole, "I4: each task of {id} has one owner, but: {tasks:?}");
        let old: Vec<Assigned> = before.map_or_else(Vec::new, |before| {
            self.generation(id, before.generation).into_iter().cloned().collect()
        });
        for new in &workers {
            self.comes_into_force(id, new, &old);
        }
    }

    fn comes_into_force(&mut self, id: &str, new: &Assigned, old: &[Assigned]) {
        let (record, epoch) = (&new.0, epoch_of(new));
        let place = |it: &AssignmentRecord| (it.supervisor.clone(), it.slot);
        let same = |it: &&Assigned| it.0.worker == record.worker;
        if let Some(before) = old.iter().find(same) {
            let stays = place(&before.0) == place(record);
            let was = epoch_of(before);
            let fits = if stays { epoch == was } else { epoch > was };
            assert!(fits, "I4: w{} of {id} has epoch {epoch} after {was}", record.worker);
        }
        for executor in &record.executors {
            for task in executor.first_task..executor.end_task {
                let owned = (id.to_owned(), task, executor.ownership);
                let owner = *self.owners.entry(owned).or_insert(record.worker);
                let one = owner == record.worker;
                assert!(one, "I4: task {task} of {id} has two owners of one ownership");
            }
        }
        let (supervisor, slot) = place(record);
        self.in_force.insert((id.to_owned(), record.worker, epoch, supervisor, slot));
    }

    /// A nimbus decided to place something anew: whoever loses a worker must have been silent.
    pub(super) fn judge_moves(
        &mut self,
        plan: &Plan,
        view: &View,
        (heard, direct, elected): (&BTreeMap<String, u64>, &BTreeMap<Machine, u64>, u64),
        now: u64,
    ) {
        let asked = view.topologies.get(&plan.topology).map(|it| it.record.status());
        let places = plan.decide.iter().any(|write| matches!(write, Write::Assigned(_)));
        if asked == Some(TopologyStatus::Rebalancing) || !places {
            return;
        }
        let stays = |old: &AssignmentRecord| {
            plan.prepare.iter().any(|write| match write {
                Write::Assignment(new) => {
                    (new.worker, &new.supervisor, new.slot)
                        == (old.worker, &old.supervisor, old.slot)
                }
                _ => false,
            })
        };
        let crowded = view.crowded();
        let crowded =
            |old: &AssignmentRecord| crowded.contains(&(old.topology.clone(), old.worker));
        let left = view.in_force(&plan.topology).map(|old| &old.record);
        for old in left.filter(|old| !stays(old) && !crowded(old)) {
            self.moves += 1;
            let supervisor = &old.supervisor;
            let at = |times: &BTreeMap<String, u64>| times.get(supervisor).copied().unwrap_or(0);
            let silence = now - at(heard).max(at(&self.talks)).max(elected);
            let lives = direct.iter().any(|((of, topology), at)| {
                let recent = *at >= elected && now - at < SILENT;
                recent && of == supervisor && view.assigned.contains_key(topology)
            });
            let severed = self.hung_up.contains(supervisor);
            let least = match lives {
                true => AWAY,
                false if severed => SEVERED,
                false => SILENT,
            };
            let evidence = silence >= least && now - elected >= TERM;
            let (worker, ms) = (old.worker, silence / MS);
            assert!(evidence, "w{worker} was moved from {supervisor}, which was heard {ms} ms ago");
        }
    }

    /// A process starts.
    pub(super) fn started(&mut self, process: &Process, all: &[Process], now: u64) {
        let Process { placement, epoch, machine, .. } = process;
        let (id, worker, slot) = (placement.topology.clone(), placement.worker, placement.slot);
        let supervisor = format!("m{machine}");
        let was = (id.clone(), worker, epoch.revision, supervisor, slot);
        assert!(
            self.in_force.contains(&was),
            "I4: w{worker} of {id} starts as {epoch} at {now}, which was never in force"
        );
        let twin = |it: &&Process| {
            it.alive && it.machine == *machine && it.placement.same_worker(placement)
        };
        assert!(
            !all.iter().any(|it| twin(&it)),
            "I4: w{worker} of {id} starts as {epoch} before the one before has ended"
        );
        let fresh = self.epochs.insert((id.clone(), worker, *epoch));
        assert!(fresh, "I4: epoch {epoch} of w{worker} of {id} is given to two processes");
        for executor in &placement.assignment.executors {
            let incarnation = executor.incarnation + epoch.restarts;
            let fresh = self.incarnations.insert((id.clone(), executor.index, incarnation));
            let index = executor.index;
            assert!(
                fresh,
                "I4: incarnation {incarnation} of executor {index} of {id} is used twice"
            );
        }
    }

    /// An executor starts: nobody else processes tuples of its tasks, save for workers that were
    /// replaced and do not know it yet: whoever meets them refuses them.
    pub(super) fn runs(
        &self,
        (process, place): (usize, (usize, usize)),
        executor: &OwnExecutor,
        all: &[Process],
    ) {
        if self.is_retired(&all[process]) {
            return;
        }
        let id = &all[process].placement.topology;
        for (at, other) in all.iter().enumerate() {
            if !other.alive || other.placement.topology != *id || self.is_retired(other) {
                continue;
            }
            let mut running = other.executors.running();
            let twin = running.find(|(there, it)| {
                (at, *there) != (process, place) && overlap(&it.tasks, &executor.tasks)
            });
            let (tasks, ownership) = (&executor.tasks, executor.ownership);
            assert!(
                twin.is_none(),
                "I4: p{process} processes tasks {tasks:?} of {id} (ownership {ownership}) while p{at} does"
            );
        }
    }

    /// Tells whether the store says that a process is not the incarnation any more that it was.
    fn is_retired(&self, process: &Process) -> bool {
        let Process { placement, epoch, .. } = process;
        let Some(assigned) = self.assigned.get(&placement.topology) else { return true };
        let key = (placement.topology.clone(), assigned.generation, placement.worker);
        let in_force = self.assignments.get(&key).map(epoch_of);
        let known = self.workers.get(&(placement.topology.clone(), placement.worker));
        let known = known.and_then(|it| it.epoch).map(Epoch::from);
        in_force != Some(epoch.revision) || known.is_some_and(|known| known > *epoch)
    }

    /// A process gets a routing table.
    pub(super) fn told(&self, process: &Process, table: &RoutingTable) {
        let tasks = table.workers.iter().flat_map(|route| &route.executors);
        let mut tasks: Vec<u32> = tasks.flat_map(|it| it.first_task..it.end_task).collect();
        tasks.sort_unstable();
        let id = &process.placement.topology;
        assert!(tasks.iter().copied().eq(0..8), "I4: a table of {id} gives a task to two");
    }
}
