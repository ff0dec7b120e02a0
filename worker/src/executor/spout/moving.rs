//! A spout's executor among others that come and go: it starts when its tasks are free, goes by new
//! routing tables, and lets go of tasks that are somebody else's now.

use super::SpoutExecutor;
use crate::engine::acking::FailReason;
use crate::engine::routing::Table;
use crate::executor::counters::TaskCounters;
use crate::executor::exits::Exits;
use crate::executor::flows::Flows;
use crate::executor::plan::Plan;

impl SpoutExecutor {
    /// Lets its tasks be opened: nobody else has them.
    ///
    /// Its ledger begins under this table and must know which incarnations were lost before: a bolt
    /// with an older one may still send to them.
    pub fn start(&mut self, plan: &Plan, table: &Table) {
        if !std::mem::replace(&mut self.started, true) {
            self.ledger.adopt(Table::default().retired_since(table));
            for cell in &mut self.cells {
                cell.counters = plan.board.resume(&cell.counters);
                plan.board.watch_progress(cell.counters.task, cell.task.progress());
            }
        }
    }

    /// Adopts a routing table that follows `before`: if a worker was lost in it, which it says as
    /// of `retired_at`, open trees may have lost a tuple and fail.
    pub fn adopt(&mut self, retired_at: Option<u64>, before: &Table, exits: &Exits) {
        self.ledger.adopt(retired_at);
        self.outbox.place_anew(exits);
        let over: Vec<u32> =
            self.cells.iter().filter(|cell| cell.state.ended).map(|c| c.counters.task).collect();
        self.outbox.end_again(&over, |task| before.begins_anew(task, &exits.routes.table));
    }

    /// What its tasks counted, brought up to date.
    pub fn counters(&mut self) -> impl Iterator<Item = &TaskCounters> {
        let busy = !self.outbox.is_empty();
        let late = self.ledger.late();
        let shown = if self.started { self.cells.len() } else { 0 };
        self.cells.iter_mut().take(shown).map(move |cell| {
            cell.counters.ended = cell.state.ended && !busy;
            cell.counters.busy = busy;
            cell.counters.counters.insert("late-verdicts", late);
            &cell.counters
        })
    }

    /// Gathers how many tuples it sent which way.
    pub fn gather(&mut self, flows: &mut Flows) {
        self.outbox.gather(flows);
    }

    /// Stops asking its tasks: they are somebody else's. Its open trees fail, for what is contributed
    /// to them goes by the new table already.
    pub fn leave(&mut self) {
        if !std::mem::replace(&mut self.leaves, true) {
            self.ledger.fail_all(FailReason::Moved);
        }
    }

    /// Whether its tasks are somebody else's.
    #[must_use]
    pub fn leaves(&self) -> bool {
        self.leaves
    }

    /// Tells whether there is nothing that it could still finish.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ledger.pending() == 0 && self.outbox.is_empty()
    }

    /// Closes its components, whose tasks are somebody else's from now on. What it could not send is
    /// given up.
    pub fn let_go(&mut self, plan: &Plan, exits: &mut Exits) {
        self.close(plan, exits);
        self.outbox.abandon(FailReason::Moved, exits);
        exits.memory.change(self.charged, 0);
        self.charged = 0;
    }
}
