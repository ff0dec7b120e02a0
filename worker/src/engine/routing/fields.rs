//! The fields grouping: tuples with equal keys go to the same task.

use super::{Batch, KeyGroups, Routed};

/// Routes each tuple to the task that has its key's group.
#[derive(Debug)]
pub struct Fields {
    /// `None` if there are no tasks.
    groups: Option<KeyGroups>,
}

impl Fields {
    pub(super) fn new(groups: Option<KeyGroups>) -> Self {
        Self { groups }
    }

    pub(super) fn route(&self, batch: Batch<'_>, out: &mut Vec<u32>) -> Routed {
        let Some(groups) = &self.groups else {
            return Routed::Nowhere;
        };
        if groups.tasks() == 1 {
            return Routed::Whole(0);
        }
        debug_assert_eq!(batch.hashes.len(), batch.len, "each tuple has a key");
        let first = batch.hashes.first().map_or(0, |&hash| groups.task(hash));
        let mut mixed = 0;
        out.extend(batch.hashes.iter().map(|&hash| {
            let task = groups.task(hash);
            mixed |= task ^ first;
            task
        }));
        if mixed == 0 { Routed::Whole(first) } else { Routed::Each }
    }
}
