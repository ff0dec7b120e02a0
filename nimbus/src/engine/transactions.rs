//! From plans to guarded transactions.
//!
//! Every transaction carries two guards: that this nimbus still leads, and that the topology's
//! record is the one that was decided on. So a leader that slept, or a write whose answer was
//! lost, can undo nothing. One that carries out a request has a third: that no other try of it was
//! carried out.

use coordination::{Guard, Keys, LeaseId, OPERATIONS_MAX, Operation, Transaction, put};
use proto::store::ResultRecord;

use super::command::{Plan, Write};

impl Plan {
    /// Makes the transactions that carry this plan out, to be applied in this order: as few as the
    /// store's limits allow, and the last one is what counts.
    ///
    /// `leader` says that this nimbus still leads; `lease` keeps the answer to the request.
    ///
    /// ```
    /// use coordination::{Guard, Keys};
    /// use nimbus::engine::command::{Plan, Write};
    ///
    /// let (keys, leader) = (Keys::new("test").unwrap(), Guard::CreatedAt("leader".into(), 7));
    /// let plan = Plan { topology: "t".into(), expected: Some(9), ..Plan::default() };
    /// let plan = Plan { decide: vec![Write::Release], ..plan };
    /// let transactions = plan.transactions(&keys, &leader, None);
    /// let unchanged = Guard::ModifiedAt(keys.topology("t"), 9);
    /// assert_eq!(transactions[0].guards, [leader, unchanged]);
    /// ```
    #[must_use]
    pub fn transactions(
        &self,
        keys: &Keys,
        leader: &Guard,
        lease: Option<LeaseId>,
    ) -> Vec<Transaction> {
        let guards = self.guards(keys, leader);
        let operations = |writes: &[Write]| -> Vec<Operation> {
            writes.iter().flat_map(|write| self.operations(keys, write)).collect()
        };
        let prepare = operations(&self.prepare);
        let mut decide = operations(&self.decide);
        if let Some((id, record)) = &self.request {
            decide.push(put(keys.request(id), record, lease));
        }
        let together = Transaction::split(&guards, [prepare.clone(), decide.clone()].concat());
        if together.len() <= 1 {
            return together;
        }
        // What prepares comes first.
        let mut transactions = Transaction::split(&guards, prepare);
        debug_assert!(decide.len() <= OPERATIONS_MAX, "a decision is one transaction");
        transactions.push(Transaction { guards, operations: decide });
        transactions
    }

    fn guards(&self, keys: &Keys, leader: &Guard) -> Vec<Guard> {
        let record = keys.topology(&self.topology);
        let mut guards = vec![leader.clone()];
        match self.expected {
            Some(revision) => guards.push(Guard::ModifiedAt(record, revision)),
            None => {
                guards.push(Guard::Absent(record));
                let names = self.decide.iter().filter_map(|write| match write {
                    Write::Name(name) => Some(Guard::Absent(keys.name(name))),
                    _ => None,
                });
                guards.extend(names);
            }
        }
        // A try that comes late must not do again what another did.
        guards.extend(self.request.iter().map(|(id, _)| Guard::Absent(keys.request(id))));
        guards
    }

    fn operations(&self, keys: &Keys, write: &Write) -> Vec<Operation> {
        let topology = self.topology.as_str();
        match write {
            Write::Topology(record) => vec![put(keys.topology(topology), &**record, None)],
            Write::Name(name) => {
                let value = topology.as_bytes().to_vec();
                vec![Operation::Put { key: keys.name(name), value, lease: None }]
            }
            Write::Assignment(record) => {
                let key = keys.assignment(topology, record.generation, record.worker);
                vec![put(key, record, None)]
            }
            Write::Assigned(record) => vec![put(keys.assigned(topology), record, None)],
            Write::DropGeneration(generation) => {
                vec![Operation::DeletePrefix(keys.generation(topology, *generation))]
            }
            Write::Release => vec![
                Operation::Delete(keys.assigned(topology)),
                Operation::DeletePrefix(keys.assignments_of(topology)),
            ],
            Write::Result(result) => {
                let record = ResultRecord { result: Some(result.clone()) };
                vec![put(keys.result(topology, result.task), &record, None)]
            }
            Write::Forget(name) => vec![
                Operation::Delete(keys.topology(topology)),
                Operation::Delete(keys.name(name)),
                Operation::Delete(keys.assigned(topology)),
                Operation::DeletePrefix(keys.assignments_of(topology)),
                Operation::DeletePrefix(keys.workers_of(topology)),
                Operation::DeletePrefix(keys.results(topology)),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::store::RequestRecord;

    use super::*;

    #[test]
    fn a_request_is_guarded_by_the_absence_of_its_answer() {
        let (keys, leader) = (Keys::new("test").unwrap(), Guard::CreatedAt("leader".into(), 7));
        let request = Some(("r-1".to_owned(), RequestRecord::default()));
        let decide = vec![Write::Name("clicks".to_owned())];
        let plan = Plan { topology: "clicks-3".to_owned(), decide, request, ..Plan::default() };
        let transactions = plan.transactions(&keys, &leader, Some(1));
        assert!(transactions[0].guards.contains(&Guard::Absent(keys.request("r-1"))));
    }
}
