//! From where executors go to the records that say so: a new generation of assignments.
//!
//! A worker whose slot stays keeps its epoch, so its process runs on, whatever executors come and go.
//! Any other gets a new epoch (the revision of its new record). An executor stays what it is as long
//! as its worker and its tasks are the same. One that begins anew gets an incarnation that none had
//! before at its place in the routing table, so that late acks are told apart; and where its tasks
//! were another executor's, their ownership rises, and it is told who may have them still.
//!
//! A live worker that is to have nothing any more stays for a while with no executors: it ends what
//! it has, and what it sent last arrives. The generation after that leaves it out.

use std::collections::{BTreeMap, BTreeSet};

use proto::store::{AssignmentRecord, ExecutorRecord, Former, TopologyRecord};
use topology_api::ExecutorDescription;

use super::scheduler::{Placement, Slot};
use super::view::{Versioned, epoch_revision};

/// Incarnations that are left out when an executor starts anew: room for restarts that nobody has
/// told this nimbus of.
const INCARNATIONS_SPARE: u64 = 8;

/// The highest index an executor can have: 14 bits in the ids of roots.
const INDEX_MAX: u32 = (1 << 14) - 1;

/// What a generation is made of.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    /// The topology.
    pub record: &'a TopologyRecord,
    /// The number of the new generation.
    pub generation: u64,
    /// Its executors, by index.
    pub executors: &'a [ExecutorDescription],
    /// What was in force before.
    pub before: &'a [&'a Versioned<AssignmentRecord>],
    /// How often each worker was restarted since.
    pub restarts: &'a BTreeMap<u32, u64>,
    /// Workers that are lost: they hold nothing.
    pub lost: &'a BTreeSet<u32>,
}

