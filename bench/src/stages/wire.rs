//! Between workers: a batch into a frame, and out of it.

use topology_api::runtime::{Batch, Rows};
use worker::engine::acking::{Edge, EdgeIds, Tracking};
use worker::transport::codec::{BatchHead, FrameWriter, Item, items};

use super::words::{Parts, Word};
use super::{BATCH, Bench};
use crate::problem::Problem;

/// Adds a batch to a frame.
fn write(writer: &mut FrameWriter, rows: &dyn Rows, tracking: &Tracking) {
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let head = BatchHead { target_task: 1, source_task: 0, stream: 0, ownership: 0, count };
    let all = 0..rows.len();
    writer.batch(head, tracking, all.clone(), |out| rows.encode(all, out));
}

/// Writes batches into frames, and reads them.
pub(super) fn encode_and_decode(bench: &mut Bench) -> Result<(), Problem> {
    let parts = Parts::new()?;
    let mut ids = EdgeIds::new(1);
    let (mut untracked, mut tracked) = (Tracking::new(), Tracking::new());
    for at in 0..BATCH as u64 {
        untracked.push_untracked();
        tracked.push_one(Edge { root: 1 + at / 10, id: ids.next() });
    }
    for (tracking, what) in [(&untracked, "not tracked"), (&tracked, "tracked, ten a tree")] {
        let mut batches = parts.batches()?;
        let mut writer = FrameWriter::new();
        bench.stage(("encode", what), &mut batches, |rows| {
            write(&mut writer, &*rows, tracking);
            // As the worker does: a frame goes when it is full.
            let frame = writer.is_full().then(|| writer.finish());
            (rows, frame)
        });
    }
    for (tracking, what) in [(&untracked, "not tracked"), (&tracked, "tracked, ten a tree")] {
        let mut batches = parts.batches()?;
        let mut writer = FrameWriter::new();
        write(&mut writer, &*batches(), tracking);
        let frame = writer.finish();
        let mut read = 0;
        bench.stage(
            ("decode", what),
            || (),
            |()| {
                let items = items(&frame);
                let Ok([Item::Batch { head, rows, .. }]) = items.as_deref() else { return None };
                let rows = Batch::<Word>::decode(rows, head.count as usize).ok()?;
                read += rows.len();
                Some(rows)
            },
        );
        if read == 0 {
            return Err(Problem::failed("cannot decode", "no row came out of a frame"));
        }
    }
    Ok(())
}
