//! What one task measures of itself: a window of time, and the latencies inside it.
//!
//! Tasks count on their own. The clock is read for tuples that carry a time stamp, one of 64 as with
//! the peers, and at the spout's ticks; so measuring does not slow down what is measured. Time
//! stamps are of `CLOCK_MONOTONIC`, which is the same for all processes of a machine.

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::figures::as_f64;
use crate::latencies::{Buckets, Latencies};
use crate::options::Run;

/// How often the spout looks at the time.
pub(crate) const TICK: std::time::Duration = std::time::Duration::from_millis(50);

/// How long the spout goes on after its window, in which the windows of the others close: a quarter
/// of the window, and at most this.
const SLACK_MAX_NS: u64 = 1_000_000_000;

const SECOND_NS: u64 = 1_000_000_000;

/// What one task found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// The process it ran in.
    pub(crate) pid: u32,
    /// Length of its window.
    pub(crate) seconds: f64,
    /// What it counted in the window, a second.
    pub(crate) per_second: f64,
    /// Latencies taken in the window.
    pub(crate) latencies: Buckets,
    /// Processor time of the process in the window, as cores.
    pub(crate) cpu_cores: f64,
    /// Memory of the process at the end of the window.
    pub(crate) rss_mib: f64,
}

/// What was read at one end of the window.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at_ns: u64,
    count: u64,
    cpu_us: i64,
}

/// Measures one task.
pub(crate) struct Meter {
    warm_up_ns: u64,
    window_ns: u64,
    /// When something was first counted.
    begun: Option<u64>,
    opened: Option<Reading>,
    closed: Option<Reading>,
    rss_mib: f64,
    latencies: Latencies,
}

impl Meter {
    /// Waits for the first count.
    pub(crate) fn new(run: &Run) -> Self {
        Self {
            warm_up_ns: u64::from(run.warm_up) * SECOND_NS,
            window_ns: u64::from(run.seconds) * SECOND_NS,
            begun: None,
            opened: None,
            closed: None,
            rss_mib: 0.0,
            latencies: Latencies::new(),
        }
    }

    /// Opens or closes the window if it is time. `count` is what the task counted so far.
    pub(crate) fn tick(&mut self, count: u64) {
        self.look(now_ns(), count);
    }

    /// Notes that a tuple with a time stamp is here, and looks at the time for the window too.
    #[inline]
    pub(crate) fn sample(&mut self, count: u64, sent_ns: u64) {
        let now = now_ns();
        if self.opened.is_some() && self.closed.is_none() {
            self.latencies.record(now.saturating_sub(sent_ns));
        }
        self.look(now, count);
    }

    fn look(&mut self, now: u64, count: u64) {
        if count == 0 || self.closed.is_some() {
            return;
        }
        let begun = *self.begun.get_or_insert(now);
        match self.opened {
            None if now >= begun + self.warm_up_ns => self.opened = Some(Reading::take(now, count)),
            Some(opened) if now >= opened.at_ns + self.window_ns => self.close(now, count),
            _ => {}
        }
    }

    fn close(&mut self, now: u64, count: u64) {
        self.closed = Some(Reading::take(now, count));
        self.rss_mib = rss_mib();
    }

    /// Whether the window closed so long ago that those of the other tasks have closed too.
    pub(crate) fn is_over(&self) -> bool {
        let slack_ns = (self.window_ns / 4).min(SLACK_MAX_NS);
        self.closed.is_some_and(|closed| now_ns() >= closed.at_ns + slack_ns)
    }

    /// Sums up; a window that is still open ends now.
    pub(crate) fn found(&mut self, count: u64) -> Found {
        if self.closed.is_none() {
            self.close(now_ns(), count);
        }
        let pid = std::process::id();
        let (Some(opened), Some(closed)) = (self.opened, self.closed) else {
            return Found { pid, ..Found::default() };
        };
        let seconds = as_f64(closed.at_ns - opened.at_ns) / 1e9;
        let cpu_us = u64::try_from(closed.cpu_us - opened.cpu_us).unwrap_or(0);
        Found {
            pid,
            seconds,
            per_second: as_f64(closed.count - opened.count) / seconds,
            latencies: self.latencies.buckets(),
            cpu_cores: as_f64(cpu_us) / 1e6 / seconds,
            rss_mib: self.rss_mib,
        }
    }
}

impl Reading {
    fn take(at_ns: u64, count: u64) -> Self {
        Self { at_ns, count, cpu_us: cpu_us() }
    }
}

/// The processor time of this process so far, in µs.
pub(crate) fn cpu_us() -> i64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        let parts = [usage.user_time(), usage.system_time()];
        parts.iter().map(|part| part.tv_sec() * 1_000_000 + part.tv_usec()).sum()
    })
}

/// The time in nanoseconds, comparable between the processes of this machine.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec() * 1_000_000_000 + now.tv_nsec());
    u64::try_from(now).unwrap_or(0)
}

/// Memory of this process.
fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::case_of;

    fn meter(line: &str) -> Meter {
        Meter::new(case_of(line).run())
    }

    #[test]
    fn only_what_happens_in_the_window_counts() {
        let mut meter = meter("const-null --warm-up 0 --seconds 86400");
        meter.tick(0);
        assert!(meter.opened.is_none(), "nothing was counted yet");
        meter.sample(100, now_ns());
        meter.sample(200, now_ns());
        let found = meter.found(700);
        assert_eq!(found.latencies.count(), 1, "the one that opened the window is not in it");
        assert!((found.per_second * found.seconds - 600.0).abs() < 0.001, "{found:?}");
        assert_eq!(found.pid, std::process::id());
        assert!(found.rss_mib > 0.0, "{found:?}");
        assert!(!meter.is_over(), "the others are still measuring");
    }

    #[test]
    fn nothing_is_found_where_nothing_flowed() {
        let found = meter("const-null").found(0);
        assert_eq!(found, Found { pid: std::process::id(), ..Found::default() });
    }
}
