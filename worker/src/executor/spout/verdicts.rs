//! What a spout is told of its tuples: acks in groups, failures one by one.

use std::time::Duration;

use topology_api::FailReason as Reason;
use topology_api::runtime::{DONE, saying};

use super::{Cell, SpoutExecutor};
use crate::engine::acking::{FailReason, Outcome, RootId, Verdict};
use crate::executor::anchoring::Roots;
use crate::executor::exits::Exits;
use crate::executor::plan::Plan;
use crate::executor::task_state::guarded;

impl SpoutExecutor {
    /// Gives verdicts back to the spout.
    pub(super) fn settle(&mut self, plan: &Plan, exits: &mut Exits) -> bool {
        let mut acks = Acks::default();
        let now_ns = exits.now_ns();
        let traced = exits.tracer.is_on();
        while let Some(verdict) = self.ledger.verdicts() {
            if traced {
                self.note_end(&verdict, exits);
            }
            if !acks.any {
                exits.go_on(self.place);
            }
            let Verdict { slot, task, outcome, opened_ns } = verdict;
            let known = |cell: &Cell| cell.counters.task == task;
            if !self.cells.get(acks.cell).is_some_and(known) || outcome != Outcome::Acked {
                acks.give(&mut self.cells, now_ns, plan);
                let Some(at) = self.cells.iter().position(known) else { continue };
                acks.cell = at;
            }
            let cell = &mut self.cells[acks.cell];
            cell.counters.pending = cell.counters.pending.saturating_sub(1);
            match outcome {
                Outcome::Acked => acks.add(slot, opened_ns, (cell, now_ns)),
                Outcome::Failed(reason) => {
                    give_failure(cell, (slot, self.whys.remove(&slot)), reason, plan);
                }
            }
            acks.any = true;
        }
        acks.give(&mut self.cells, now_ns, plan);
        // What is left came too late: its slot may become another tree's.
        self.whys.clear();
        acks.any
    }

    #[cold]
    fn note_end(&self, verdict: &Verdict, exits: &mut Exits) {
        let open = Duration::from_nanos(exits.now_ns().saturating_sub(verdict.opened_ns));
        if let Some(root) = self.ledger.root_at(verdict.slot) {
            exits.tracer.ended(root, verdict, (exits.now, open));
        }
    }

    /// Files the message ids of open trees, seals these, and acks what is done with already: no
    /// tuple of it left the loop, or nobody tracks it.
    pub(super) fn file(&mut self, at: usize, emitted_ns: u64, plan: &Plan, exits: &Exits) {
        let cell = &mut self.cells[at];
        let refused = self.ledger.slot_count();
        self.slots.clear();
        let mut done = 0;
        if self.roots.iter().any(|root| *root != 0) {
            for (root, number) in self.roots.iter().zip(0..) {
                let slot = match *root {
                    0 => DONE,
                    Roots::REFUSED => refused + number,
                    root => RootId::from_bits(root).map_or(DONE, RootId::slot),
                };
                done += u64::from(slot == DONE);
                self.slots.push(slot);
            }
        } else {
            done = self.roots.len() as u64;
        }
        cell.task.file_ids(&self.slots);
        if done > 0 {
            cell.counters.acked += done;
            let took = exits.now_ns().saturating_sub(emitted_ns);
            cell.counters.complete.record_n(took.max(1), done).ok();
        }
        give_acks(cell, plan);
        for (root, given) in self.roots.iter().zip(&self.given) {
            if *root == 0 || *root == Roots::REFUSED {
                continue;
            }
            if let Some(root) = RootId::from_bits(*root) {
                cell.counters.pending += 1;
                self.ledger.seal(root, *given);
            }
        }
        for slot in self.slots.iter().filter(|slot| (refused..DONE).contains(slot)) {
            give_failure(cell, (*slot, None), FailReason::TooMuchOutput, plan);
        }
    }
}

/// Acks of one task that follow each other, to be given together.
#[derive(Default)]
struct Acks {
    /// Whose they are.
    cell: usize,
    slots: Vec<u32>,
    /// How many of the last were opened at the same time, and when.
    run: (u64, u64),
    any: bool,
}

impl Acks {
    fn add(&mut self, slot: u32, opened_ns: u64, (cell, now_ns): (&mut Cell, u64)) {
        if self.run.1 != opened_ns {
            self.record(cell, now_ns);
        }
        self.run = (self.run.0 + 1, opened_ns);
        self.slots.push(slot);
    }

    /// The time that trees took is recorded once for all that were opened together.
    fn record(&mut self, cell: &mut Cell, now_ns: u64) {
        let (count, opened_ns) = std::mem::take(&mut self.run);
        if count > 0 {
            let took = now_ns.saturating_sub(opened_ns).max(1);
            cell.counters.complete.record_n(took, count).ok();
        }
    }

    fn give(&mut self, cells: &mut [Cell], now_ns: u64, plan: &Plan) {
        let Some(cell) = cells.get_mut(self.cell).filter(|_| !self.slots.is_empty()) else {
            return;
        };
        self.record(cell, now_ns);
        cell.counters.acked += self.slots.len() as u64;
        cell.task.end_acked(&self.slots);
        self.slots.clear();
        give_acks(cell, plan);
    }
}

/// Calls the author's `ack` for all that is done.
fn give_acks(cell: &mut Cell, plan: &Plan) {
    while let Err(text) = guarded(|| cell.task.ack_done()) {
        plan.board.show(cell.counters.task, "panic", format!("in `ack`: {text}"));
    }
}

/// Calls the author's `fail`, with what was said of the failure, after which the spout may have something
/// again.
fn give_failure(
    cell: &mut Cell,
    (slot, said): (u32, Option<Box<str>>),
    reason: FailReason,
    plan: &Plan,
) {
    cell.counters.fail(reason);
    let told = Reason::new(reason.name(), reason.own_fault());
    if let Err(text) = guarded(|| saying(said, || cell.task.fail(slot, told))) {
        plan.board.show(cell.counters.task, "panic", format!("in `fail`: {text}"));
    }
    cell.finished = false;
}
