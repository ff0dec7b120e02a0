//! When a file that is being written is complete, and when what was written has to be safe.
//!
//! Pure: the time is passed in.

use std::time::{Duration, Instant};

/// What makes a file complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// As long as this, in bytes.
    pub(super) bytes: u64,
    /// With so many records.
    pub(super) records: u64,
    /// So long after its first record.
    pub(super) age: Duration,
}

/// How much a file holds, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) bytes: u64,
    pub(super) records: u64,
    pub(super) since: Instant,
}

impl Limits {
    /// Whether a file is complete.
    pub(super) fn are_reached(&self, held: &Held, now: Instant) -> bool {
        held.records > 0
            && (held.bytes >= self.bytes
                || held.records >= self.records
                || now.saturating_duration_since(held.since) >= self.age)
    }

    /// Whether a file has to be complete before it takes so many bytes more. One record is taken whatever
    /// its length.
    pub(super) fn are_passed_by(&self, held: &Held, more: usize) -> bool {
        held.records > 0 && held.bytes + more as u64 > self.bytes
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests count from some instant")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_file_is_complete_by_length_records_or_age() {
        let since = Instant::now();
        let limits = Limits { bytes: 100, records: 10, age: MINUTE };
        let held = |bytes, records| Held { bytes, records, since };
        assert!(!limits.are_reached(&held(99, 9), since + MINUTE / 2));
        assert!(limits.are_reached(&held(100, 1), since));
        assert!(limits.are_reached(&held(1, 10), since));
        assert!(limits.are_reached(&held(1, 1), since + MINUTE));
        assert!(!limits.are_reached(&held(0, 0), since + 2 * MINUTE), "nothing is in it");
    }

    proptest! {
        #[test]
        fn no_file_is_longer_than_allowed_but_for_one_long_record(
            lengths in prop::collection::vec(0_usize..300, 1..100),
        ) {
            let since = Instant::now();
            let limits = Limits { bytes: 200, records: 20, age: MINUTE };
            let mut held = Held { bytes: 0, records: 0, since };
            for length in lengths {
                if limits.are_passed_by(&held, length) {
                    held = Held { bytes: 0, records: 0, since };
                }
                held.bytes += length as u64;
                held.records += 1;
                prop_assert!(held.bytes <= 200 || held.records == 1);
                if limits.are_reached(&held, since) {
                    held = Held { bytes: 0, records: 0, since };
                }
            }
        }
    }
}
