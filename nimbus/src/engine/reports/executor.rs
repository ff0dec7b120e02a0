//! What an executor did with its time, as nimbus keeps it: in few bytes, for there are as many as tasks.

use proto::supervisor::ExecutorReport;

/// The low half of a total: enough to tell how much came since, as long as that is below 2^31.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Low(u32);

impl Low {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub(in crate::engine) fn of(total: u64) -> Self {
        Self(total as u32)
    }

    /// What came since `before`, which is brought up to date; nothing of what went back.
    pub(in crate::engine) fn since<const N: usize>(
        before: &mut [Self; N],
        now: [Self; N],
    ) -> [u64; N] {
        let mut news = [0; N];
        for ((new, before), now) in news.iter_mut().zip(before.iter_mut()).zip(now) {
            let step = now.0.wrapping_sub(before.0);
            *new = if step > u32::MAX / 2 { 0 } else { u64::from(step) };
            *before = now;
        }
        news
    }
}

/// An executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executor {
    /// Its index.
    pub executor: u32,
    /// Its loop in its worker.
    pub at_loop: u32,
    /// Its time in µs: executing, ready, without room ahead, waiting for acks, and in all; then what of
    /// the first two its calls waited.
    pub times: [Low; 6],
}

impl From<&ExecutorReport> for Executor {
    fn from(it: &ExecutorReport) -> Self {
        let ExecutorReport { executing_ns, ready_ns, blocked_ns, throttled_ns, .. } = *it;
        let times = [executing_ns, ready_ns, blocked_ns, throttled_ns, it.total_ns, it.waiting_ns];
        let times = times.map(|nanoseconds| Low::of(nanoseconds / 1_000));
        Self { executor: it.executor, at_loop: it.at_loop, times }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_total_tells_what_came_since() {
        let low = |totals: [u64; 3]| totals.map(Low::of);
        let mut before = low([u64::from(u32::MAX) - 1, 10, 7]);
        let news = Low::since(&mut before, low([u64::from(u32::MAX) + 5, 10, 3]));
        assert_eq!(news, [6, 0, 0], "it went on, stood still, and went back");
        assert_eq!(Low::since(&mut before, low([u64::from(u32::MAX) + 5, 10, 5])), [0, 0, 2]);
    }
}
