//! The only place that reads the time.
//!
//! Engines get `now` as a parameter; shells get it from a [`Clock`], so that a test can hand both
//! a time that it moves itself.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Lets the sleeps of this thread end when they are over: by default Linux adds up to 50 µs, so that
/// it may wake several threads at once.
///
/// Where that cannot be set, sleeps stay as they are.
pub fn sharpen_sleep() {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_timerslack(1).ok();
}

/// Tells the time: the system's, or one that a test moves by hand.
///
/// ```
/// use daemon::Clock;
/// use std::time::Duration;
///
/// let clock = Clock::manual();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(3));
/// assert_eq!(clock.now() - before, Duration::from_secs(3));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// `None` is the system's clock.
    manual: Option<Arc<Manual>>,
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct Manual {
    start: Instant,
    /// How far it was moved; wakes who sleeps on it.
    moved: watch::Sender<Duration>,
}

impl Clock {
    /// Reads the system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { manual: None }
    }

    /// Stands still until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual() -> Self {
        let start = Self::system().now();
        Self { manual: Some(Arc::new(Manual { start, moved: watch::Sender::default() })) }
    }

    /// Returns a time that never goes back, for measuring and for deadlines.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.manual {
            None => Instant::now(),
            Some(manual) => manual.start + *manual.moved.borrow(),
        }
    }

    /// Returns the wall clock in milliseconds since 1970, for people to read.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        self.wall_ns() / 1_000_000
    }

    /// Returns the wall clock in nanoseconds since 1970, to hold times of several processes together.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    #[must_use]
    pub fn wall_ns(&self) -> u64 {
        let since = match &self.manual {
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Some(manual) => *manual.moved.borrow(),
        };
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Waits until this much time has passed on this clock.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use daemon::Clock;
    /// use std::time::Duration;
    ///
    /// let clock = Clock::manual();
    /// let nap = clock.sleep(Duration::from_secs(3600));
    /// clock.advance(Duration::from_secs(3600));
    /// nap.await;
    /// # });
    /// ```
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.sleep_until(self.now() + duration)
    }

    /// Waits until this clock shows `deadline`.
    pub fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + use<> {
        let clock = self.clone();
        async move {
            let Some(manual) = &clock.manual else {
                return tokio::time::sleep_until(deadline.into()).await;
            };
            let due = deadline.saturating_duration_since(manual.start);
            let mut moved = manual.moved.subscribe();
            moved.wait_for(|moved| *moved >= due).await.expect("this clock holds the sender");
        }
    }

    /// Moves a manual clock forward.
    ///
    /// # Panics
    ///
    /// If this is the system's clock.
    pub fn advance(&self, by: Duration) {
        let manual = self.manual.as_ref().expect("only a manual clock can be moved");
        manual.moved.send_modify(|moved| *moved += by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_sleeps_on_a_manual_clock_wakes_when_it_was_moved_far_enough() {
        let clock = Clock::manual();
        let mut nap = pin!(clock.sleep(2 * SECOND));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(nap.as_mut().poll(&mut context), Poll::Pending);
        clock.advance(SECOND);
        assert_eq!(nap.as_mut().poll(&mut context), Poll::Pending);
        clock.clone().advance(SECOND);
        assert_eq!(nap.as_mut().poll(&mut context), Poll::Ready(()));
    }

    #[tokio::test]
    async fn a_deadline_that_has_passed_is_not_slept_for() {
        let clock = Clock::manual();
        let past = clock.now();
        clock.advance(SECOND);
        clock.sleep_until(past).await;
        let system = Clock::system();
        system.sleep_until(system.now()).await;
    }

    #[test]
    fn the_wall_clock_of_a_manual_clock_shows_how_far_it_was_moved() {
        let clock = Clock::manual();
        clock.advance(90 * SECOND);
        assert_eq!(clock.wall_ms(), 90_000);
        let new_year_2020 = 1_577_836_800_000;
        assert!(Clock::system().wall_ms() > new_year_2020, "the system's is of this age");
    }

    #[test]
    #[should_panic(expected = "only a manual clock can be moved")]
    fn the_systems_clock_cannot_be_moved() {
        Clock::system().advance(SECOND);
    }
}
