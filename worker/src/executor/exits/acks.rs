//! How contributions and failures find the ledger that owns the tree, wherever it is.

use super::Exits;
use crate::engine::acking::{AckBatch, RootId};
use crate::engine::routing::VerdictRoute;
use crate::executor::inbox::Message;

impl Exits {
    /// Sends what was contributed to the trees of one spout executor.
    pub(super) fn flush_acks(&mut self, owner: u16, batch: AckBatch) {
        match self.ledgers.get(&owner) {
            Some(at) if *at == self.at => self.own_acks.push((owner, batch)),
            Some(at) => self.loops[*at].send(Message::Acks(owner, batch)),
            None => self.flush_acks_away(owner, batch),
        }
    }

    /// Sends verdicts to another worker: those for an incarnation that the table does not know yet
    /// wait here until it does, those for one that is gone are dropped and counted.
    fn flush_acks_away(&mut self, owner: u16, batch: AckBatch) {
        let mut ready = AckBatch { stamp: batch.stamp, ..AckBatch::default() };
        let mut to = None;
        for contribution in batch.contributions {
            match self.route_verdict(contribution.root) {
                Some(VerdictRoute::Deliver(worker)) => {
                    to = Some(worker);
                    ready.contributions.push(contribution);
                }
                Some(VerdictRoute::Wait) => {
                    self.fold(contribution.root, contribution.edges, batch.stamp);
                }
                Some(VerdictRoute::Late) | None => self.late += 1,
            }
        }
        for failure in batch.failures {
            match self.route_verdict(failure.root) {
                Some(VerdictRoute::Deliver(worker)) => {
                    to = Some(worker);
                    ready.failures.push(failure);
                }
                Some(VerdictRoute::Wait) => self.fail(failure.root, failure.reason),
                Some(VerdictRoute::Late) | None => self.late += 1,
            }
        }
        let Some(worker) = to else { return };
        if let Some((_, writer)) = self.frame(worker) {
            writer.acks(owner, &ready);
            return;
        }
        // No link to the owner yet: what is known now waits for the next table.
        for contribution in ready.contributions {
            self.fold(contribution.root, contribution.edges, ready.stamp);
        }
        for failure in ready.failures {
            self.fail(failure.root, failure.reason);
        }
    }

    fn route_verdict(&self, root: u64) -> Option<VerdictRoute> {
        RootId::from_bits(root).map(|root| self.routes.table.verdict_route(root))
    }
}
