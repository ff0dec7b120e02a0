//! Which incarnation of a worker: compared by assignment revision, then by restarts.

use std::fmt;

/// Names one incarnation of a worker.
///
/// The restart counter is the supervisor's own, so a crashed worker gets a newer epoch without
/// the store; a newer assignment outranks any number of restarts.
///
/// ```
/// use supervisor::engine::Epoch;
///
/// let first = Epoch { revision: 12, restarts: 0 };
/// let restarted = Epoch { revision: 12, restarts: 1 };
/// let moved = Epoch { revision: 40, restarts: 0 };
/// assert!(first < restarted && restarted < moved);
/// assert_eq!(restarted.to_string(), "12.1");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Store revision at which the worker's assignment came into being.
    pub revision: u64,
    /// Restarts since, counted on disk.
    pub restarts: u64,
}

impl Epoch {
    /// Returns the epoch of the next incarnation under the same assignment.
    #[must_use]
    pub fn next(self) -> Self {
        Self { restarts: self.restarts + 1, ..self }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.revision, self.restarts)
    }
}

impl From<Epoch> for proto::store::Epoch {
    fn from(epoch: Epoch) -> Self {
        Self { revision: epoch.revision, restarts: epoch.restarts }
    }
}

impl From<proto::store::Epoch> for Epoch {
    fn from(epoch: proto::store::Epoch) -> Self {
        Self { revision: epoch.revision, restarts: epoch.restarts }
    }
}
