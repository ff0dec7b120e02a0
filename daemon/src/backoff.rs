//! How long to wait before the next try: exponential, capped, jittered.
//!
//! Pure: the random number is passed in.

use std::time::Duration;

/// Waits that double from `first` to `max`, each scattered over its upper half.
///
/// ```
/// use daemon::Backoff;
/// use std::time::Duration;
///
/// let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
/// assert_eq!(backoff.next(1.0), Duration::from_millis(100));
/// assert_eq!(backoff.next(1.0), Duration::from_millis(200));
/// backoff.reset();
/// assert_eq!(backoff.next(0.0), Duration::from_millis(50));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    /// The next wait before jitter.
    ///
    /// Invariant: between `first` and `max`.
    wait: Duration,
}

impl Backoff {
    /// Starts with waits of about `first`; they never pass `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        let first = first.min(max);
        Self { first, max, wait: first }
    }

    /// Returns how long to wait now; `random` is uniform in `0.0..=1.0`.
    pub fn next(&mut self, random: f64) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(self.max);
        wait.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }

    /// Starts over: the last try went well.
    pub fn reset(&mut self) {
        self.wait = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_wait_is_within_the_upper_half_of_its_step(
            first_ms in 1_u64..10_000,
            max_ms in 1_u64..10_000,
            randoms in prop::collection::vec(-0.5..1.5, 1..20),
        ) {
            let (first, max) = (Duration::from_millis(first_ms), Duration::from_millis(max_ms));
            let mut backoff = Backoff::new(first, max);
            let mut step = first.min(max);
            for random in randoms {
                let wait = backoff.next(random);
                prop_assert!(wait >= step / 2 && wait <= step, "{wait:?} of {step:?}");
                step = (step * 2).min(max);
            }
        }
    }
}
