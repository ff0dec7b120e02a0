//! The calls of a bolt's tasks that no tuple causes: ticks, `finish` and `close`.

use topology_api::runtime::BoltTask;

use super::{BoltExecutor, InHand};
use crate::engine::acking::FailReason;
use crate::executor::exits::Exits;
use crate::executor::plan::Plan;
use crate::executor::task_state::guarded;

impl BoltExecutor {
    /// Ticks the tasks, up to one that gives an iterator: that is then in hand. No batch may be in
    /// hand unless their calls wait, and the outbox has room.
    pub(super) fn tick_if_due(&mut self, plan: &Plan, exits: &mut Exits) {
        let Some(period) = self.tick else { return };
        if self.ticked == self.cells.len() {
            if exits.now < self.next_tick {
                return;
            }
            self.next_tick = exits.now + period;
            self.ticked = 0;
        }
        // Of calls that wait a batch may be in hand for long, perhaps until they tick.
        while self.ticked < self.cells.len() && (self.waits || self.in_hand.is_none()) {
            let at = self.ticked;
            self.ticked += 1;
            if self.cells[at].state.open {
                self.call(at, "tick", |task| task.tick(), (plan, exits));
            }
        }
    }

    /// Finishes the tasks whose sources have all ended, up to one that gives an iterator: it ends
    /// when that has.
    pub(super) fn finish_ended(&mut self, plan: &Plan, exits: &mut Exits) {
        if self.in_hand.is_some() || !exits.mailboxes[self.place].is_empty() {
            return;
        }
        for at in 0..self.cells.len() {
            let cell = &self.cells[at];
            let complete = cell.ended.len() >= self.sources && cell.held.is_empty();
            if cell.state.ended || !(cell.state.open || cell.finishing) || !complete {
                continue;
            }
            if !std::mem::replace(&mut self.cells[at].finishing, true) {
                self.call(at, "finish", |task| task.finish(), (plan, exits));
            }
            if self.in_hand.is_some() {
                return;
            }
            let cell = &mut self.cells[at];
            if cell.state.open && !cell.task.has_finished() {
                continue;
            }
            drop(guarded(|| cell.task.close()));
            cell.state.ended = true;
            exits.ended = true;
            cell.state.open = false;
            self.outbox.end(self.cells[at].counters.task);
        }
    }

    /// Calls one of the component's methods that emits without an anchor. Iterators that it gave
    /// are in hand then.
    fn call(
        &mut self,
        at: usize,
        what: &'static str,
        method: impl FnOnce(&mut dyn BoltTask),
        (plan, exits): (&Plan, &mut Exits),
    ) {
        exits.go_on(self.place);
        let cell = &mut self.cells[at];
        let call = || method(&mut *cell.task);
        if let Err(text) = exits.watch.call((cell.counters.task, exits.now), call) {
            plan.board.show(cell.counters.task, "panic", format!("in `{what}`: {text}"));
            cell.task.panicked();
            cell.state.failed(exits.now);
        }
        self.route(at, exits);
        if !self.waits && self.cells[at].task.has_work() {
            let (tracking, since) = (exits.new_tracking(), exits.now);
            let given = Vec::new();
            let (done, stamp, hops) = (0, u64::MAX, None);
            let hand = InHand { cell: at, tracking, given, done, stamp, since, hops };
            self.in_hand = Some(hand);
        }
    }

    /// Closes its components; what they still hold fails for this reason.
    pub fn close(&mut self, reason: FailReason, plan: &Plan, exits: &mut Exits) {
        for cell in self.cells.iter_mut().filter(|cell| cell.state.open) {
            if let Err(text) = guarded(|| cell.task.close()) {
                plan.board.show(cell.counters.task, "panic", format!("in `close`: {text}"));
            }
            cell.state.open = false;
        }
        self.settle_held(Some(reason), plan, exits);
    }
}
