//! How many of something may be done in a second: a token bucket that holds a tenth of a second's
//! worth, at least one. (Turner, "New directions in communications", 1986.)

use std::time::Instant;

/// So many a second, and few at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    rate: f64,
    most: f64,
    left: f64,
    at: Instant,
}

impl Allowance {
    /// So many a second, from now on.
    pub(crate) fn new(rate: u32, now: Instant) -> Self {
        let most = (f64::from(rate) / 10.0).max(1.0);
        Self { rate: f64::from(rate), most, left: most, at: now }
    }

    /// Tells whether there is one left.
    pub(crate) fn has_one(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.left = (self.left + passed * self.rate).min(self.most);
        self.left >= 1.0
    }

    /// Takes one, if there is one left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let has_one = self.has_one(now);
        if has_one {
            self.left -= 1.0;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn in_the_long_run_it_gives_its_rate_and_never_much_at_once() {
        let start = daemon::Clock::system().now();
        let mut allowance = Allowance::new(100, start);
        let taken =
            |allowance: &mut Allowance, at| (0..1_000).filter(|_| allowance.take(at)).count();
        assert_eq!(taken(&mut allowance, start), 10, "a tenth of a second's worth");
        let all: usize = (1..=1_000)
            .map(|ms| taken(&mut allowance, start + Duration::from_millis(10 * ms)))
            .sum();
        assert!((990..=1_000).contains(&all), "{all} in ten seconds");
        assert_eq!(taken(&mut allowance, start + Duration::from_secs(3_600)), 10, "after an hour");
        assert!(Allowance::new(1, start).take(start), "one at least");
    }
}