impl Draft<'_> {
    /// Makes the records of the generation that puts everything where `placements` says. `holds`
    /// tells whether a former owner may still have such tasks.
    #[must_use]
    pub(super) fn assignments(
        &self,
        placements: &[Placement],
        holds: impl Fn(&Former, &ExecutorRecord) -> bool,
    ) -> Vec<AssignmentRecord> {
        let old = self.old();
        let mut placements = placements.to_vec();
        self.drain(&mut placements);
        let of_placement = |placement: &Placement| {
            let kept = old.workers.get(&placement.worker).filter(|it| is_in(it, &placement.slot));
            let executors = placement.executors.iter().map(|at| {
                let new = self.executor(*at, &old);
                let own = kept.map(|kept| &kept.record.executors[..]).unwrap_or_default();
                let same = own.iter().find(|it| tasks(it) == tasks(&new));
                let mut executor = match same {
                    Some(same) => same.clone(),
                    None => self.incarnate(new, placement.worker, &old),
                };
                let formers = std::mem::take(&mut executor.formers);
                let formers = formers.into_iter().filter(|former| holds(former, &executor));
                executor.formers = formers.collect();
                executor
            });
            AssignmentRecord {
                topology: self.record.id.clone(),
                generation: self.generation,
                worker: placement.worker,
                supervisor: placement.slot.supervisor.clone(),
                slot: placement.slot.slot,
                executors: executors.collect(),
                epoch_revision: kept.map_or(0, |kept| epoch_revision(kept)),
            }
        };
        placements.iter().map(of_placement).collect()
    }

    /// Keeps live workers that have no place any more, with nothing to run. Who was to have such a
    /// worker's number elsewhere gets another: both are there for a while.
    fn drain(&self, placements: &mut Vec<Placement>) {
        let mut draining = Vec::new();
        let slots: BTreeMap<u32, &Slot> =
            placements.iter().map(|placement| (placement.worker, &placement.slot)).collect();
        for before in self.before.iter().filter(|it| !self.lost.contains(&it.record.worker)) {
            let AssignmentRecord { worker, supervisor, slot, .. } = &before.record;
            if !slots.get(worker).is_some_and(|slot| is_in(before, slot)) {
                let slot = Slot { supervisor: supervisor.clone(), slot: *slot };
                draining.push(Placement { worker: *worker, slot, executors: Vec::new() });
            }
        }
        let mut used: BTreeSet<u32> =
            self.before.iter().map(|before| before.record.worker).collect();
        used.extend(placements.iter().map(|placement| placement.worker));
        for placement in placements.iter_mut() {
            if draining.iter().any(|it| it.worker == placement.worker) {
                let free = (0..).find(|worker| !used.contains(worker));
                placement.worker = free.expect("numbers do not end");
                used.insert(placement.worker);
            }
        }
        placements.append(&mut draining);
        placements.sort_unstable_by_key(|placement| placement.worker);
    }

    fn executor(&self, at: u32, old: &Old<'_>) -> ExecutorRecord {
        let executor = &self.executors[at as usize];
        let component = self.record.spec.as_ref().and_then(|spec| {
            let component = spec.components.get(executor.component)?;
            Some(component.name.clone())
        });
        ExecutorRecord {
            index: old.indexes.get(&at).copied().unwrap_or(at),
            component: component.unwrap_or_default(),
            first_task: executor.tasks.start,
            end_task: executor.tasks.end,
            ..ExecutorRecord::default()
        }
    }

    /// Gives an executor that begins anew what sets it apart from whatever had its place, and from
    /// whoever owned its tasks.
    fn incarnate(&self, mut new: ExecutorRecord, worker: u32, old: &Old<'_>) -> ExecutorRecord {
        // A place that was gone for a while may have had any of those that the others have.
        let highest = || old.incarnations.values().max().copied().unwrap_or(0);
        new.incarnation = old.incarnations.get(&new.index).copied().unwrap_or_else(highest);
        let end = old.owners.partition_point(|(old, _)| old.first_task < new.end_task);
        let owners = old.owners[..end].iter().rev();
        for (owner, owner_worker) in owners.take_while(|(it, _)| new.first_task < it.end_task) {
            let before = owner_worker.record.worker;
            let moved = before != worker || tasks(owner) != tasks(&new);
            new.ownership = new.ownership.max(owner.ownership + u64::from(moved));
            new.formers.extend(owner.formers.iter().copied());
            if !self.lost.contains(&before) {
                new.formers.push(Former {
                    worker: before,
                    epoch_revision: epoch_revision(owner_worker),
                    generation: self.generation,
                });
            }
        }
        new
    }

    /// Sorts what was in force before.
    fn old(&self) -> Old<'_> {
        let mut old = Old::default();
        for before in self.before {
            let worker = before.record.worker;
            old.workers.entry(worker).or_insert(before);
            let restarts = self.restarts.get(&worker).copied().unwrap_or(0);
            for executor in &before.record.executors {
                let next = executor.incarnation + restarts + INCARNATIONS_SPARE;
                let known = old.incarnations.entry(executor.index).or_default();
                *known = next.max(*known);
                old.owners.push((executor, before));
            }
        }
        old.owners.sort_unstable_by_key(|(executor, _)| executor.first_task);
        old.number(self.executors);
        old
    }
}

/// The tasks of an executor, which tell it from others.
fn tasks(executor: &ExecutorRecord) -> (u32, u32) {
    (executor.first_task, executor.end_task)
}

fn is_in(before: &Versioned<AssignmentRecord>, slot: &Slot) -> bool {
    (&before.record.supervisor, before.record.slot) == (&slot.supervisor, slot.slot)
}

/// What was in force before, by what is asked of it.
#[derive(Debug, Default)]
struct Old<'a> {
    workers: BTreeMap<u32, &'a Versioned<AssignmentRecord>>,
    /// The incarnation that comes next at each place in the routing table.
    incarnations: BTreeMap<u32, u64>,
    /// Executors and their workers, by first task. No two had a task in common.
    owners: Vec<(&'a ExecutorRecord, &'a Versioned<AssignmentRecord>)>,
    /// By number in the new generation: the place of the executor in the routing table.
    indexes: BTreeMap<u32, u32>,
}

