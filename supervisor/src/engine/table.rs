//! The routing table of a topology: who has which tasks, at which address and epoch.
//!
//! Contract: a table of version v reflects every record of the topology up to store revision v,
//! so facts must be fed in the order of their revisions. Versions never go down. A route stays
//! when its key vanishes: a lost lease is no evidence of a lost worker. `since_version` is the
//! revision of the record that made the route's epoch known, or of one later than that: too high
//! replays a few tuples more, too low would let a tree complete that passed through a dead worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::store::{AssignmentRecord, Released, WorkerRecord};
use proto::supervisor::{RoutingTable, WorkerRoute};

use super::{Epoch, Stamped, plan};

/// What is known of one worker.
#[derive(Clone, Debug, Default)]
struct Known {
    epoch: Epoch,
    address: String,
    since: u64,
    released: Released,
}

impl Known {
    /// Takes what a record of this `epoch` says, unless a newer one has spoken.
    fn hear(&mut self, epoch: Epoch, address: &str, revision: u64) {
        if epoch > self.epoch {
            let (address, released) = (address.to_owned(), Released::default());
            *self = Self { epoch, address, since: revision, released };
        } else if epoch == self.epoch && !address.is_empty() {
            address.clone_into(&mut self.address);
        }
    }
}

/// Builds the routing tables of one topology, one after another.
#[derive(Debug, Default)]
pub struct Routes {
    known: BTreeMap<u32, Known>,
    table: Option<Arc<RoutingTable>>,
}

impl Routes {
    /// Returns the newest table, if any was built.
    #[must_use]
    pub fn table(&self) -> Option<&Arc<RoutingTable>> {
        self.table.as_ref()
    }

