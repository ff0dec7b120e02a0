//! How long threads ran or waited for a core, as Linux tells: `/proc/self/task/ID/schedstat`, whose first
//! two numbers are nanoseconds on a core and nanoseconds in the queue for one (`sched-stats.rst` of the
//! kernel). It is read by who reports, about once a second: the threads themselves do nothing for it.

use std::fs;

/// A thread of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadClock(u32);

impl ThreadClock {
    /// The thread that asks; `None` where the system does not tell which it is.
    #[must_use]
    pub fn own() -> Option<Self> {
        let link = fs::read_link("/proc/thread-self").ok()?;
        link.file_name()?.to_str()?.parse().ok().map(Self)
    }

    /// For how long it ran or waited for a core so far, in nanoseconds; `None` once it has ended.
    #[must_use]
    pub fn ran(self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.0)).ok()?;
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        let (ran, queued) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(ran.saturating_add(queued))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_is_seen_to_run() {
        let own = ThreadClock::own().expect("Linux tells");
        let before = own.ran().expect("Linux tells");
        let mut sum = 0_u64;
        while own.ran().expect("it runs") < before + 2_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let other = std::thread::spawn(ThreadClock::own).join().expect("it does not panic");
        assert_ne!(other, Some(own), "another thread is another");
    }
}
