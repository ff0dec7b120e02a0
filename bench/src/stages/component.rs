//! Emitting and executing: a component behind the interface that the worker drives.

use std::cell::RefCell;

use topology_api::runtime::Pool;

use super::words::{IDENTITY, NULL, Parts, TRACKED, UNTRACKED};
use super::{BATCH, Bench};
use crate::problem::Problem;

/// A call of a spout that emits, and the columns it leaves.
pub(super) fn emit(bench: &mut Bench) -> Result<(), Problem> {
    let parts = Parts::new()?;
    for (name, what) in [(UNTRACKED, "by a spout, not tracked"), (TRACKED, "by a spout, tracked")] {
        let mut spout = parts.spout(name)?;
        let mut pool = Pool::default();
        let slots: Vec<u32> = (0..).take(BATCH).collect();
        bench.stage(
            ("emit", what),
            || (),
            |()| {
                let next = spout.next(BATCH);
                if let Some(emitted) = spout.take(0, &mut pool) {
                    pool.give(emitted.rows);
                    pool.give_column(emitted.anchors);
                }
                if spout.id_count() > 0 {
                    spout.file_ids(&slots);
                    spout.end_acked(&slots);
                    spout.ack_done();
                }
                next
            },
        );
    }
    Ok(())
}

/// A batch through a bolt.
pub(super) fn execute(bench: &mut Bench) -> Result<(), Problem> {
    let parts = Parts::new()?;
    for (name, what) in [(NULL, "a bolt that drops it"), (IDENTITY, "a bolt that emits it again")] {
        let mut bolt = parts.bolt(name)?;
        let mut batches = parts.batches()?;
        let pool = RefCell::new(Pool::default());
        bench.stage(("execute", what), &mut batches, |rows| {
            let pool = &mut *pool.borrow_mut();
            bolt.load(rows, &[]);
            let done = bolt.run(BATCH, usize::MAX);
            bolt.unload(pool);
            if let Some(emitted) = bolt.take(0, pool) {
                pool.give(emitted.rows);
                pool.give_column(emitted.anchors);
            }
            done
        });
    }
    Ok(())
}
