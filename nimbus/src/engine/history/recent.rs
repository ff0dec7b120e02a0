//! What each task and each executor did of late: ten seconds and a minute, in spans of five seconds.

use std::time::Instant;

use proto::supervisor::ExecutorReport;

use super::super::reports::work::{Task as Counted, Work};
use super::super::reports::{Epoch, Live};
use super::compact::Rate;

/// How long one span is, in seconds.
const SPAN: u64 = 5;

/// Spans of ten seconds.
pub const TEN_SECONDS: usize = 2;

/// Spans of a minute.
pub const MINUTE: usize = 12;

/// Sums of `N` numbers over the newest `B` spans of five seconds.
#[derive(Clone, Debug)]
pub struct Windows<const N: usize, const B: usize> {
    rates: [[Rate; N]; B],
    /// Of the span that is not over.
    sums: [f32; N],
    /// Its number.
    span: u32,
    /// How many are over.
    over: u8,
    /// Seconds of the first one that had passed when it began.
    late: u8,
}

impl<const N: usize, const B: usize> Windows<N, B> {
    /// Begins with this second.
    pub(super) fn new(second: u64) -> Self {
        let (rates, late) = ([[Rate::default(); N]; B], u8::try_from(second % SPAN).unwrap_or(0));
        Self { rates, sums: [0.0; N], span: span(second), over: 0, late }
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "24 bits do")]
    pub(super) fn add(&mut self, second: u64, counts: [u64; N]) {
        let span = span(second);
        while self.span < span {
            let seconds = (SPAN - u64::from(std::mem::take(&mut self.late))) as f64;
            let at = self.span as usize % B;
            self.rates[at] = self.sums.map(|sum| Rate::of(f64::from(sum) / seconds));
            self.sums = [0.0; N];
            self.span =
                if span - self.span > B as u32 + 1 { span - B as u32 } else { self.span + 1 };
            self.over = self.over.saturating_add(1);
        }
        self.sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count as f32);
    }

    /// Means a second over the newest `spans`, or as many as there were; `None` before the first is
    /// over.
    #[must_use]
    pub fn rates(&self, spans: usize) -> Option<[f64; N]> {
        let spans = spans.min(B).min(usize::from(self.over));
        let mut means = [0.0; N];
        for back in 1..=spans {
            let rates = &self.rates[(self.span as usize + B - back) % B];
            for (mean, rate) in means.iter_mut().zip(rates) {
                *mean += rate.per_second().unwrap_or(0.0);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "there are twelve")]
        let count = spans as f64;
        (spans > 0).then(|| means.map(|mean| mean / count))
    }
}

fn span(second: u64) -> u32 {
    u32::try_from(second / SPAN).unwrap_or(u32::MAX)
}

/// What a task did of late.
#[derive(Clone, Debug)]
pub struct Task {
    number: u32,
    totals: [Low; 4],
    /// Tuples emitted, executed, acked and failed.
    pub windows: Windows<4, MINUTE>,
}

/// What an executor did of late.
#[derive(Clone, Debug)]
pub struct Executor {
    index: u32,
    totals: [Low; 6],
    /// Its time in µs: executing, ready, without room ahead, waiting for acks, and in all; then what of
    /// the first two its calls waited.
    pub windows: Windows<6, TEN_SECONDS>,
}

/// What the tasks and executors of a worker did of late.
#[derive(Clone, Debug)]
pub struct Worker {
    epoch: Epoch,
    /// When what it counted was heard of last.
    at: Instant,
    tasks: Vec<Task>,
    executors: Vec<Executor>,
}

/// What a task or an executor did since the worker was looked at before.
pub struct News<'a> {
    /// Tasks, and the tuples that each emitted, executed, acked and failed.
    pub tasks: Vec<(&'a Counted, [u64; 4])>,
    /// Executors by index, and the time of each in µs.
    pub executors: Vec<(u32, [u64; 6])>,
}

impl Worker {
    /// Begins with what a worker has counted so far: when it did is not known.
    #[must_use]
    pub fn new(live: &Live, second: u64) -> Self {
        let mut new =
            Self { epoch: live.epoch, at: live.counted, tasks: Vec::new(), executors: Vec::new() };
        // When it did what it has counted so far nobody knows.
        let (work, next) = (&live.work, second + 1);
        new.tasks.extend(work.tasks.iter().map(|it| Task::new(it, it.totals, next)));
        new.executors.extend(work.executors.iter().map(|it| Executor::new(it, times(it), next)));
        new.tasks.sort_unstable_by_key(|task| task.number);
        new.executors.sort_unstable_by_key(|executor| executor.index);
        new.tasks.shrink_to_fit();
        new.executors.shrink_to_fit();
        new
    }

