//! Which errors of a component are logged: one a second of each task and reason, so that one that fails
//! all the time does not flood the log.

use std::time::{Duration, Instant};

/// Least time between two log lines of one task and reason.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Keeps a component that fails all the time from flooding the log.
#[derive(Debug, Default)]
pub(super) struct LogGate {
    last: Option<Instant>,
    unlogged: u64,
}

impl LogGate {
    /// Says whether to log now, and how many were not logged since the last time.
    pub(super) fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + LOG_EVERY) {
            self.unlogged += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_one_after_the_other_are_logged_once_a_second_and_the_rest_counted() {
        let clock = daemon::Clock::manual();
        let mut gate = LogGate::default();
        assert_eq!(gate.pass(clock.now()), Some(0), "the first is logged at once");
        assert_eq!((gate.pass(clock.now()), gate.pass(clock.now())), (None, None));
        clock.advance(LOG_EVERY);
        assert_eq!(gate.pass(clock.now()), Some(2), "it says how many were not");
        clock.advance(LOG_EVERY);
        assert_eq!(gate.pass(clock.now()), Some(0));
    }
}
