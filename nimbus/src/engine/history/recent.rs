//! What each task and each executor did of late: ten seconds and a minute, in spans of five seconds.

use std::time::Instant;

use super::super::reports::executor::{Executor as Spent, Low};
use super::super::reports::work::{Task as Counted, Work};
use super::super::reports::{Epoch, Live};
use super::compact::Rate;

/// How long one span is, in seconds.
const SPAN: u64 = 5;

/// Spans of ten seconds.
pub const TEN_SECONDS: usize = 2;

/// Spans of a minute.
pub const MINUTE: usize = 12;

/// Pairs of spans that are kept beside the newest two: with them they are a minute.
pub const PAIRS: usize = 5;

/// Sums of `N` numbers over the newest spans of five seconds: two, and those before them in `PAIRS` pairs,
/// so that a minute takes little more than half of the room.
#[derive(Clone, Debug)]
pub struct Windows<const N: usize, const PAIRS: usize> {
    /// The newest two that are over, the one with the even number first.
    newest: [[Rate; N]; 2],
    /// The means of those before, the pair of spans 0 and 1 first, and again from there.
    pairs: [[Rate; N]; PAIRS],
    /// Of the span that is not over.
    sums: [f32; N],
    /// Its number.
    span: u32,
    /// How many are over.
    over: u8,
    /// Seconds of the first one that had passed when it began.
    late: u8,
}

impl<const N: usize, const PAIRS: usize> Windows<N, PAIRS> {
    /// Begins with this second.
    pub(super) fn new(second: u64) -> Self {
        let (newest, pairs) = ([[Rate::default(); N]; 2], [[Rate::default(); N]; PAIRS]);
        let late = u8::try_from(second % SPAN).unwrap_or(0);
        Self { newest, pairs, sums: [0.0; N], span: span(second), over: 0, late }
    }

    #[expect(clippy::cast_precision_loss, reason = "24 bits do")]
    pub(super) fn add(&mut self, second: u64, counts: [u64; N]) {
        let span = span(second);
        if span.saturating_sub(self.span) as usize > 2 * PAIRS + 3 {
            // Nothing is left of what was before.
            *self = Self { span, over: u8::MAX, ..Self::new(0) };
        }
        while self.span < span {
            self.end_span();
        }
        self.sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count as f32);
    }

    #[expect(clippy::cast_precision_loss, reason = "there are five")]
    fn end_span(&mut self) {
        let seconds = (SPAN - u64::from(std::mem::take(&mut self.late))) as f64;
        let span = self.span as usize;
        let [even, odd] = &self.newest;
        let pair_before = (span / 2 + PAIRS).saturating_sub(1).checked_rem(PAIRS);
        if let Some(at) = pair_before.filter(|_| span.is_multiple_of(2)) {
            let mean = |at: usize| {
                let [even, odd] = [even[at], odd[at]].map(|rate| rate.per_second().unwrap_or(0.0));
                Rate::of(if self.over < 2 { odd } else { even.midpoint(odd) })
            };
            self.pairs[at] = std::array::from_fn(mean);
        }
        self.newest[span % 2] = self.sums.map(|sum| Rate::of(f64::from(sum) / seconds));
        self.sums = [0.0; N];
        self.span += 1;
        self.over = self.over.saturating_add(1);
    }

    /// Means a second over the newest `spans`, or as many as there were; `None` before the first is
    /// over. Of more than two it may be one less: the second of a pair is not over then.
    #[must_use]
    pub fn rates(&self, spans: usize) -> Option<[f64; N]> {
        let (over, next) = (usize::from(self.over), self.span as usize);
        let begun = spans > 2 && next % 2 == 1;
        let alone = if begun { 1 } else { 2 }.min(spans).min(over);
        let paired = (over - alone).min(2 * PAIRS).min(spans - spans.min(alone));
        let mut means = [0.0; N];
        let mut add = |rates: &[Rate; N], weight: f64| {
            for (mean, rate) in means.iter_mut().zip(rates) {
                *mean += rate.per_second().unwrap_or(0.0) * weight;
            }
        };
        (1..=alone).for_each(|back| add(&self.newest[(next + 2 - back) % 2], 1.0));
        for back in 1..=paired.div_ceil(2) {
            // Of the oldest there may be only one half.
            let weight = if 2 * back > paired { 1.0 } else { 2.0 };
            let pair = next.saturating_sub(1) / 2 + 2 * PAIRS;
            let at = (pair - back).checked_rem(PAIRS);
            at.into_iter().for_each(|at| add(&self.pairs[at], weight));
        }
        #[expect(clippy::cast_precision_loss, reason = "there are twelve")]
        let count = (alone + paired) as f64;
        (count > 0.0).then(|| means.map(|mean| mean / count))
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
    pub windows: Windows<4, PAIRS>,
}

