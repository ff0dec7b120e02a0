//! The executor of a bolt: takes batches, emits, settles; or keeps its inputs and joins them.
//!
//! Stands in for the worker's `executor::bolt`, and for what authors write.

use std::rc::Rc;

use topology_api::runtime::{SEVERAL, UNANCHORED};
use worker::engine::acking::{FailReason, Held, NO_STAMP};
use worker::executor::anchoring::Anchoring;

use super::env::Env;
use super::exits::Cx;
use super::hub::{Delivery, NO_COPY};
use super::outbox::{Emitted, Outbox};
use super::plan::{ExecutorPlan, MS};

/// Most batches in one turn.
const BATCHES_A_TURN: usize = 4;

/// An input that is kept.
struct Kept {
    slot: u32,
    /// Its copy, unless its component panicked since it came.
    copy: Option<u32>,
    due: u64,
}

struct Cell {
    task: u32,
    held: Held,
    kept: Vec<Kept>,
}

/// Runs the tasks of one bolt that one executor has.
pub(super) struct Bolt {
    index: u16,
    place: usize,
    cells: Vec<Cell>,
    pub(super) outbox: Outbox,
    explicit: bool,
    slow: bool,
    busy_until: u64,
}

impl Bolt {
    pub(super) fn new(executor: &ExecutorPlan, place: usize, outbox: Outbox, env: &Env) -> Self {
        let component = &env.plan.components[executor.component];
        let cell = |task| Cell { task, held: Held::new(), kept: Vec::new() };
        Self {
            index: executor.index,
            place,
            cells: executor.tasks.clone().map(cell).collect(),
            outbox,
            explicit: component.explicit,
            slow: component.slow,
            busy_until: 0,
        }
    }

    pub(super) fn turn(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut worked = false;
        for _ in 0..BATCHES_A_TURN {
            if self.outbox.is_over_share(cx) {
                self.outbox.flush(cx);
                if self.outbox.is_over_share(cx) {
                    break;
                }
            }
            if cx.env.now < self.busy_until || !self.take(cx) {
                break;
            }
            worked = true;
        }
        worked |= self.settle_due(cx);
        self.outbox.flush(cx);
        worked
    }

    /// Adopts a routing table.
    pub(super) fn adopt(&mut self, cx: &mut Cx<'_>) {
        self.outbox.place_away(cx);
    }

    /// Takes the next batch; false if there is none.
    fn take(&mut self, cx: &mut Cx<'_>) -> bool {
        let mailbox = &mut cx.exits.mailboxes[self.place];
        let Some(delivery) = mailbox.batches.pop_front() else { return false };
        let starved = mailbox.gauge.taken(delivery.tuples, delivery.bytes);
        cx.took(&delivery, starved);
        let at = self.cells.iter().position(|cell| cell.task == delivery.target);
        let at = at.expect("a mailbox is that of the task's executor");
        for &copy in delivery.copies.iter().filter(|copy| **copy != NO_COPY) {
            cx.env.ghosts.execute(copy, cx.hub.process, delivery.target);
        }
        if self.slow {
            self.busy_until = cx.env.now + cx.env.below(0..5 * MS);
        }
        if self.explicit {
            self.keep(at, &delivery, cx);
        } else {
            self.process(&delivery, cx);
        }
        true
    }

    /// Processes a batch, and settles each input.
    fn process(&mut self, delivery: &Delivery, cx: &mut Cx<'_>) {
        let mut emitted = Vec::new();
        let mut failed = vec![false; delivery.copies.len()];
        for (anchor, &copy) in (0..).zip(&delivery.copies).filter(|(_, copy)| **copy != NO_COPY) {
            let emissions = Rc::clone(&cx.env.ghosts.copies[copy as usize].emissions);
            failed[anchor as usize] = cx.env.fails();
            for _ in 0..children(&emissions, cx.env) {
                let tuple = if cx.env.chance(0.02) {
                    Emitted { emissions: Rc::new([]), anchor: UNANCHORED }
                } else {
                    Emitted { emissions: Rc::clone(&emissions), anchor }
                };
                emitted.push(tuple);
            }
        }
        let mut given = vec![0; delivery.copies.len()];
        let tracking = &delivery.tracking;
        if !emitted.is_empty() {
            let mut anchoring = if tracking.is_tracked() {
                Anchoring::Inputs { tracking, given: &mut given }
            } else {
                Anchoring::Off
            };
            self.outbox.route(&emitted, &mut anchoring, cx);
        }
        let version = cx.exits.table.version();
        for (input, &copy) in delivery.copies.iter().enumerate() {
            let edges = tracking.of(input);
            if failed[input] {
                edges.iter().for_each(|edge| cx.exits.fail(edge.root, FailReason::Error));
                continue;
            }
            let stamp = if given[input] == 0 { NO_STAMP } else { version };
            edges.iter().for_each(|edge| cx.exits.fold(edge.root, edge.id ^ given[input], stamp));
            if copy != NO_COPY {
                cx.env.ghosts.done(copy);
            }
        }
    }

