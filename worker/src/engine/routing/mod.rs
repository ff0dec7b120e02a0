//! Groupings: which task gets which tuple, one grouping a file, and the table of who has which task.
//!
//! A [`Router`] decides for one subscription of one executor's output. It works on a batch at a
//! time and says as much as it can about the whole of it ([`Routed`]), so that a batch whose tuples
//! all go one way is handed on as it is. Targets are named by *ordinal*: 0 is the first task of the
//! subscribed component. A router is cheap: when the table changes, make a new one.

mod all;
mod direct;
mod fields;
mod global;
mod key_groups;
mod local_or_shuffle;
mod shuffle;
pub mod table;
#[cfg(test)]
mod tests;
mod verdicts;

pub use direct::Direct;
pub use fields::Fields;
pub use key_groups::KeyGroups;
pub use local_or_shuffle::LocalOrShuffle;
pub use shuffle::{RUN_MIN, Shuffle};
pub use table::{Epoch, ExecutorPlace, Route, Table, VerdictRoute, incarnation_of};
pub use verdicts::SortedVerdicts;

/// Stands in `out` for "no such task": the tuple fails with `no-target`.
pub const NO_TASK: u32 = u32::MAX;

/// How a stream is split among the tasks of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupingKind {
    /// Any task, those with the most credit first.
    Shuffle,
    /// The task that has the key's group.
    Fields,
    /// Every task.
    All,
    /// The first task.
    Global,
    /// The task the emitter named.
    Direct,
    /// Any task of this worker; if it has none, any task.
    LocalOrShuffle,
}

/// The tasks a router may choose from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// For each task of the subscribed component, by ordinal, whether it runs in this worker.
    pub local: Vec<bool>,
}

impl Targets {
    /// Number of tasks.
    fn count(&self) -> u32 {
        u32::try_from(self.local.len()).expect("task numbers have 32 bits")
    }
}

/// What a router has to know about a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// Number of tuples.
    pub len: usize,
    /// Hash of the key of each tuple; looked at by a fields grouping only.
    pub hashes: &'a [u64],
    /// Ordinal that each tuple was emitted to; looked at by a direct grouping only.
    pub direct: &'a [u32],
}

/// Where the tuples of a batch go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// All of them to this ordinal.
    Whole(u32),
    /// Tuple `i` to `out[i]`, which may be [`NO_TASK`] if the grouping is direct.
    Each,
    /// Every one of them to every task.
    Every,
    /// Nowhere: there are no tasks, or no tuples.
    Nowhere,
}

/// Chooses the target tasks of batches for one subscription of one executor's output.
///
/// ```
/// use worker::engine::routing::{Batch, GroupingKind, Routed, Router, Targets};
///
/// let targets = Targets { local: vec![false, true, false] };
/// let mut router = Router::new(GroupingKind::LocalOrShuffle, targets, 42);
/// let batch = Batch { len: 100, ..Batch::default() };
/// let routed = router.route(batch, &|_| u64::MAX, &mut Vec::new());
/// assert_eq!(routed, Routed::Whole(1));
/// ```
#[derive(Debug)]
pub enum Router {
    /// See [`Shuffle`].
    Shuffle(Shuffle),
    /// See [`Fields`].
    Fields(Fields),
    /// Every tuple to every one of this many tasks.
    All(u32),
    /// Every tuple to the first of this many tasks.
    Global(u32),
    /// See [`Direct`].
    Direct(Direct),
    /// See [`LocalOrShuffle`].
    LocalOrShuffle(LocalOrShuffle),
}

impl Router {
    /// The router of one subscription; `seed` should be unlike that of other executors, so that
    /// they do not all begin with the same task.
    ///
    /// Fields grouping gets the key groups of a component that was never rescaled: as many as its
    /// tasks ask for, dealt out evenly. [`with_key_groups`](Self::with_key_groups) takes others.
    #[must_use]
    pub fn new(kind: GroupingKind, targets: Targets, seed: u64) -> Self {
        let tasks = targets.count();
        match kind {
            GroupingKind::Shuffle => Self::Shuffle(Shuffle::new(tasks, seed)),
            GroupingKind::Fields => Self::Fields(Fields::never_rescaled(tasks)),
            GroupingKind::All => Self::All(tasks),
            GroupingKind::Global => Self::Global(tasks),
            GroupingKind::Direct => Self::Direct(Direct::new(tasks)),
            GroupingKind::LocalOrShuffle => {
                Self::LocalOrShuffle(LocalOrShuffle::new(&targets, seed))
            }
        }
    }

    /// The router of a fields grouping whose key groups are dealt out like this.
    #[must_use]
    pub fn with_key_groups(groups: KeyGroups) -> Self {
        Self::Fields(Fields::new(groups))
    }

    /// Says where the tuples of a batch go; what `out` held before is gone.
    ///
    /// `load` tells the credit left at an ordinal, in tuples. It is asked a few times a batch, not
    /// once a tuple.
    pub fn route(
        &mut self,
        batch: Batch<'_>,
        load: &dyn Fn(u32) -> u64,
        out: &mut Vec<u32>,
    ) -> Routed {
        out.clear();
        if batch.len == 0 {
            return Routed::Nowhere;
        }
        match self {
            Self::Shuffle(shuffle) => shuffle.route(batch.len, load, out),
            Self::Fields(fields) => fields.route(batch, out),
            Self::All(tasks) => all::route(*tasks),
            Self::Global(tasks) => global::route(*tasks),
            Self::Direct(direct) => direct.route(batch, out),
            Self::LocalOrShuffle(local) => local.route(batch.len, load, out),
        }
    }
}
