//! Whether a task has its instance, or waits for another try to make one.

use std::time::{Duration, Instant};

use daemon::Backoff;
pub use topology_api::runtime::guarded;

/// First wait before a task whose factory failed, or whose spout failed, is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Whether a task has its instance.
#[derive(Debug)]
pub struct TaskState {
    /// The instance is there.
    pub open: bool,
    /// It has finished and closed.
    pub ended: bool,
    /// When to try again, while it is not open.
    pub retry_at: Instant,
    backoff: Backoff,
}

impl TaskState {
    /// Not open yet: to be opened at once.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        Self { open: false, ended: false, retry_at: now, backoff }
    }

    /// Tells whether to open it now.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        !self.open && !self.ended && now >= self.retry_at
    }

    /// It was opened.
    pub fn opened(&mut self) {
        self.open = true;
    }

    /// It works: the next failure is tried again soon.
    pub fn works(&mut self) {
        self.backoff.reset();
    }

    /// It failed: returns how long to leave it alone.
    pub fn failed(&mut self, now: Instant) -> Duration {
        let wait = self.backoff.next(1.0);
        self.open = false;
        self.retry_at = now + wait;
        wait
    }
}
