//! Groupings for skewed keys: cold keys have two tasks, hot ones as many as they need, or all.
//!
//! Nasir et al., "When Two Choices Are Not Enough: Balancing at Scale in Distributed Stream
//! Processing" (ICDE 2016): where one key has more than two tasks can do, no choice between two
//! helps. Each sender finds its hot keys with [`SpaceSaving`]. *Spread* is the paper's D-choices,
//! *scatter* its W-choices. The paper solves for one number of choices that fits all hot keys; here
//! each key has its own, twice what its share of the stream asks for, which needs no solving and
//! gives the less hot ones fewer tasks to be merged from.
//!
//! A hot key stays with the task chosen for as many tuples as there were choices. So however many
//! there are, choosing costs a constant for each tuple, and what goes one way stays together.

use super::choices::{several, two};
use super::sent::Sent;
use super::{Batch, KeyGroups, Routed, SpaceSaving};

/// Counters for each task, and the fewest and most there are: a key is hot if it has more than one
/// task's share, so its count is known to within an eighth.
const COUNTERS_PER_TASK: usize = 8;
const COUNTERS: (usize, usize) = (64, 4096);

/// Counts are halved when there are this many tuples for each counter: then something new is hot
/// after about as many.
const TUPLES_PER_COUNTER: u64 = 128;

/// A key that came less often is not hot, however short the stream is yet.
const HOT_MIN: u64 = 32;

/// Choices of a hot key for each task that its share asks for.
const CHOICES_PER_SHARE: u64 = 2;

/// Tuples of a hot key that go one way.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    key: u64,
    task: u32,
    left: u32,
}

/// Routes each tuple by its key's choices, which are more for hot keys.
#[derive(Debug)]
pub struct HotKeys {
    /// `None` if there are no tasks.
    groups: Option<KeyGroups>,
    /// Hot keys go to all tasks.
    scatters: bool,
    sent: Sent,
    seen: SpaceSaving,
    /// By counter.
    runs: Vec<Run>,
}

impl HotKeys {
    pub(super) fn new(groups: Option<KeyGroups>, scatters: bool) -> Self {
        let tasks = groups.as_ref().map_or(0, KeyGroups::tasks);
        let counters = (tasks as usize).saturating_mul(COUNTERS_PER_TASK);
        let seen = SpaceSaving::new(counters.clamp(COUNTERS.0, COUNTERS.1));
        let runs = vec![Run::default(); seen.capacity()];
        Self { groups, scatters, sent: Sent::new(tasks), seen, runs }
    }

    pub(super) fn route(&mut self, batch: Batch<'_>, out: &mut Vec<u32>) -> Routed {
        let Some(groups) = &self.groups else {
            return Routed::Nowhere;
        };
        let tasks = groups.tasks();
        if tasks == 1 {
            return Routed::Whole(0);
        }
        debug_assert_eq!(batch.hashes.len(), batch.len, "each tuple has a key");
        if self.seen.total() >= TUPLES_PER_COUNTER * self.seen.capacity() as u64 {
            self.seen.halve();
        }
        out.extend(batch.hashes.iter().map(|&hash| {
            let slot = self.seen.offer(hash);
            let sure = self.seen.sure(slot);
            // With at most one task's share of the stream, two choices are enough.
            if sure < HOT_MIN || sure * u64::from(tasks) <= self.seen.total() {
                let (first, second) = two(groups, hash);
                let task = self.sent.less(first, second);
                self.sent.add(task, 1);
                return task;
            }
            let run = &mut self.runs[slot as usize];
            if run.key != hash || run.left == 0 {
                let wanted = CHOICES_PER_SHARE * u64::from(tasks) * sure;
                let wanted = wanted.div_ceil(self.seen.total()).max(2);
                let choices = u32::try_from(wanted).unwrap_or(tasks).min(tasks);
                let left = if self.scatters { tasks } else { choices };
                let task = several(groups, hash, left).reduce(|a, b| self.sent.less(a, b));
                let task = task.unwrap_or(0);
                // The whole run counts now, so that no other hot key takes the same task for free.
                self.sent.add(task, u64::from(left));
                *run = Run { key: hash, task, left };
            }
            run.left -= 1;
            run.task
        }));
        Routed::Each
    }
}
