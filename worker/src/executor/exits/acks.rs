//! How contributions and failures find the ledger that owns the tree, wherever it is.

use super::{Exits, SPARES};
use crate::engine::acking::{AckBatch, AckBuffer, FailReason, executor_of};
use crate::executor::inbox::Message;

impl Exits {
    /// Adds a contribution to a tree.
    #[inline]
    pub fn fold(&mut self, root: u64, edges: u64, stamp: u64) {
        self.acks_for(executor_of(root)).fold(root, edges, stamp);
    }

    /// Fails a tree.
    pub fn fail(&mut self, root: u64, reason: FailReason) {
        if self.tracer.is_on() {
            self.tracer.failed_tree(root, reason.name(), self.now);
        }
        let said = self.said.take();
        let acks = self.acks_for(executor_of(root));
        acks.fail(root, reason);
        said.iter().for_each(|text| acks.why(root, text));
        self.said = said;
    }

    /// Starts the timeout of a tree again.
    pub fn reset_timeout(&mut self, root: u64) {
        self.acks_for(executor_of(root)).reset(root);
    }

    /// What is to be told the owner of trees; most of a batch is for the same one.
    #[inline]
    fn acks_for(&mut self, owner: u16) -> &mut AckBuffer {
        if self.acks.get(self.last_acks).is_none_or(|(known, _)| *known != owner) {
            let at = self.acks.iter().position(|(known, _)| *known == owner);
            self.last_acks = at.unwrap_or_else(|| {
                self.acks.push((owner, AckBuffer::new()));
                self.acks.len() - 1
            });
        }
        &mut self.acks[self.last_acks].1
    }

    /// Takes a batch of contributions that was applied.
    pub fn give_acks(&mut self, batch: AckBatch) {
        if self.spare_acks.len() < SPARES {
            self.spare_acks.push(batch);
        }
    }

    /// Sends what was contributed to the trees of one spout executor.
    pub(super) fn flush_acks(&mut self, owner: u16, batch: AckBatch) {
        match self.routes.seating.loop_of(owner) {
            Some(at) if at == self.at => self.own_acks.push((owner, batch)),
            Some(at) => self.loops[at].send(Message::Acks(owner, batch)),
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
