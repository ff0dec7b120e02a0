//! Acking: what a bolt contributes to the trees of its input, and what their ledger does.

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
    let mut ledger = Ledger::new(0, 0, PENDING_MAX);
    let mut ids = EdgeIds::new(1);
    let mut roots: Vec<RootId> = Vec::new();
    let mut batch = AckBatch::new();
    let mut buffer = AckBuffer::new();
    let mut acked = 0;
    bench.stage(
        ("ack", "open a tree, apply its ack, give the verdict"),
        || (),
        |()| {
            roots.clear();
            roots.extend((0..BATCH).filter_map(|_| ledger.open(0, 1)));
            for root in &roots {
                let id = ids.next();
                ledger.seal(*root, id);
                buffer.fold(root.bits(), id, 1);
            }
            batch = buffer.take_reusing(std::mem::take(&mut batch));
            ledger.apply(&batch);
            while let Some(verdict) = ledger.verdicts() {
                acked += u64::from(verdict.outcome == Outcome::Acked);
            }
        },
    );
    let whole = acked > 0 && acked.is_multiple_of(BATCH as u64);
    let why = format!("{acked} of the trees were acked");
    if whole { Ok(()) } else { Err(Problem::failed("the ledger does not add up", why)) }
}
