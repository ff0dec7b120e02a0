//! Whether a thread has time left for what it is given: the load that no queue shows.
//!
//! A batch for a task of the same thread is executed inside the call that emitted it. Such a task
//! has never anything waiting, however much it has to do, and a shuffle that goes by room alone
//! would keep all work on one core. So the loop says here, round by round, whether it ever had
//! nothing to do, and how many tuples it routed.
//!
//! To have no time left is a reason to give work away only if the work is more than the handing
//! over: cheap tuples are done sooner than passed on.

use super::Nearness;

/// How long one look lasts, in nanoseconds.
const LOOK: u64 = 2_000_000;

/// Nanoseconds for each tuple from which it pays to give it to another thread, and to another
/// worker: several times what the handing over costs.
const PAYS: (u64, u64) = (100, 2_000);

/// Watches whether one thread has time left.
///
/// ```
/// use worker::engine::routing::{Nearness, Pressure};
///
/// let mut pressure = Pressure::default();
/// pressure.routed(1_000);
/// pressure.round(true, 1_000_000, || true);
/// pressure.round(true, 3_000_000, || true);
/// assert_eq!(pressure.busy(), Some(Nearness::Loop), "busy all the time, and another is not");
/// ```
#[derive(Debug, Default)]
pub struct Pressure {
    since_ns: u64,
    routed: u64,
    rested: bool,
    busy: Option<Nearness>,
}

impl Pressure {
    /// Notes that so many tuples were emitted on this thread.
    #[inline]
    pub fn routed(&mut self, tuples: usize) {
        self.routed += tuples as u64;
    }

    /// Notes a round that began at `now_ns` and whether anything was done in it; `another_sleeps`
    /// is asked once a look whether another thread of this worker has nothing to do.
    #[inline]
    pub fn round(&mut self, worked: bool, now_ns: u64, another_sleeps: impl FnOnce() -> bool) {
        self.rested |= !worked;
        let took = now_ns.saturating_sub(self.since_ns);
        if took < LOOK {
            return;
        }
        let each = took / self.routed.max(1);
        let no_time = !self.rested && self.routed > 0;
        self.busy = match each {
            _ if !no_time => None,
            each if each >= PAYS.0 && another_sleeps() => Some(Nearness::Loop),
            each if each >= PAYS.1 => Some(Nearness::Worker),
            _ => None,
        };
        (self.since_ns, self.routed, self.rested) = (now_ns, 0, false);
    }

    /// What has no time left, as far as it pays to go further: nothing, this thread, or this worker.
    #[inline]
    #[must_use]
    pub fn busy(&self) -> Option<Nearness> {
        self.busy
    }
}
