//! What becomes of contributions and failures under a table: some go, some wait, some are late.
//!
//! Nothing of a batch may get lost on the way to the ledger: a contribution that is dropped leaves
//! its tree open until the timeout. So what cannot go yet is handed back, with its stamp.

use super::{Table, VerdictRoute};
use crate::engine::acking::{AckBatch, RootId};

/// What is to be done with the parts of an [`AckBatch`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SortedVerdicts {
    /// What is sent now, and the worker it goes to.
    pub deliver: Option<(u32, AckBatch)>,
    /// What waits for the next table: it is about roots of an incarnation this table does not know.
    pub wait: AckBatch,
    /// How many were dropped: the incarnation that opened the root is gone, and its roots with it.
    pub late: u64,
}

impl Table {
    /// Sorts a batch for the roots of one executor by where each root's incarnation is.
    ///
    /// ```
    /// use worker::engine::acking::{AckBuffer, RootId};
    /// use worker::engine::routing::Table;
    ///
    /// let mut buffer = AckBuffer::new();
    /// buffer.fold(RootId::new(0, 3, 9, 1).bits(), 0b01, 40);
    /// let sorted = Table::default().sort_verdicts(buffer.take());
    /// assert_eq!(sorted.deliver, None, "this table knows nobody");
    /// assert_eq!((sorted.wait.len(), sorted.wait.stamp), (1, 40));
    /// ```
    #[must_use]
    pub fn sort_verdicts(&self, mut batch: AckBatch) -> SortedVerdicts {
        let mut wait = AckBatch { stamp: batch.stamp, ..AckBatch::new() };
        let (mut to, mut late) = (None, 0);
        // Nearly all roots of a batch are of one incarnation of its executor: looked up once.
        let mut last = None;
        let mut route = |root| {
            let root = RootId::from_bits(root);
            let incarnation = root.map(|it| (it.executor(), it.incarnation()));
            let known = last.filter(|(of, _)| *of == incarnation).map(|(_, route)| route);
            let route = known.unwrap_or_else(|| {
                root.map_or(VerdictRoute::Late, |root| self.verdict_route(root))
            });
            last = Some((incarnation, route));
            match route {
                VerdictRoute::Deliver(worker) => to = Some(worker),
                VerdictRoute::Wait => {}
                VerdictRoute::Late => late += 1,
            }
            route
        };
        batch.contributions.retain(|contribution| match route(contribution.root) {
            VerdictRoute::Deliver(_) => true,
            VerdictRoute::Wait => {
                wait.contributions.push(*contribution);
                false
            }
            VerdictRoute::Late => false,
        });
        batch.failures.retain(|failure| match route(failure.root) {
            VerdictRoute::Deliver(_) => true,
            VerdictRoute::Wait => {
                wait.failures.push(*failure);
                false
            }
            VerdictRoute::Late => false,
        });
        batch.resets.retain(|root| match route(*root) {
            VerdictRoute::Deliver(_) => true,
            VerdictRoute::Wait => {
                wait.resets.push(*root);
                false
            }
            VerdictRoute::Late => false,
        });
        batch.whys.retain(|why| {
            match RootId::from_bits(why.root).map(|it| self.verdict_route(it)) {
                Some(VerdictRoute::Deliver(_)) => true,
                Some(VerdictRoute::Wait) => {
                    wait.whys.push(why.clone());
                    false
                }
                Some(VerdictRoute::Late) | None => false,
            }
        });
        SortedVerdicts { deliver: to.map(|worker| (worker, batch)), wait, late }
    }
}
