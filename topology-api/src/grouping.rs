//! How a stream is split among the tasks of a bolt that reads it: the declaration only.

use std::fmt;
use std::sync::Arc;

use crate::custom_grouping::MakeChooser;
use crate::key::{Key, key_hash};
use crate::rows::{Batch, KeyHashes, Rows};
use crate::{KeyHasher, Tuple};

/// How a stream is split among the tasks of a bolt that reads it.
#[derive(Clone)]
pub enum Grouping {
    /// Evenly, to whichever task has room, rather near than far.
    Shuffle,
    /// As shuffle, but among the tasks in the same worker if there are any.
    LocalOrShuffle,
    /// As shuffle, but in the same thread while a task there has room.
    None,
    /// By key: tuples with the same key meet the same task.
    Fields(GroupingKey),
    /// By key: tuples with the same key meet one of two tasks.
    PartialKey(GroupingKey),
    /// As partial key, but hot keys meet as many tasks as their share needs.
    SpreadHotKeys(GroupingKey),
    /// As partial key, but hot keys meet all tasks.
    ScatterHotKeys(GroupingKey),
    /// Every task gets every tuple.
    All,
    /// Everything goes to the first task.
    Global,
    /// The emitter names the task.
    Direct,
    /// The author's code names the task.
    Custom(MakeChooser),
}

/// What the groupings by key go by.
#[derive(Clone)]
pub struct GroupingKey {
    /// Hashes the key of each tuple of a batch.
    pub hashes: KeyHashes,
    /// The fields it is made of, where the author named them.
    pub fields: Vec<String>,
}

impl Grouping {
    /// Its name as the status and the store write it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Shuffle => "shuffle",
            Self::LocalOrShuffle => "local-or-shuffle",
            Self::None => "none",
            Self::Fields(_) => "fields",
            Self::PartialKey(_) => "partial-key",
            Self::SpreadHotKeys(_) => "spread-hot-keys",
            Self::ScatterHotKeys(_) => "scatter-hot-keys",
            Self::All => "all",
            Self::Global => "global",
            Self::Direct => "direct",
            Self::Custom(_) => "custom",
        }
    }

    /// The key it goes by, if it goes by one.
    #[must_use]
    pub fn key(&self) -> Option<&GroupingKey> {
        match self {
            Self::Fields(key)
            | Self::PartialKey(key)
            | Self::SpreadHotKeys(key)
            | Self::ScatterHotKeys(key) => Some(key),
            _ => None,
        }
    }

    /// Tells whether its tuples may stay in the thread that emits them, or at least in the worker.
    #[must_use]
    pub fn may_stay(&self) -> bool {
        matches!(self, Self::Shuffle | Self::LocalOrShuffle | Self::None)
    }

    pub(crate) fn fields(&self) -> Vec<String> {
        self.key().map_or_else(Vec::new, |key| key.fields.clone())
    }
}

impl GroupingKey {
    /// The key that `key` finds in a tuple.
    pub(crate) fn by<S, K, F>(key: F) -> Self
    where
        S: Tuple,
        K: Key + ?Sized,
        F: Fn(&S) -> &K + Send + Sync + 'static,
    {
        let hashes = Arc::new(move |rows: &dyn Rows, out: &mut Vec<u64>| {
            let rows: &Batch<S> =
                rows.as_any().downcast_ref().expect("batches of one stream have one type");
            out.extend(rows.rows.iter().map(|row| key_hash(key(row))));
        });
        Self { hashes, fields: Vec::new() }
    }

    /// The key made of the fields with these names.
    pub(crate) fn named<S: Tuple>(fields: &[&str]) -> Self {
        let fields: Vec<String> = fields.iter().map(|name| (*name).to_owned()).collect();
        let schema = S::schema();
        // An unknown name is found by `build`, which sees the names.
        let places: Vec<usize> = fields.iter().filter_map(|name| schema.position(name)).collect();
        let names = schema.dynamic.then(|| fields.clone());
        let hashes = Arc::new(move |rows: &dyn Rows, out: &mut Vec<u64>| {
            let rows: &Batch<S> =
                rows.as_any().downcast_ref().expect("batches of one stream have one type");
            out.extend(rows.rows.iter().map(|row| {
                let mut hasher = KeyHasher::default();
                let mut take = |place: usize| row.hash_field(place, &mut hasher);
                match &names {
                    // Each tuple brings its own fields: a missing one adds nothing to the key.
                    Some(names) => {
                        names.iter().filter_map(|name| row.position(name)).for_each(&mut take);
                    }
                    None => places.iter().copied().for_each(&mut take),
                }
                hasher.finish()
            }));
        });
        Self { hashes, fields }
    }
}

impl fmt::Debug for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
