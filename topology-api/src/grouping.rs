//! How a stream is split among the tasks of a bolt that reads it: the declaration only.

use std::fmt;

use crate::rows::KeyHashes;

/// How a stream is split among the tasks of a bolt that reads it.
#[derive(Clone)]
pub enum Grouping {
    /// Evenly, to whichever task has room.
    Shuffle,
    /// As shuffle, but among the tasks in the same worker if there are any.
    LocalOrShuffle,
    /// By key: tuples with the same key meet the same task.
    Fields {
        /// Hashes the key of each tuple of a batch.
        hashes: KeyHashes,
        /// The fields it is made of, where the author named them.
        fields: Vec<String>,
    },
    /// Every task gets every tuple.
    All,
    /// Everything goes to the first task.
    Global,
    /// The emitter names the task.
    Direct,
}

impl Grouping {
    /// Its name as the status and the store write it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Shuffle => "shuffle",
            Self::LocalOrShuffle => "local-or-shuffle",
            Self::Fields { .. } => "fields",
            Self::All => "all",
            Self::Global => "global",
            Self::Direct => "direct",
        }
    }

    pub(crate) fn fields(&self) -> Vec<String> {
        match self {
            Self::Fields { fields, .. } => fields.clone(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Debug for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