/// What an executor did of late.
#[derive(Clone, Debug)]
pub struct Executor {
    index: u32,
    totals: [Low; 6],
    /// Its time in µs: executing, ready, without room ahead, waiting for acks, and in all; then what of
    /// the first two its calls waited.
    pub windows: Windows<6, 0>,
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
        new.executors.extend(work.executors.iter().map(|it| Executor::new(it, it.times, next)));
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
            self.tasks.iter_mut().for_each(|task| task.totals = [Low::default(); 4]);
            self.executors.iter_mut().for_each(|executor| executor.totals = [Low::default(); 6]);
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
            let news = Low::since(&mut known.totals, task.totals.map(Low::of));
            known.windows.add(second, news);
            tasks.push((task, news));
        }
        News { tasks, executors: self.take_executors(&work.executors, second) }
    }

    fn take_executors(&mut self, reports: &[Spent], second: u64) -> Vec<(u32, [u64; 6])> {
        self.executors.retain(|known| reports.iter().any(|it| it.executor == known.index));
        self.executors.reserve_exact(reports.len().saturating_sub(self.executors.len()));
        let mut executors = Vec::with_capacity(reports.len());
        for report in reports {
            let at = self.executors.binary_search_by_key(&report.executor, |known| known.index);
            let at = at.unwrap_or_else(|at| {
                self.executors.insert(at, Executor::new(report, [Low::default(); 6], second));
                at
            });
            let known = &mut self.executors[at];
            let news = Low::since(&mut known.totals, report.times);
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
    fn new(report: &Spent, totals: [Low; 6], second: u64) -> Self {
        Self { index: report.executor, totals, windows: Windows::new(second) }
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_first_span_that_is_shorter_is_the_mean_of_what_there_is_of_it() {
        let mut windows = Windows::<1, PAIRS>::new(3);
        (3..10).for_each(|second| windows.add(second, [10]));
        assert_eq!(windows.rates(12), Some([10.0]), "two seconds of five");
        windows.add(10, [0]);
        assert_eq!(windows.rates(12), Some([10.0]));
    }

    #[test]
    fn a_window_is_the_mean_of_what_is_over_and_forgets_what_is_old() {
        let mut windows = Windows::<1, PAIRS>::new(0);
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

    proptest! {
        #[test]
        fn ten_seconds_are_exact_and_a_minute_is_that_of_eleven_or_twelve_spans(
            spans in prop::collection::vec(0..1_000_u16, 1..40),
            begin in 0..4_u64,
        ) {
            let mut windows = Windows::<1, PAIRS>::new(begin * SPAN);
            for (span, count) in (begin..).zip(&spans) {
                windows.add(span * SPAN, [u64::from(*count) * SPAN]);
            }
            windows.add((begin + spans.len() as u64) * SPAN, [0]);
            let mean = |newest: usize| {
                let newest = &spans[spans.len().saturating_sub(newest)..];
                newest.iter().map(|count| f64::from(*count)).sum::<f64>() / newest.len() as f64
            };
            let near = |kept: Option<[f64; 1]>, exact: f64| {
                kept.is_some_and(|[kept]| (kept - exact).abs() <= exact / 400.0 + 0.01)
            };
            prop_assert!(near(windows.rates(TEN_SECONDS), mean(2)), "{:?}", windows);
            let minute = windows.rates(MINUTE);
            prop_assert!(near(minute, mean(11)) || near(minute, mean(12)), "{:?}: {:?}", minute, windows);
        }
    }
}
