//! The direct grouping: the emitter names the task.

use super::{Batch, NO_TASK, Routed};

/// Routes each tuple to the task it was emitted to, or to none if there is no such task.
#[derive(Debug)]
pub struct Direct {
    tasks: u32,
}

impl Direct {
    pub(super) fn new(tasks: u32) -> Self {
        Self { tasks }
    }

    pub(super) fn route(&self, batch: Batch<'_>, out: &mut Vec<u32>) -> Routed {
        if self.tasks == 0 {
            return Routed::Nowhere;
        }
        debug_assert_eq!(batch.direct.len(), batch.len, "each tuple names its task");
        let known = |&task: &u32| if task < self.tasks { task } else { NO_TASK };
        out.extend(batch.direct.iter().map(known));
        match out[..] {
            [first, ..] if first != NO_TASK && out.iter().all(|&task| task == first) => {
                Routed::Whole(first)
            }
            _ => Routed::Each,
        }
    }
}
