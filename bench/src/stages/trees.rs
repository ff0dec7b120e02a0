//! Acking: what a bolt contributes to the trees of its input, and what their ledger does.

use std::collections::VecDeque;

use worker::engine::acking::{AckBatch, AckBuffer, EdgeIds, Ledger, Outcome, RootId};

use super::{BATCH, Bench};
use crate::problem::Problem;

/// Most open trees, as by default.
const PENDING_MAX: u32 = 10_000;

/// Folds contributions and applies them.
pub(super) fn ack(bench: &mut Bench) -> Result<(), Problem> {
    for (tuples, what) in [
        (1, "fold and take the contribution, a tuple a tree"),
        (10, "fold and take the contribution, ten a tree"),
    ] {
        let roots: Vec<u64> = (0..BATCH).map(|at| 1 + (at / tuples) as u64).collect();
        let mut ids = EdgeIds::new(1);
        let mut buffer = AckBuffer::new();
        bench.stage(("ack", what), AckBatch::new, |spent| {
            for root in &roots {
                buffer.fold(*root, ids.next(), 1);
            }
            buffer.take_reusing(spent)
        });
    }
    open_trees(bench, "open a tree, apply its ack, give the verdict", 0)?;
    open_trees(bench, "the same with 1 000 trees open", 1_000)?;
    open_trees(bench, "the same with 1 000 000 trees open", 1_000_000)
}

/// Opens trees and acks the oldest, of which `open` stay open all the time.
fn open_trees(bench: &mut Bench, what: &'static str, open: usize) -> Result<(), Problem> {
    let pending = u32::try_from(open + BATCH).unwrap_or(u32::MAX).max(PENDING_MAX);
    let mut ledger = Ledger::new(0, 0, pending);
    let mut ids = EdgeIds::new(1);
    let mut roots: VecDeque<(RootId, u64)> = VecDeque::with_capacity(open + BATCH);
    let add = |ledger: &mut Ledger, roots: &mut VecDeque<_>, ids: &mut EdgeIds| {
        let root = ledger.open(0, 1)?;
        let id = ids.next();
        ledger.seal(root, id);
        roots.push_back((root, id));
        Some(())
    };
    (0..open).for_each(|_| _ = add(&mut ledger, &mut roots, &mut ids));
    let mut batch = AckBatch::new();
    let mut buffer = AckBuffer::new();
    let mut acked = 0;
    bench.stage(
        ("ack", what),
        || (),
        |()| {
            for _ in 0..BATCH {
                let _full = add(&mut ledger, &mut roots, &mut ids);
            }
            for (root, id) in roots.drain(..BATCH) {
                buffer.fold(root.bits(), id, 1);
            }
            batch = buffer.take_reusing(std::mem::take(&mut batch));
            ledger.apply(&batch);
            while let Some(verdict) = ledger.verdicts() {
                acked += u64::from(verdict.outcome == Outcome::Acked);
            }
        },
    );
    let whole = acked > 0 && acked.is_multiple_of(BATCH as u64) && roots.len() == open;
    let why = format!("{acked} of the trees were acked, {} are open", roots.len());
    if whole { Ok(()) } else { Err(Problem::failed("the ledger does not add up", why)) }
}
