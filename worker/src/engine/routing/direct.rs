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
        checked(self.tasks, batch.direct, out)
    }
}

/// Routes each tuple to the task named for it, if there is one.
pub(super) fn checked(tasks: u32, named: &[u32], out: &mut Vec<u32>) -> Routed {
    let known = |&task: &u32| if task < tasks { task } else { NO_TASK };
    out.extend(named.iter().map(known));
    match out[..] {
        [first, ..] if first != NO_TASK && out.iter().all(|&task| task == first) => {
            Routed::Whole(first)
        }
        _ => Routed::Each,
    }
}
