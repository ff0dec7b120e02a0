//! Groupings: which task gets which tuple, one grouping a file, and the table of who has which task.
//!
//! A [`Router`] decides for one subscription of one executor's output. It works on a batch at a
//! time and says as much as it can about the whole of it ([`Routed`]), so that a batch whose tuples
//! all go one way is handed on as it is. Targets are named by *ordinal*: 0 is the first task of the
//! subscribed component. A router is cheap: when the table changes, make a new one.

mod all;
mod choices;
mod custom;
mod direct;
mod fields;
mod global;
mod hot_keys;
mod key_groups;
mod local_or_shuffle;
mod none;
mod partial_key;
mod pressure;
mod reach;
mod read;
mod sent;
mod shuffle;
mod space_saving;
pub mod table;
#[cfg(test)]
mod tests;
mod verdicts;

pub use custom::Custom;
pub use direct::Direct;
pub use fields::Fields;
pub use hot_keys::HotKeys;
pub use key_groups::KeyGroups;
pub use local_or_shuffle::LocalOrShuffle;
pub use partial_key::PartialKey;
pub use pressure::Pressure;
pub use shuffle::{RUN_MIN, Shuffle};
pub use space_saving::SpaceSaving;
pub use table::{
    Epoch, ExecutorPlace, Former, Misrouted, Released, Route, Table, VerdictRoute, incarnation_of,
};
pub use verdicts::SortedVerdicts;

/// Stands in `out` for "no such task": the tuple fails with `no-target`.
pub const NO_TASK: u32 = u32::MAX;

/// The room of a task that nothing waits for: what `load` says is in parts of this.
pub const ROOM_FULL: u64 = 1024;

/// How a stream is split among the tasks of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupingKind {
    /// Any task, the nearest that keep up first.
    Shuffle,
    /// Any task, those of the same thread for as long as they have room.
    None,
    /// The task that has the key's group.
    Fields,
    /// The less loaded of the key's two tasks.
    PartialKey,
    /// The less loaded of the key's two tasks; of more if it is hot.
    SpreadHotKeys,
    /// The less loaded of the key's two tasks; of all if it is hot.
    ScatterHotKeys,
    /// Every task.
    All,
    /// The first task.
    Global,
    /// The task the emitter named.
    Direct,
    /// The task the author's code named.
    Custom,
    /// Any task of this worker; if it has none, any task.
    LocalOrShuffle,
}

impl GroupingKind {
    /// Whether it goes by a key, and so wants its hashes.
    #[must_use]
    pub const fn is_keyed(self) -> bool {
        matches!(self, Self::Fields | Self::PartialKey | Self::SpreadHotKeys | Self::ScatterHotKeys)
    }

    /// Whether somebody names the task of each tuple.
    #[must_use]
    pub const fn is_named(self) -> bool {
        matches!(self, Self::Direct | Self::Custom)
    }
}

/// How near a task is to its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// On the same loop, so in the same thread.
    Loop,
    /// On another loop of the same worker.
    Worker,
    /// In another worker, or not placed yet.
    Away,
}

/// The tasks a router may choose from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// For each task of the subscribed component, by ordinal, how near it is.
    pub near: Vec<Nearness>,
}

impl Targets {
    /// Number of tasks.
    fn count(&self) -> u32 {
        u32::try_from(self.near.len()).expect("task numbers have 32 bits")
    }
}

/// What a router has to know about a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// Number of tuples.
    pub len: usize,
    /// Hash of the key of each tuple; looked at by groupings by key only.
    pub hashes: &'a [u64],
    /// Ordinal that the emitter or the author's code named for each tuple; looked at by direct and
    /// custom groupings only.
    pub direct: &'a [u32],
    /// What has no time left for more, if anything: this loop, or this worker. Looked at by a
    /// shuffle.
    pub busy: Option<Nearness>,
}

/// Where the tuples of a batch go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// All of them to this ordinal.
    Whole(u32),
    /// Tuple `i` to `out[i]`, which may be [`NO_TASK`] if the grouping is direct or custom.
    Each,
    /// Every one of them to every task.
    Every,
    /// Nowhere: there are no tasks, or no tuples.
    Nowhere,
}

