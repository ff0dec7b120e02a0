//! The way out to other workers: batches become items of frames, one frame being filled a link.

use std::sync::Arc;

use super::{Exits, Outgoing};
use crate::engine::acking::FailReason;
use crate::engine::flow::Gate;
use crate::transport::codec::FRAME_BYTES;
use crate::transport::{BatchHead, FrameWriter, Item, Link};

/// Most tuples in one batch of a frame: their places in trees take bytes that are not counted.
const BATCH_TUPLES_MAX: usize = 1 << 14;

impl Exits {
    /// Encodes a batch into frames. Large tuples get frames of their own: what is below the limit
    /// of a tuple must not fail for the company it is in.
    pub(super) fn send_away(
        &mut self,
        (worker, ownership): (u32, u64),
        gate: &Gate,
        out: &Outgoing,
    ) {
        let mut from = 0;
        while from < out.rows.len() {
            let to = out.rows.run_of(from, FRAME_BYTES).min(from + BATCH_TUPLES_MAX);
            let head = BatchHead {
                target_task: out.target,
                source_task: out.source,
                stream: u16::try_from(out.from.stream).unwrap_or(u16::MAX),
                ownership,
                count: u32::try_from(to - from).unwrap_or(u32::MAX),
            };
            let Some((_, writer)) = self.frame(worker) else {
                return self.fail_all(&out.tracking, FailReason::NoTarget);
            };
            // Credit is counted in encoded bytes: the receiver sees no others.
            let encoded = writer.batch(head, &out.tracking, from..to, |buffer| {
                out.rows.encode(from..to, buffer);
            });
            let full = writer.is_full();
            gate.took((to - from) as u64, encoded as u64);
            if full {
                self.flush_frame(worker);
            }
            from = to;
        }
    }

    pub(super) fn frame(&mut self, worker: u32) -> Option<&mut (Arc<Link>, FrameWriter)> {
        if !self.frames.contains_key(&worker) {
            let link = self.routes.links.get(&worker)?;
            self.frames.insert(worker, (Arc::clone(link), FrameWriter::new()));
        }
        self.frames.get_mut(&worker)
    }

    pub(super) fn flush_frame(&mut self, worker: u32) {
        if let Some((link, writer)) = self.frames.get_mut(&worker) {
            link.send(writer.finish());
        }
    }

    /// Fails every tree in frame items that will not arrive.
    pub fn fail_items(&mut self, lost: &[Item], reason: FailReason) {
        for item in lost {
            match item {
                Item::Batch { tracking, .. } => self.fail_all(tracking, reason),
                Item::Acks { batch, .. } => {
                    for contribution in &batch.contributions {
                        self.fail(contribution.root, reason);
                    }
                    for failure in &batch.failures {
                        self.fail(failure.root, failure.reason);
                    }
                }
                Item::EndOfStream { .. } | Item::Waiting { .. } | Item::Adopted { .. } => {}
            }
        }
    }
}
