//! The custom grouping: the author's code has named the tasks; here they are checked.

use super::direct::checked;
use super::{Batch, NO_TASK, Routed};

/// Routes each tuple to the task chosen for it, or to none if there is no such task.
#[derive(Debug)]
pub struct Custom {
    tasks: u32,
}

impl Custom {
    pub(super) fn new(tasks: u32) -> Self {
        Self { tasks }
    }

    pub(super) fn route(&self, batch: Batch<'_>, out: &mut Vec<u32>) -> Routed {
        if self.tasks == 0 {
            return Routed::Nowhere;
        }
        if batch.direct.len() != batch.len {
            // Nobody knows which choice was for which tuple.
            out.resize(batch.len, NO_TASK);
            return Routed::Each;
        }
        checked(self.tasks, batch.direct, out)
    }
}
