//! The partial key grouping: each key has two tasks, and the one that was sent less gets the tuple.
//!
//! Nasir et al., "The Power of Both Choices: Practical Load Balancing for Distributed Stream
//! Processing Engines" (ICDE 2015). Balanced as long as no key has more than two tasks can do.

use super::choices::two;
use super::sent::Sent;
use super::{Batch, KeyGroups, Routed};

/// Routes each tuple to whichever of its key's two tasks this sender has sent less.
#[derive(Debug)]
pub struct PartialKey {
    /// `None` if there are no tasks.
    groups: Option<KeyGroups>,
    sent: Sent,
}

impl PartialKey {
    pub(super) fn new(groups: Option<KeyGroups>) -> Self {
        let tasks = groups.as_ref().map_or(0, KeyGroups::tasks);
        Self { groups, sent: Sent::new(tasks) }
    }

    pub(super) fn route(&mut self, batch: Batch<'_>, out: &mut Vec<u32>) -> Routed {
        let Some(groups) = &self.groups else {
            return Routed::Nowhere;
        };
        if groups.tasks() == 1 {
            return Routed::Whole(0);
        }
        debug_assert_eq!(batch.hashes.len(), batch.len, "each tuple has a key");
        out.extend(batch.hashes.iter().map(|&hash| {
            let (first, second) = two(groups, hash);
            let task = self.sent.less(first, second);
            self.sent.add(task, 1);
            task
        }));
        Routed::Each
    }
}