    /// Keeps the inputs of a batch for later.
    fn keep(&mut self, at: usize, delivery: &Delivery, cx: &mut Cx<'_>) {
        let cell = &mut self.cells[at];
        for (input, &copy) in delivery.copies.iter().enumerate() {
            let slot = cell.held.hold(delivery.tracking.of(input));
            if copy == NO_COPY {
                cell.held.settle(slot, |_, _| ());
                continue;
            }
            let due = cx.env.now + cx.env.below(0..cx.env.plan.hold);
            cell.kept.push(Kept { slot, copy: Some(copy), due });
        }
        if cx.env.fails() && cx.env.chance(0.2) {
            // The component panicked; its guards are dropped one after another.
            cx.env.count("abandoned");
            cell.held.abandon_all(|root| cx.exits.fail(root, FailReason::Panic));
            cell.kept.iter_mut().for_each(|kept| kept.copy = None);
        }
    }

    /// Gives the inputs that were kept long enough their verdicts, after joining some.
    fn settle_due(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut settled = false;
        for at in 0..self.cells.len() {
            let now = cx.env.now;
            let is_due = |kept: &Kept| kept.due <= now;
            while let Some(place) = self.cells[at].kept.iter().position(is_due) {
                settled = true;
                while cx.env.chance(0.4) {
                    self.join(at, place, cx);
                }
                self.settle(at, place, cx);
            }
        }
        settled
    }

    /// Emits a tuple that is anchored to a kept input and perhaps to others.
    fn join(&mut self, at: usize, place: usize, cx: &mut Cx<'_>) {
        let cell = &mut self.cells[at];
        let mut anchors = Vec::new();
        let mut emissions = Vec::new();
        for (other, kept) in cell.kept.iter().enumerate() {
            let Some(copy) = kept.copy else { continue };
            if other == place || (anchors.len() < 4 && cx.env.chance(0.3)) {
                anchors.push(kept.slot);
                emissions.extend(cx.env.ghosts.copies[copy as usize].emissions.iter());
            }
        }
        emissions.sort_unstable();
        emissions.dedup();
        if anchors.is_empty() || children(&emissions, cx.env) == 0 {
            return;
        }
        let (anchor, several) = match anchors[..] {
            [one] => (one, Vec::new()),
            _ => {
                cx.env.count("joins");
                (SEVERAL, vec![anchors])
            }
        };
        let version = cx.exits.table.version();
        let mut anchoring = Anchoring::Held { held: &mut cell.held, several: &several, version };
        let emitted = [Emitted { emissions: emissions.into(), anchor }];
        self.outbox.route(&emitted, &mut anchoring, cx);
    }

    fn settle(&mut self, at: usize, place: usize, cx: &mut Cx<'_>) {
        let cell = &mut self.cells[at];
        let Kept { slot, copy, .. } = cell.kept.swap_remove(place);
        let stamp = cell.held.stamp(slot);
        if copy.is_none() || cx.env.fails() {
            cell.held.fail(slot, |root| cx.exits.fail(root, FailReason::DroppedGuard));
            return;
        }
        cell.held.settle(slot, |root, edges| cx.exits.fold(root, edges, stamp));
        copy.into_iter().for_each(|copy| cx.env.ghosts.done(copy));
    }

    /// When it wants a turn without having been sent anything.
    pub(super) fn wakes_at(&self, cx: &Cx<'_>) -> Option<u64> {
        let kept = self.cells.iter().flat_map(|cell| &cell.kept).map(|kept| kept.due);
        let has_input = !cx.exits.mailboxes[self.place].batches.is_empty();
        let ready = has_input && !self.outbox.is_over_share(cx);
        kept.chain(ready.then_some(self.busy_until.max(cx.env.now + 1))).min()
    }

    pub(super) fn assert_at_rest(&self) {
        let held: usize = self.cells.iter().map(|cell| cell.held.len()).sum();
        assert_eq!(held, 0, "I6: executor {} keeps {held} inputs", self.index);
        assert!(self.outbox.is_empty(), "executor {} still has output", self.index);
    }
}

/// How many tuples come of one; none of a tree that is large already.
fn children(emissions: &[u32], env: &mut Env) -> u64 {
    let size = |emission: &u32| env.ghosts.emissions[*emission as usize].size;
    let size = emissions.iter().map(size).max().unwrap_or(u32::MAX);
    if size >= env.plan.tree { 0 } else { env.below(0..u64::from(env.plan.fan_out) + 1) }
}