impl Old<'_> {
    /// Gives executors their places in the routing table: their old ones where their tasks are the
    /// same. New ones are higher than any before, as long as there are such: acks under way to an
    /// executor that was there should not find another.
    fn number(&mut self, executors: &[ExecutorDescription]) {
        if self.owners.is_empty() {
            return;
        }
        let used: BTreeSet<u32> = self.owners.iter().map(|(old, _)| old.index).collect();
        let above = used.last().map_or(0, |last| last + 1)..=INDEX_MAX;
        let mut fresh = above.chain((0..=INDEX_MAX).filter(|index| !used.contains(index)));
        let known: BTreeMap<(u32, u32), u32> =
            self.owners.iter().map(|(old, _)| (tasks(old), old.index)).collect();
        for executor in executors {
            let known = known.get(&(executor.tasks.start, executor.tasks.end));
            let index = known.copied().or_else(|| fresh.next());
            self.indexes.insert(executor.index, index.unwrap_or(executor.index));
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::store::{ComponentSpec, TopologySpec};

    use super::super::parallelism::executors;
    use super::super::scheduler::Slot;
    use super::*;

    fn record() -> TopologyRecord {
        let component = |name: &str| ComponentSpec {
            name: name.to_owned(),
            executors: 2,
            tasks: 2,
            ..ComponentSpec::default()
        };
        let components = vec![component("lines"), component("count")];
        let spec = Some(TopologySpec { components, ..TopologySpec::default() });
        TopologyRecord { id: "t".to_owned(), spec, ..TopologyRecord::default() }
    }

    fn place(worker: u32, supervisor: &str, executors: &[u32]) -> Placement {
        let slot = Slot { supervisor: supervisor.to_owned(), slot: 0 };
        Placement { worker, slot, executors: executors.to_vec() }
    }

    fn draft(
        before: &[Versioned<AssignmentRecord>],
        placements: &[Placement],
    ) -> Vec<AssignmentRecord> {
        draft_without(before, placements, &[])
    }

    fn draft_without(
        before: &[Versioned<AssignmentRecord>],
        placements: &[Placement],
        lost: &[u32],
    ) -> Vec<AssignmentRecord> {
        let record = record();
        let executors = executors(record.spec.as_ref().unwrap(), &BTreeMap::new());
        let before: Vec<_> = before.iter().collect();
        let draft = Draft {
            record: &record,
            generation: 2,
            executors: &executors,
            before: &before,
            restarts: &[(0, 3)].into(),
            lost: &lost.iter().copied().collect(),
        };
        draft.assignments(placements, |_, _| true)
    }

    fn first() -> Vec<Versioned<AssignmentRecord>> {
        let records = draft(&[], &[place(0, "a", &[0, 2]), place(1, "b", &[1, 3])]);
        records.into_iter().map(|record| Versioned { record, revision: 70 }).collect()
    }

    #[test]
    fn the_first_generation_begins_at_zero() {
        let first = first();
        assert_eq!(first[0].record.epoch_revision, 0, "the revision of its key");
        let [lines, count] = &first[0].record.executors[..] else { panic!("two executors") };
        assert_eq!((lines.component.as_str(), lines.first_task, lines.end_task), ("lines", 0, 1));
        assert_eq!((count.index, count.first_task, count.incarnation), (2, 2, 0));
    }

    #[test]
    fn a_worker_that_stays_keeps_its_epoch_and_one_that_is_lost_gets_a_new_one() {
        let placements = [place(0, "c", &[0, 2]), place(1, "b", &[1, 3])];
        let next = draft_without(&first(), &placements, &[0]);
        assert_eq!(next[1].epoch_revision, 70, "it stays as it is");
        assert_eq!(next[1].executors, first()[1].record.executors);
        assert_eq!(next[0].epoch_revision, 0, "it begins anew elsewhere");
        assert_eq!(next[0].executors[0].incarnation, 3 + INCARNATIONS_SPARE);
        assert_eq!(next[0].executors[0].ownership, 0, "the same worker owns its tasks");
        assert_eq!(next[0].executors[0].formers, [], "nobody else can have them");
    }

    /// (worker, indices of its executors, epoch).
    fn gist(records: &[AssignmentRecord]) -> Vec<(u32, Vec<u32>, u64)> {
        let indices = |record: &AssignmentRecord| -> Vec<u32> {
            record.executors.iter().map(|it| it.index).collect()
        };
        records.iter().map(|it| (it.worker, indices(it), it.epoch_revision)).collect()
    }

    #[test]
    fn a_live_worker_that_goes_to_another_slot_is_emptied_and_another_takes_its_executors() {
        let next = draft(&first(), &[place(0, "c", &[0, 2]), place(1, "b", &[1, 3])]);
        let expected = [(0, vec![], 70), (1, vec![1, 3], 70), (2, vec![0, 2], 0)];
        assert_eq!(gist(&next), expected);
        assert_eq!(next[0].supervisor, "a", "it ends what it has where it is");
    }

    #[test]
    fn an_executor_keeps_its_place_in_the_routing_table_when_those_before_it_become_fewer() {
        let fewer = [("lines".to_owned(), 1)].into();
        let executors = executors(record().spec.as_ref().unwrap(), &fewer);
        let before = first();
        let before: Vec<_> = before.iter().collect();
        let (record, restarts, lost) = (record(), BTreeMap::new(), BTreeSet::new());
        let (executors, restarts, lost) = (&executors[..], &restarts, &lost);
        let draft =
            Draft { record: &record, generation: 2, executors, before: &before, restarts, lost };
        let placements = [place(0, "a", &[0, 1]), place(1, "b", &[2])];
        let next = draft.assignments(&placements, |_, _| true);
        assert_eq!(gist(&next), [(0, vec![4, 2], 70), (1, vec![3], 70)], "`lines` is a new one");
        let lines = &next[0].executors[0];
        assert_eq!((lines.first_task, lines.end_task, lines.ownership), (0, 2, 1));
        let formers: Vec<u32> = lines.formers.iter().map(|former| former.worker).collect();
        assert_eq!(formers, [1, 0], "both had a task of it, also the one that gets it");
        assert_eq!(next[0].executors[1], before[0].record.executors[1], "`count` stays");
    }

    #[test]
    fn an_executor_that_comes_back_gets_no_incarnation_that_it_had() {
        let fewer = draft(&first(), &[place(0, "a", &[0, 1]), place(1, "b", &[2])]);
        let fewer: Vec<_> =
            fewer.into_iter().map(|record| Versioned { record, revision: 80 }).collect();
        let again = draft(&fewer, &[place(0, "a", &[0, 1]), place(1, "b", &[2, 3])]);
        let before = first()[1].record.executors[1].incarnation;
        assert!(again[1].executors[1].incarnation > before, "{:?}", again[1].executors);
    }

    #[test]
    fn executors_that_change_their_worker_raise_the_ownership_of_their_tasks() {
        let next = draft(&first(), &[place(1, "b", &[0, 1, 2, 3])]);
        assert_eq!(
            gist(&next),
            [(0, vec![], 70), (1, vec![0, 1, 2, 3], 70)],
            "nobody is restarted"
        );
        let ownerships: Vec<u64> = next[1].executors.iter().map(|e| e.ownership).collect();
        assert_eq!(ownerships, [1, 0, 1, 0]);
        let incarnations: Vec<u64> = next[1].executors.iter().map(|e| e.incarnation).collect();
        assert_eq!(incarnations, [11, 0, 11, 0], "worker 0 was restarted three times");
        let former = Former { worker: 0, epoch_revision: 70, generation: 2 };
        let formers: Vec<_> = next[1].executors.iter().map(|e| e.formers.clone()).collect();
        assert_eq!(formers, [vec![former], vec![], vec![former], vec![]]);
    }

    #[test]
    fn an_executor_that_moves_on_waits_for_everyone_who_may_have_its_tasks() {
        let later = |records: Vec<AssignmentRecord>| -> Vec<_> {
            records.into_iter().map(|record| Versioned { record, revision: 80 }).collect()
        };
        let moved = [place(0, "a", &[2]), place(1, "b", &[0, 1, 3])];
        let once = later(draft(&first(), &moved));
        let again = [place(0, "a", &[2]), place(1, "b", &[1, 3]), place(2, "c", &[0])];
        let formers = |records: Vec<AssignmentRecord>| -> Vec<u32> {
            records[2].executors[0].formers.iter().map(|former| former.worker).collect()
        };
        assert_eq!(formers(draft(&once, &again)), [0, 1], "the first may have it still");
        assert_eq!(formers(draft_without(&once, &again, &[1])), [0], "the second is lost");
    }
}
