//! A bolt's executor among others that come and go: it starts when its tasks are free, goes by new
//! routing tables, and lets go of tasks that are somebody else's now.

use super::BoltExecutor;
use crate::engine::acking::FailReason;
use crate::engine::routing::Table;
use crate::executor::counters::TaskCounters;
use crate::executor::exits::Exits;
use crate::executor::flows::Flows;
use crate::executor::mailbox::Item;
use crate::executor::plan::Plan;

impl BoltExecutor {
    /// Lets its tasks be opened: nobody else has them.
    pub fn start(&mut self, plan: &Plan) {
        if !std::mem::replace(&mut self.started, true) {
            for cell in &mut self.cells {
                cell.counters = plan.board.resume(&cell.counters);
                plan.board.watch_progress(cell.counters.task, cell.task.progress());
            }
        }
    }

    /// Adopts a routing table that follows `before`: finds its targets anew, tells those that are
    /// new again that it has ended, and forgets that sources had which begin anew.
    pub fn adopt(&mut self, before: &Table, exits: &Exits) {
        let restarted = |task| before.begins_anew(task, &exits.routes.table);
        self.outbox.place_anew(exits);
        let over: Vec<u32> =
            self.cells.iter().filter(|cell| cell.state.ended).map(|c| c.counters.task).collect();
        self.outbox.end_again(&over, restarted);
        for cell in &mut self.cells {
            if !cell.state.ended {
                cell.ended.retain(|(_, source), ownership| {
                    !restarted(*source) || *ownership > before.ownership_of(*source)
                });
            }
        }
    }

    /// What its tasks counted, brought up to date.
    pub fn counters(&mut self, exits: &Exits) -> impl Iterator<Item = &TaskCounters> {
        let queued = exits.mailboxes[self.place].gauge.tuples();
        let busy = self.in_hand.is_some() || !self.outbox.is_empty();
        let shown = if self.started { self.cells.len() } else { 0 };
        self.cells.iter_mut().take(shown).map(move |cell| {
            cell.counters.queued = queued;
            cell.counters.ended = cell.state.ended && !busy;
            cell.counters.busy = busy || !cell.held.is_empty();
            &cell.counters
        })
    }

    /// Gathers how many tuples it sent which way.
    pub fn gather(&mut self, flows: &mut Flows) {
        self.outbox.gather(flows);
    }

    /// Tells whether there is nothing that it could still finish.
    #[must_use]
    pub fn is_done(&self, exits: &Exits) -> bool {
        !self.started
            || (self.in_hand.is_none()
                && exits.mailboxes[self.place].is_empty()
                && self.cells.iter().all(|cell| cell.held.is_empty())
                && self.outbox.is_empty())
    }

    /// Rises with whatever it gets done of what it has.
    #[must_use]
    pub fn progress(&self) -> u64 {
        let counters = self.cells.iter().map(|cell| &cell.counters);
        counters.map(|it| it.executed + it.acked + it.emitted).sum::<u64>() + self.outbox.sent()
    }

    /// Closes its components, whose tasks are somebody else's from now on. What it could not finish
    /// fails.
    pub fn let_go(&mut self, plan: &Plan, exits: &mut Exits) {
        let reason = FailReason::Moved;
        if let Some(hand) = self.in_hand.take() {
            let left = if self.explicit { 0..0 } else { hand.done..hand.tracking.len() };
            for input in left {
                for edge in hand.tracking.of(input) {
                    exits.fail(edge.root, reason);
                }
            }
        }
        self.close(reason, plan, exits);
        // Those that its component had not been given yet.
        for cell in &mut self.cells {
            cell.held.abandon_all(|root| exits.fail(root, reason));
        }
        self.outbox.abandon(reason, exits);
        while let Some((item, starved)) = exits.mailboxes[self.place].pop() {
            if let Item::Batch(delivery) = item {
                exits.took(&delivery, starved);
                plan.board.count(delivery.target, reason.name(), delivery.tuples);
                exits.fail_all(&delivery.tracking, reason);
            }
        }
    }
}
