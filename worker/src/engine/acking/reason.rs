//! Why a tuple tree failed, as spouts, counters and people are told.

use std::fmt;

/// Why a tuple tree failed.
///
/// ```
/// use worker::engine::acking::FailReason;
///
/// assert_eq!(FailReason::WorkerLost.name(), "worker-lost");
/// assert!(FailReason::Error.own_fault());
/// assert!(!FailReason::WorkerLost.own_fault());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FailReason {
    /// A bolt returned an error for it, or failed it through its guard.
    Error = 0,
    /// A component panicked while it held it.
    Panic = 1,
    /// Nothing was heard of it for too long, and nothing explains it.
    Timeout = 2,
    /// A worker died that it may have passed through.
    WorkerLost = 3,
    /// A link broke and could not resume.
    LinkLost = 4,
    /// Its spout's executor moved to another worker.
    Moved = 5,
    /// A worker would not take it: it came for a task the worker does not own.
    Refused = 6,
    /// A guard was dropped without a verdict.
    DroppedGuard = 7,
    /// A tuple of the tree is over the size limit.
    TooLarge = 8,
    /// One call gave more output than its component may.
    TooMuchOutput = 9,
    /// The topology stopped.
    Shutdown = 10,
    /// It was emitted to a task that does not exist.
    NoTarget = 11,
    /// A bolt needs something that is away.
    Unavailable = 12,
}

impl FailReason {
    /// Every reason, in the order of their codes.
    pub const ALL: [Self; 13] = [
        Self::Error,
        Self::Panic,
        Self::Timeout,
        Self::WorkerLost,
        Self::LinkLost,
        Self::Moved,
        Self::Refused,
        Self::DroppedGuard,
        Self::TooLarge,
        Self::TooMuchOutput,
        Self::Shutdown,
        Self::NoTarget,
        Self::Unavailable,
    ];

    /// The number that stands for it between workers.
    #[inline]
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason with this number, if there is one.
    #[inline]
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Its name in the status, in counters and in what spouts are told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::WorkerLost => "worker-lost",
            Self::LinkLost => "link-lost",
            Self::Moved => "moved",
            Self::Refused => "refused",
            Self::DroppedGuard => "dropped-guard",
            Self::TooLarge => "too-large",
            Self::TooMuchOutput => "too-much-output",
            Self::Shutdown => "shutdown",
            Self::NoTarget => "no-target",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether the tuple itself may be to blame, so that replaying it for ever would be vain.
    ///
    /// What happened to the cluster around it (`worker-lost`, `link-lost`, `moved`, `refused`,
    /// `shutdown`), or to what a bolt needs (`unavailable`), never counts towards the dead-letter stream.
    #[must_use]
    pub const fn own_fault(self) -> bool {
        !matches!(
            self,
            Self::WorkerLost
                | Self::LinkLost
                | Self::Moved
                | Self::Refused
                | Self::Shutdown
                | Self::Unavailable
        )
    }
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::FailReason;
    use std::collections::BTreeSet;

    #[test]
    fn a_reason_survives_its_code() {
        for (code, reason) in (0_u8..).zip(FailReason::ALL) {
            assert_eq!(reason.code(), code, "{reason} is out of order in ALL");
            assert_eq!(FailReason::from_code(code), Some(reason), "code {code}");
        }
        let unknown = FailReason::ALL.len() as u8;
        assert_eq!(FailReason::from_code(unknown), None, "a code of a later version");
        assert_eq!(FailReason::from_code(u8::MAX), None, "a code of a broken frame");
    }

    #[test]
    fn names_are_unlike_each_other_and_fit_a_label() {
        let names: BTreeSet<_> = FailReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), FailReason::ALL.len(), "two reasons have one name");
        let fits = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(names.iter().all(|name| fits(name)), "a name must be a metric label: {names:?}");
    }

    #[test]
    fn what_happens_to_the_cluster_is_not_the_tuples_fault() {
        let others: Vec<_> = FailReason::ALL.into_iter().filter(|r| !r.own_fault()).collect();
        let expected = [
            FailReason::WorkerLost,
            FailReason::LinkLost,
            FailReason::Moved,
            FailReason::Refused,
            FailReason::Shutdown,
            FailReason::Unavailable,
        ];
        assert_eq!(others, expected, "these never count towards the dead-letter stream");
    }
}
