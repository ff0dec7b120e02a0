//! Fusion: a batch for an idle bolt on the same loop is executed at once, inside the call that
//! emitted it, without a mailbox and without edge ids.
//!
//! What the bolt emits is tied straight to what the batch came from, so the whole chain is settled
//! with the record of its head. Whatever cannot be done at once (a panic, a full outbox, an iterator
//! that is not at its end) turns back into an ordinary batch in hand: only then do its inputs get
//! edges. A bolt that turns out slow gets no more of the batch at once either. Fused or not is so a matter of each batch, and shows in nothing but speed.

use std::sync::Arc;

use topology_api::runtime::{Rows, UNANCHORED};

use super::settle;
use super::{BoltExecutor, InHand};
use crate::engine::acking::{Edge, FailReason, Why};
use crate::executor::anchoring::Anchoring;
use crate::executor::exits::Exits;
use crate::executor::mailbox::{Payload, StreamRef};
use crate::executor::traces::hops::{Fate, Hops};

/// What the inputs of a fused batch came from.
pub struct Chain<'c, 'a> {
    /// For each input its anchor, as `anchoring` numbers them.
    pub parents: &'c [u32],
    /// What the anchors of the head of the chain refer to.
    pub anchoring: &'c mut Anchoring<'a>,
    /// The inputs whose trees are looked at.
    pub hops: Option<Box<Hops>>,
}

impl Chain<'_, '_> {
    fn fail(&mut self, input: usize, reason: FailReason, exits: &mut Exits) {
        self.anchoring.fail(self.parents[input], reason, exits);
    }
}

impl BoltExecutor {
    /// Tells whether a batch may be executed at once: nothing waits before it, its output has
    /// somewhere to go, and a batch is known to take little time.
    #[must_use]
    pub fn is_idle(&self, exits: &Exits) -> bool {
        !self.explicit
            && self.in_hand.is_none()
            && exits.mailboxes[self.place].is_empty()
            && self.cells.iter().all(|cell| cell.state.open && cell.pace.is_full())
            && !self.outbox.is_over_share(exits)
    }

    /// Executes a batch that a bolt or spout of this loop has just emitted for `target`.
    pub fn execute_fused(
        &mut self,
        (target, from): (u32, StreamRef),
        rows: Box<dyn Rows>,
        chain: &mut Chain<'_, '_>,
        exits: &mut Exits,
    ) {
        let plan = Arc::clone(&exits.plan);
        let Some(at) = self.cell_of(target) else { return };
        let rows = match settle::read(&plan, self.component, from, Payload::Typed(rows)) {
            Ok(rows) => rows,
            Err(text) => {
                plan.board.show(target, "refused", text);
                (0..chain.parents.len()).for_each(|i| chain.fail(i, FailReason::Refused, exits));
                return;
            }
        };
        self.cells[at].task.load(rows, &[]);
        let mut done = 0;
        loop {
            let (count, panicked) =
                self.cells[at].work((self.place, done), chain.hops.as_deref_mut(), exits);
            self.route_fused(at, chain, exits);
            self.settle_fused((at, done, count), panicked.as_deref(), chain, exits);
            done += count;
            let cell = &mut self.cells[at];
            let goes_on = panicked.is_none();
            cell.worked(count, panicked, exits);
            if !cell.task.has_work() {
                cell.task.unload(&mut exits.pool);
                return;
            }
            let is_slow = !cell.pace.is_full();
            if !goes_on || is_slow || self.outbox.is_over_share(exits) {
                return self.unfuse(at, done, chain, exits);
            }
        }
    }

    /// Routes what was emitted, tied to what the inputs came from.
    fn route_fused(&mut self, at: usize, chain: &mut Chain<'_, '_>, exits: &mut Exits) {
        for stream in 0..self.streams {
            let cell = &mut self.cells[at];
            let Some(mut emitted) = cell.task.take(stream, &mut exits.pool) else { continue };
            cell.counters.emitted += emitted.rows.len() as u64;
            if let Some(hops) = &chain.hops {
                exits.tracer.parents.extend(emitted.anchors.iter().map(|it| hops.edge_of(*it)));
            }
            for anchor in emitted.anchors.iter_mut().filter(|anchor| **anchor != UNANCHORED) {
                *anchor = chain.parents[*anchor as usize];
            }
            self.outbox.route((cell.counters.task, stream), emitted, chain.anchoring, exits);
        }
    }

    /// Counts the inputs done with, and fails what the failed ones came from.
    fn settle_fused(
        &mut self,
        (at, first, count): (usize, usize, usize),
        panicked: Option<&str>,
        chain: &mut Chain<'_, '_>,
        exits: &mut Exits,
    ) {
        let cell = &mut self.cells[at];
        let mut failures = Vec::new();
        for (input, fault) in cell.task.faults() {
            let reason = settle::reason_of(fault, cell.counters.task, exits);
            failures.push((input as usize, reason, exits.said.take()));
        }
        if let Some(text) = panicked {
            failures.push((first + count - 1, FailReason::Panic, Some(Why::cut(text))));
        }
        cell.counters.executed += count as u64;
        cell.counters.acked += (count - failures.len()) as u64;
        let at = exits.now;
        for (input, reason, said) in failures {
            cell.counters.fail(reason);
            if exits.tracer.is_on() {
                let fate =
                    Fate { failed: Some(reason.name()), text: said.as_deref().unwrap_or(""), at };
                let mut edges = Vec::new();
                chain.anchoring.anchored_to(chain.parents[input], |of| {
                    edges.push(Edge { root: of.root, id: exits.ids.next() });
                });
                let seen = (chain.hops.as_deref_mut(), input);
                exits.tracer.failed(cell.counters.task, (&edges, at), seen, fate);
            }
            exits.said = said;
            chain.fail(input, reason, exits);
        }
        exits.said = None;
        if let Some(hops) = &mut chain.hops {
            let fate = Fate { failed: None, text: "", at };
            hops.settle(first..first + count, fate, &mut exits.tracer);
        }
    }

    /// Turns what is left of a fused batch into an ordinary one in hand: its inputs get edges.
    fn unfuse(&mut self, at: usize, done: usize, chain: &mut Chain<'_, '_>, exits: &mut Exits) {
        let mut tracking = exits.new_tracking();
        for (input, parent) in chain.parents.iter().enumerate() {
            if input < done {
                tracking.push_untracked();
            } else {
                chain.anchoring.tie(*parent, &mut exits.ids, &mut tracking);
            }
        }
        let given = if tracking.is_tracked() { vec![0; tracking.len()] } else { Vec::new() };
        let hops = chain.hops.take();
        let hops = hops.and_then(|hops| hops.go_on(&tracking, exits.now, &mut exits.tracer));
        let (cell, since) = (at, exits.now);
        self.in_hand = Some(InHand { cell, tracking, given, done, stamp: u64::MAX, since, hops });
    }
}