    /// Takes in what a worker reports, and tells what is new; `None` if it has said nothing since.
    /// One that was started again has counted from nothing.
    pub fn update<'a>(&mut self, live: &'a Live, second: u64) -> Option<News<'a>> {
        if live.epoch == self.epoch && live.counted == self.at {
            return None;
        }
        if live.epoch != self.epoch {
            self.tasks.iter_mut().for_each(|task| task.totals = [Low(0); 4]);
            self.executors.iter_mut().for_each(|executor| executor.totals = [Low(0); 6]);
        }
        (self.epoch, self.at) = (live.epoch, live.counted);
        Some(self.take(&live.work, second))
    }

    fn take<'a>(&mut self, work: &'a Work, second: u64) -> News<'a> {
        if self.tasks.len() > work.tasks.len() {
            self.tasks.retain(|known| work.tasks.iter().any(|task| task.task == known.number));
        }
        self.tasks.reserve_exact(work.tasks.len().saturating_sub(self.tasks.len()));
        let mut tasks = Vec::with_capacity(work.tasks.len());
        for task in &work.tasks {
            let at = self.tasks.binary_search_by_key(&task.task, |known| known.number);
            let at = at.unwrap_or_else(|at| {
                self.tasks.insert(at, Task::new(task, [0; 4], second));
                at
            });
            let known = &mut self.tasks[at];
            let news = Low::since(&mut known.totals, task.totals);
            known.windows.add(second, news);
            tasks.push((task, news));
        }
        News { tasks, executors: self.take_executors(&work.executors, second) }
    }

    fn take_executors(&mut self, reports: &[ExecutorReport], second: u64) -> Vec<(u32, [u64; 6])> {
        self.executors.retain(|known| reports.iter().any(|it| it.executor == known.index));
        self.executors.reserve_exact(reports.len().saturating_sub(self.executors.len()));
        let mut executors = Vec::with_capacity(reports.len());
        for report in reports {
            let at = self.executors.binary_search_by_key(&report.executor, |known| known.index);
            let at = at.unwrap_or_else(|at| {
                self.executors.insert(at, Executor::new(report, [0; 6], second));
                at
            });
            let known = &mut self.executors[at];
            let news = Low::since(&mut known.totals, times(report));
            known.windows.add(second, news);
            executors.push((report.executor, news));
        }
        executors
    }

    /// What a task did of late.
    #[must_use]
    pub fn task(&self, number: u32) -> Option<&Task> {
        let at = self.tasks.binary_search_by_key(&number, |task| task.number).ok()?;
        Some(&self.tasks[at])
    }

    /// What an executor did of late.
    #[must_use]
    pub fn executor(&self, index: u32) -> Option<&Executor> {
        let at = self.executors.binary_search_by_key(&index, |it| it.index).ok()?;
        Some(&self.executors[at])
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.tasks.capacity() * size_of::<Task>()
            + self.executors.capacity() * size_of::<Executor>()
    }
}

impl Task {
    fn new(task: &Counted, totals: [u64; 4], second: u64) -> Self {
        let (number, totals) = (task.task, totals.map(Low::of));
        Self { number, totals, windows: Windows::new(second) }
    }
}

impl Executor {
    fn new(report: &ExecutorReport, totals: [u64; 6], second: u64) -> Self {
        let (index, totals) = (report.executor, totals.map(Low::of));
        Self { index, totals, windows: Windows::new(second) }
    }
}

/// In µs.
fn times(it: &ExecutorReport) -> [u64; 6] {
    let ExecutorReport { executing_ns, ready_ns, blocked_ns, throttled_ns, .. } = *it;
    [executing_ns, ready_ns, blocked_ns, throttled_ns, it.total_ns, it.waiting_ns]
        .map(|nanoseconds| nanoseconds / 1_000)
}

/// The low half of a total: enough to tell how much came since, as long as that is below 2^31.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Low(u32);

impl Low {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    fn of(total: u64) -> Self {
        Self(total as u32)
    }

    /// What came since `before`, which is brought up to date; nothing of what went back.
    fn since<const N: usize>(before: &mut [Self; N], now: [u64; N]) -> [u64; N] {
        let mut news = [0; N];
        for ((new, before), now) in news.iter_mut().zip(before.iter_mut()).zip(now.map(Self::of)) {
            let step = now.0.wrapping_sub(before.0);
            *new = if step > u32::MAX / 2 { 0 } else { u64::from(step) };
            *before = now;
        }
        news
    }
}

/// What came since `before`, which is brought up to date.
pub(super) fn since<const N: usize>(before: &mut [u64; N], now: [u64; N]) -> [u64; N] {
    let mut news = now;
    for (new, before) in news.iter_mut().zip(before.iter()) {
        *new = new.saturating_sub(*before);
    }
    *before = now;
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_span_that_is_shorter_is_the_mean_of_what_there_is_of_it() {
        let mut windows = Windows::<1, 12>::new(3);
        (3..10).for_each(|second| windows.add(second, [10]));
        assert_eq!(windows.rates(12), Some([10.0]), "two seconds of five");
        windows.add(10, [0]);
        assert_eq!(windows.rates(12), Some([10.0]));
    }

    #[test]
    fn half_of_a_total_tells_what_came_since() {
        let mut before = [u64::from(u32::MAX) - 1, 10, 7].map(Low::of);
        let news = Low::since(&mut before, [u64::from(u32::MAX) + 5, 10, 3]);
        assert_eq!(news, [6, 0, 0], "it went on, stood still, and went back");
        assert_eq!(Low::since(&mut before, [u64::from(u32::MAX) + 5, 10, 5]), [0, 0, 2]);
    }

    #[test]
    fn a_window_is_the_mean_of_what_is_over_and_forgets_what_is_old() {
        let mut windows = Windows::<1, 12>::new(0);
        assert_eq!(windows.rates(12), None, "nothing is over");
        (0..10).for_each(|second| windows.add(second, [10]));
        assert_eq!(windows.rates(2), Some([10.0]), "one span is over");
        (10..20).for_each(|second| windows.add(second, [20]));
        windows.add(20, [0]);
        assert_eq!((windows.rates(2), windows.rates(12)), (Some([20.0]), Some([15.0])));
        windows.add(95, [0]);
        assert_eq!(windows.rates(12), Some([0.0]), "more than a minute has passed");
        windows.add(100_000, [0]);
        assert_eq!(windows.rates(12), Some([0.0]), "so has more than a day");
    }
}
