//! The calls of a spout's tasks that ask for no tuple: ticks and `close`.

use super::SpoutExecutor;
use crate::executor::exits::Exits;
use crate::executor::inbox::Desired;
use crate::executor::plan::Plan;
use crate::executor::task_state::guarded;

impl SpoutExecutor {
    /// Ticks the tasks while the topology is active.
    pub(super) fn tick_if_due(&mut self, plan: &Plan, exits: &mut Exits) {
        let Some(period) = self.tick else { return };
        if exits.now < self.next_tick || self.desired != Desired::Active || self.leaves {
            return;
        }
        self.next_tick = exits.now + period;
        for at in 0..self.cells.len() {
            let cell = &mut self.cells[at];
            if !cell.state.open {
                continue;
            }
            exits.go_on(self.place);
            let task = (cell.counters.task, exits.now);
            if let Err(text) = exits.watch.call(task, || cell.task.tick()) {
                plan.board.show(cell.counters.task, "panic", format!("in `tick`: {text}"));
            }
            self.route(at, plan, exits);
        }
    }

    /// Closes the tasks that are finished and have no open trees, and tells their targets.
    pub(super) fn end_finished(&mut self, exits: &mut Exits) {
        for cell in &mut self.cells {
            let over = cell.finished && cell.counters.pending == 0 && cell.state.open;
            if over && self.outbox.is_empty() {
                drop(guarded(|| cell.task.close()));
                cell.state.open = false;
                cell.state.ended = true;
                exits.ended = true;
                self.outbox.end(cell.counters.task);
            }
        }
    }

    /// Gives its components the last verdicts and closes them; the worker ends.
    pub fn close(&mut self, plan: &Plan, exits: &mut Exits) {
        self.settle(plan, exits);
        for cell in self.cells.iter_mut().filter(|cell| cell.state.open) {
            if let Err(text) = guarded(|| cell.task.close()) {
                plan.board.show(cell.counters.task, "panic", format!("in `close`: {text}"));
            }
            cell.state.open = false;
        }
    }
}
