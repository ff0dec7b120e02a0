//! From where executors go to the records that say so: a new generation of assignments.
//!
//! A worker whose slot and executors stay the same keeps its epoch, so it runs on untouched. Any
//! other gets a new epoch (the revision of its new record), and its executors get incarnations that
//! none of them had before at that place in the routing table, so that late acks are told apart.

use std::collections::BTreeMap;

use proto::store::{AssignmentRecord, ExecutorRecord, TopologyRecord};
use topology_api::ExecutorDescription;

use super::scheduler::Placement;
use super::view::{Versioned, epoch_revision};

/// Incarnations that are left out when an executor starts anew: room for restarts that nobody has
/// told this nimbus of.
const INCARNATIONS_SPARE: u64 = 8;

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
}

impl Draft<'_> {
    /// Makes the records of the generation that puts everything where `placements` says.
    #[must_use]
    pub(super) fn assignments(&self, placements: &[Placement]) -> Vec<AssignmentRecord> {
        let old = self.old();
        placements.iter().map(|placement| self.assignment(placement, &old)).collect()
    }

    fn assignment(&self, placement: &Placement, old: &Old<'_>) -> AssignmentRecord {
        let before = old.workers.get(&placement.worker).copied();
        let executors: Vec<_> =
            placement.executors.iter().map(|index| self.executor(*index)).collect();
        let same = |before: &&Versioned<AssignmentRecord>| {
            let record = &before.record;
            let ids = |executor: &ExecutorRecord| {
                (executor.index, executor.first_task, executor.end_task)
            };
            record.supervisor == placement.slot.supervisor
                && record.slot == placement.slot.slot
                && record.executors.iter().map(ids).eq(executors.iter().map(ids))
        };
        let kept = before.filter(same);
        let executors = match kept {
            Some(before) => before.record.executors.clone(),
            None => executors.into_iter().map(|new| old.incarnate(new, placement)).collect(),
        };
        AssignmentRecord {
            topology: self.record.id.clone(),
            generation: self.generation,
            worker: placement.worker,
            supervisor: placement.slot.supervisor.clone(),
            slot: placement.slot.slot,
            executors,
            epoch_revision: kept.map_or(0, epoch_revision),
        }
    }

    fn executor(&self, index: u32) -> ExecutorRecord {
        let executor = &self.executors[index as usize];
        let component = self.record.spec.as_ref().and_then(|spec| {
            let component = spec.components.get(executor.component)?;
            Some(component.name.clone())
        });
        ExecutorRecord {
            index,
            component: component.unwrap_or_default(),
            first_task: executor.tasks.start,
            end_task: executor.tasks.end,
            ..ExecutorRecord::default()
        }
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
                old.owners.push((executor, worker));
            }
        }
        old.owners.sort_unstable_by_key(|(executor, _)| executor.first_task);
        old
    }
}

/// What was in force before, by what is asked of it.
#[derive(Debug, Default)]
struct Old<'a> {
    workers: BTreeMap<u32, &'a Versioned<AssignmentRecord>>,
    /// The incarnation that comes next at each place in the routing table.
    incarnations: BTreeMap<u32, u64>,
    /// Executors and their workers, by first task. No two had a task in common.
    owners: Vec<(&'a ExecutorRecord, u32)>,
}

impl Old<'_> {
    /// Gives an executor that starts anew what sets it apart from whatever had its place, and from
    /// whoever owned its tasks.
    fn incarnate(&self, mut executor: ExecutorRecord, placement: &Placement) -> ExecutorRecord {
        // A place that was gone for a while may have had any of those that the others have.
        let highest = || self.incarnations.values().max().copied().unwrap_or(0);
        executor.incarnation =
            self.incarnations.get(&executor.index).copied().unwrap_or_else(highest);
        let end = self.owners.partition_point(|(old, _)| old.first_task < executor.end_task);
        let owners = self.owners[..end].iter().rev();
        for (old, worker) in owners.take_while(|(old, _)| executor.first_task < old.end_task) {
            let moved = u64::from(*worker != placement.worker);
            executor.ownership = executor.ownership.max(old.ownership + moved);
        }
        executor
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
        let record = record();
        let executors = executors(record.spec.as_ref().unwrap(), &BTreeMap::new());
        let before: Vec<_> = before.iter().collect();
        let draft = Draft {
            record: &record,
            generation: 2,
            executors: &executors,
            before: &before,
            restarts: &[(0, 3)].into(),
        };
        draft.assignments(placements)
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
    fn a_worker_that_stays_keeps_its_epoch_and_one_that_moves_gets_a_new_one() {
        let next = draft(&first(), &[place(0, "c", &[0, 2]), place(1, "b", &[1, 3])]);
        assert_eq!(next[1].epoch_revision, 70, "it stays as it is");
        assert_eq!(next[1].executors, first()[1].record.executors);
        assert_eq!(next[0].epoch_revision, 0, "it moves");
        assert_eq!(next[0].executors[0].incarnation, 3 + INCARNATIONS_SPARE);
        assert_eq!(next[0].executors[0].ownership, 0, "the same worker owns its tasks");
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
        assert_eq!(next[0].epoch_revision, 0, "it runs something else now");
        let ownerships: Vec<u64> = next[0].executors.iter().map(|e| e.ownership).collect();
        assert_eq!(ownerships, [1, 0, 1, 0]);
        let incarnations: Vec<u64> = next[0].executors.iter().map(|e| e.incarnation).collect();
        assert_eq!(incarnations, [11, 8, 11, 8], "worker 0 was restarted three times");
    }
}
