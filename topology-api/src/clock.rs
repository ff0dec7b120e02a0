//! The time that a component sees: the system's, or in tests one that stands still until it is
//! moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Where a task's time comes from.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    System,
    Still {
        started: Instant,
        started_at: SystemTime,
        /// Nanoseconds moved since then.
        moved: Arc<AtomicU64>,
    },
}

impl Clock {
    /// A clock that stands still.
    #[expect(clippy::disallowed_methods, reason = "a still clock starts at some time")]
    pub(crate) fn still() -> Self {
        Self::Still {
            started: Instant::now(),
            started_at: SystemTime::now(),
            moved: Arc::default(),
        }
    }

    /// Moves a clock that stands still.
    pub(crate) fn advance(&self, time: Duration) {
        if let Self::Still { moved, .. } = self {
            let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            moved.fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "authors have no other clock than this one")]
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::System => Instant::now(),
            Self::Still { started, moved, .. } => *started + passed(moved),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "authors have no other clock than this one")]
    pub(crate) fn wall(&self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            Self::Still { started_at, moved, .. } => *started_at + passed(moved),
        }
    }
}

fn passed(moved: &AtomicU64) -> Duration {
    Duration::from_nanos(moved.load(Ordering::Relaxed))
}
