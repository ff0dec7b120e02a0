//! How long to wait before the next try, and when to give up.
//!
//! Pure: the random number is passed in.

use std::time::Duration;

use daemon::Backoff;

use crate::WrongOption;

/// Waits that double, each scattered over its upper half, up to a number of tries.
///
/// Scattered, so that those who lost a server at the same moment do not come back at the same moment
/// (M. Brooker, "Exponential Backoff And Jitter", 2015).
///
/// ```
/// use connectors::Retry;
/// use std::time::Duration;
///
/// let retry = Retry::new(Duration::from_millis(100), Duration::from_secs(1)).attempts(4);
/// assert_eq!(retry.wait(1, 1.0), Some(Duration::from_millis(100)));
/// assert_eq!(retry.wait(3, 1.0), Some(Duration::from_millis(400)));
/// assert_eq!(retry.wait(4, 1.0), None, "the fourth try was the last");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
    pub(crate) attempts: Option<u32>,
}

impl Default for Retry {
    /// From 100 ms to 10 s, without end.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(10))
    }
}

impl Retry {
    /// Waits of about `first`, twice as long each time, up to `max`; tries for ever.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, attempts: None }
    }

    /// Gives up after so many tries, the first one counted.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// How long to wait after `failed` tries have failed; none if that was the last. `random` is
    /// uniform in `0.0..=1.0`.
    #[must_use]
    pub fn wait(&self, failed: u32, random: f64) -> Option<Duration> {
        (!self.is_over(failed)).then(|| self.pause(failed, random))
    }

    /// Whether there is no try left after `failed` ones have failed.
    #[must_use]
    pub fn is_over(&self, failed: u32) -> bool {
        self.attempts.is_some_and(|attempts| failed >= attempts)
    }

    /// As [`wait`](Self::wait), for who goes on whatever number of tries is allowed.
    #[must_use]
    pub fn pause(&self, failed: u32, random: f64) -> Duration {
        let doublings = failed.saturating_sub(1).min(31);
        let step = self.first.saturating_mul(1 << doublings).min(self.max);
        Backoff::new(step, self.max).next(random)
    }

    /// Looks whether the policy makes sense.
    ///
    /// # Errors
    ///
    /// A wait of no time, a first wait above the longest, and no try at all, by the name of `option`.
    pub fn check(&self, option: &'static str) -> Result<(), WrongOption> {
        let (value, fix) = (format!("{self:?}"), "for example 100 ms to 10 s");
        if self.first.is_zero() || self.first > self.max {
            let why = "the first wait is zero or longer than the longest";
            return Err(WrongOption::new(option, value, why, fix));
        }
        if self.attempts == Some(0) {
            return Err(WrongOption::new(option, value, "no try at all", "allow at least one"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_never_pass_the_longest_and_end_with_the_tries(
            first in 1_u64..5_000, more in 0_u64..100_000, failed in 1_u32..100, random in 0.0..1.0,
        ) {
            let max = Duration::from_millis(first + more);
            let retry = Retry::new(Duration::from_millis(first), max);
            let wait = retry.wait(failed, random).unwrap();
            prop_assert!(wait <= max && wait >= Duration::from_millis(first) / 2);
            prop_assert_eq!(retry.clone().attempts(failed).wait(failed, random), None);
            prop_assert!(retry.attempts(failed + 1).wait(failed, random).is_some());
        }
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_told_by_the_name_of_its_option() {
        let second = Duration::from_secs(1);
        assert!(Retry::default().check("retry").is_ok());
        let wrong = [
            Retry::new(Duration::ZERO, second),
            Retry::new(second * 2, second),
            Retry::default().attempts(0),
        ];
        for retry in wrong {
            assert_eq!(retry.check("retry").unwrap_err().option(), "retry");
        }
    }
}
