//! How contributions and failures find the ledger that owns the tree, wherever it is.

use super::Exits;
use crate::engine::acking::AckBatch;
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
        let sorted = self.routes.table.sort_verdicts(batch);
        self.late += sorted.late;
        self.keep(owner, sorted.wait);
        let Some((worker, ready)) = sorted.deliver else { return };
        match self.frame(worker) {
            Some((_, writer)) => {
                writer.acks(owner, &ready);
                self.give_acks(ready);
            }
            // No link to the owner yet: what is known now waits for the next table.
            None => self.keep(owner, ready),
        }
    }

    fn keep(&mut self, owner: u16, batch: AckBatch) {
        if !batch.is_empty() {
            self.acks_for(owner).put_back(batch);
        }
    }
}
