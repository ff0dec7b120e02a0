//! Waiting: for a condition, the only way a test here lets time pass, and for the machine.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::Clock;

/// How long anything may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until the condition holds.
///
/// # Panics
///
/// After [`DEADLINE`], with `what` as the broken sentence.
///
/// ```
/// tests::until("one and one are two", || 1 + 1 == 2);
/// ```
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = Clock::system();
    let deadline = clock.now() + DEADLINE;
    while !holds() {
        assert!(clock.now() < deadline, "not within {} s: {what}", DEADLINE.as_secs());
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until no other test of this program has the machine to itself.
///
/// Clusters of several processes side by side would only make each other late.
pub fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    // A test that failed has let go of it all the same.
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