    /// Builds the table anew from the generation that came into force at revision `assigned`.
    pub fn update<'a>(
        &mut self,
        generation: &[&Stamped<AssignmentRecord>],
        assigned: u64,
        workers: impl Iterator<Item = &'a Stamped<WorkerRecord>>,
    ) {
        let mut version = self.table.as_ref().map_or(0, |table| table.version).max(assigned);
        self.known.retain(|worker, _| generation.iter().any(|a| a.record.worker == *worker));
        for assignment in generation {
            version = version.max(assignment.revision);
            let epoch = Epoch { revision: plan::revision_of(assignment), restarts: 0 };
            // Not before the flip: until then the old incarnation was routed to.
            self.known.entry(assignment.record.worker).or_default().hear(epoch, "", assigned);
        }
        for worker in workers {
            version = version.max(worker.revision);
            let Some(known) = self.known.get_mut(&worker.record.worker) else { continue };
            let epoch = worker.record.epoch.map(Epoch::from).unwrap_or_default();
            known.hear(epoch, &worker.record.address, worker.revision);
            // What a worker has let go of it never takes back.
            let said = worker.record.released.as_ref();
            let newer = said.filter(|said| said.generation >= known.released.generation);
            if let Some(released) = newer.filter(|_| epoch == known.epoch) {
                known.released.clone_from(released);
            }
        }
        if self.table.as_ref().is_some_and(|table| table.version == version) {
            return;
        }
        let workers = generation.iter().map(|assignment| self.route(&assignment.record)).collect();
        let generation = generation.first().map_or(0, |assignment| assignment.record.generation);
        self.table = Some(Arc::new(RoutingTable { version, workers, generation }));
    }

    fn route(&self, assignment: &AssignmentRecord) -> WorkerRoute {
        let known = self.known.get(&assignment.worker).cloned().unwrap_or_default();
        WorkerRoute {
            worker: assignment.worker,
            epoch: Some(known.epoch.into()),
            address: known.address,
            since_version: known.since,
            executors: assignment.executors.clone(),
            released: Some(known.released),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(worker: u32, epoch: u64, revision: u64) -> Stamped<AssignmentRecord> {
        let record = AssignmentRecord { worker, epoch_revision: epoch, ..Default::default() };
        Stamped { record, revision }
    }

    fn worker(number: u32, epoch: (u64, u64), address: &str, at: u64) -> Stamped<WorkerRecord> {
        let record = WorkerRecord {
            worker: number,
            epoch: Some(Epoch { revision: epoch.0, restarts: epoch.1 }.into()),
            address: address.to_owned(),
            ..Default::default()
        };
        Stamped { record, revision: at }
    }

    /// (epoch, address, since) of one worker, and the version.
    fn route(routes: &Routes, number: u32) -> (String, String, u64, u64) {
        let table = routes.table().unwrap();
        let route = table.workers.iter().find(|route| route.worker == number).unwrap();
        let epoch = Epoch::from(route.epoch.unwrap()).to_string();
        (epoch, route.address.clone(), route.since_version, table.version)
    }

    #[test]
    fn the_version_is_the_highest_revision_of_the_records() {
        let mut routes = Routes::default();
        routes.update(&[&assignment(0, 0, 5)], 6, [worker(0, (5, 0), "a:1", 9)].iter());
        assert_eq!(route(&routes, 0), ("5.0".into(), "a:1".into(), 6, 9), "first table");
    }

    #[test]
    fn since_version_is_when_the_epoch_rose_and_not_when_the_address_came() {
        let mut routes = Routes::default();
        let plan = assignment(0, 0, 5);
        routes.update(&[&plan], 6, [worker(0, (5, 0), "a:1", 9)].iter());
        routes.update(&[&plan], 6, [worker(0, (5, 1), "", 12)].iter());
        assert_eq!(route(&routes, 0), ("5.1".into(), String::new(), 12, 12), "at the death");
        routes.update(&[&plan], 6, [worker(0, (5, 1), "a:2", 14)].iter());
        assert_eq!(route(&routes, 0), ("5.1".into(), "a:2".into(), 12, 14), "after the hello");
    }

    #[test]
    fn what_a_worker_says_it_has_let_go_of_is_in_the_table_and_is_not_taken_back() {
        let mut routes = Routes::default();
        let plan = assignment(0, 0, 5);
        let says = |generation, at| {
            let mut record = worker(0, (5, 0), "a:1", at);
            record.record.released = Some(Released { generation, holding: Vec::new() });
            record
        };
        let known = |routes: &Routes| {
            let released = routes.table().unwrap().workers[0].released.as_ref();
            released.map_or(0, |released| released.generation)
        };
        routes.update(&[&plan], 6, [says(3, 9)].iter());
        assert_eq!(known(&routes), 3, "it says so");
        routes.update(&[&plan], 6, [says(0, 10)].iter());
        assert_eq!(known(&routes), 3, "its supervisor has just adopted it and does not know");
        routes.update(&[&plan], 6, [worker(0, (5, 1), "", 12)].iter());
        assert_eq!(known(&routes), 0, "another incarnation speaks for itself");
    }

    #[test]
    fn a_vanished_key_keeps_the_route_and_the_version() {
        let mut routes = Routes::default();
        let plan = assignment(0, 0, 5);
        routes.update(&[&plan], 6, [worker(0, (5, 0), "a:1", 9)].iter());
        routes.update(&[&plan], 6, std::iter::empty());
        assert_eq!(route(&routes, 0), ("5.0".into(), "a:1".into(), 6, 9), "nothing changed");
    }

    #[test]
    fn an_older_epoch_changes_no_route() {
        let mut routes = Routes::default();
        let plan = assignment(0, 0, 20);
        routes.update(&[&plan], 21, [worker(0, (5, 3), "old:1", 22)].iter());
        let (epoch, address, since, _) = route(&routes, 0);
        assert_eq!((epoch.as_str(), address.as_str(), since), ("20.0", "", 21), "retired by 20.0");
    }

    #[test]
    fn a_new_assignment_retires_from_the_flip_on() {
        let mut routes = Routes::default();
        routes.update(&[&assignment(0, 0, 5)], 6, [worker(0, (5, 0), "a:1", 9)].iter());
        // Written at 10, in force at 15; at 12 the old incarnation could still be sent to.
        routes.update(&[&assignment(0, 0, 10)], 15, [worker(0, (5, 0), "a:1", 12)].iter());
        assert_eq!(route(&routes, 0), ("10.0".into(), String::new(), 15, 15), "since the flip");
    }

    #[test]
    fn a_worker_that_stays_keeps_its_route_over_generations() {
        let mut routes = Routes::default();
        let known = [worker(0, (5, 2), "a:1", 9)];
        routes.update(&[&assignment(0, 5, 5)], 6, known.iter());
        routes.update(&[&assignment(0, 5, 10), &assignment(1, 0, 10)], 11, known.iter());
        assert_eq!(route(&routes, 0), ("5.2".into(), "a:1".into(), 9, 11), "untouched");
        assert_eq!(route(&routes, 1), ("10.0".into(), String::new(), 11, 11), "new");
    }
}