/// Chooses the target tasks of batches for one subscription of one executor's output.
///
/// ```
/// use worker::engine::routing::{Batch, GroupingKind, Nearness, ROOM_FULL, Routed, Router, Targets};
///
/// let targets = Targets { near: vec![Nearness::Away, Nearness::Worker, Nearness::Away] };
/// let mut router = Router::new(GroupingKind::LocalOrShuffle, &targets, 42);
/// let batch = Batch { len: 100, ..Batch::default() };
/// let routed = router.route(batch, &|_| ROOM_FULL, &mut Vec::new());
/// assert_eq!(routed, Routed::Whole(1));
/// ```
#[derive(Debug)]
pub enum Router {
    /// See [`Shuffle`]; the none grouping too.
    Shuffle(Shuffle),
    /// See [`Fields`].
    Fields(Fields),
    /// See [`PartialKey`].
    PartialKey(PartialKey),
    /// See [`HotKeys`].
    HotKeys(HotKeys),
    /// Every tuple to every one of this many tasks.
    All(u32),
    /// Every tuple to the first of this many tasks.
    Global(u32),
    /// See [`Direct`].
    Direct(Direct),
    /// See [`Custom`].
    Custom(Custom),
    /// See [`LocalOrShuffle`].
    LocalOrShuffle(LocalOrShuffle),
}

impl Router {
    /// The router of one subscription; `seed` should be unlike that of other executors, so that
    /// they do not all begin with the same task.
    ///
    /// Groupings by key get the key groups of a component that was never rescaled: as many as its
    /// tasks ask for, dealt out evenly. [`with_key_groups`](Self::with_key_groups) takes others.
    #[must_use]
    pub fn new(kind: GroupingKind, targets: &Targets, seed: u64) -> Self {
        let tasks = targets.count();
        match kind {
            GroupingKind::Shuffle => Self::Shuffle(Shuffle::new(targets, seed)),
            GroupingKind::None => Self::Shuffle(none::new(targets, seed)),
            GroupingKind::LocalOrShuffle => {
                Self::LocalOrShuffle(LocalOrShuffle::new(targets, seed))
            }
            GroupingKind::All => Self::All(tasks),
            GroupingKind::Global => Self::Global(tasks),
            GroupingKind::Direct => Self::Direct(Direct::new(tasks)),
            GroupingKind::Custom => Self::Custom(Custom::new(tasks)),
            GroupingKind::Fields
            | GroupingKind::PartialKey
            | GroupingKind::SpreadHotKeys
            | GroupingKind::ScatterHotKeys => {
                let even = || KeyGroups::even(KeyGroups::count_for(tasks), tasks);
                Self::keyed(kind, (tasks > 0).then(even))
            }
        }
    }

    /// The router of a grouping by key whose key groups are dealt out like this; any other kind is
    /// taken for a fields grouping.
    #[must_use]
    pub fn with_key_groups(kind: GroupingKind, groups: KeyGroups) -> Self {
        Self::keyed(kind, Some(groups))
    }

    fn keyed(kind: GroupingKind, groups: Option<KeyGroups>) -> Self {
        match kind {
            GroupingKind::PartialKey => Self::PartialKey(PartialKey::new(groups)),
            GroupingKind::SpreadHotKeys => Self::HotKeys(HotKeys::new(groups, false)),
            GroupingKind::ScatterHotKeys => Self::HotKeys(HotKeys::new(groups, true)),
            _ => Self::Fields(Fields::new(groups)),
        }
    }

    /// Says where the tuples of a batch go; what `out` held before is gone.
    ///
    /// `load` tells how much room is left at an ordinal, in parts of [`ROOM_FULL`]. It is asked a few
    /// times a batch, not once a tuple.
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
            Self::Shuffle(shuffle) => shuffle.route((batch.len, batch.busy), load, out),
            Self::LocalOrShuffle(local) => local.route((batch.len, batch.busy), load, out),
            Self::Fields(fields) => fields.route(batch, out),
            Self::PartialKey(partial) => partial.route(batch, out),
            Self::HotKeys(hot) => hot.route(batch, out),
            Self::All(tasks) => all::route(*tasks),
            Self::Global(tasks) => global::route(*tasks),
            Self::Direct(direct) => direct.route(batch, out),
            Self::Custom(custom) => custom.route(batch, out),
        }
    }
}
