//! What one component, or a whole topology, did over time: an hour by the second, a day by the minute.

use super::Keep;
use super::buckets::{Buckets, Sparse};
use super::ring::{Packed, Point, Ring};

/// Which percentiles of latencies are kept.
pub const PERCENTS: [u64; 3] = [50, 95, 99];

/// Seconds of a minute.
const MINUTE: u64 = 60;

/// What was done in a span of time. Spans add up.
///
/// ```
/// use nimbus::engine::history::Done;
///
/// let second = Done { counts: [5, 0, 4, 1], span_ms: 1_000, ..Done::default() };
/// let mut both = second;
/// both.add(&second);
/// assert_eq!((both.counts[0], both.span_ms), (10, 2_000));
/// assert_eq!(both.rates()[0], 5.0, "ten tuples in two seconds");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Done {
    /// Tuples emitted, executed, acked and failed.
    pub counts: [u64; 4],
    /// Time of all its executors in ns: busy (executing, or ready to), without room ahead, waiting
    /// for acks, and in all.
    pub times: [u64; 4],
    /// How full the fullest mailbox was, from 0 to 1.
    pub fill: f64,
    /// How long the span is.
    pub span_ms: u64,
}

impl Done {
    /// Adds what was done in another span.
    pub fn add(&mut self, other: &Self) {
        let sum = |mine: &mut u64, other: &u64| *mine = mine.saturating_add(*other);
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, other)| sum(mine, other));
        self.times.iter_mut().zip(&other.times).for_each(|(mine, other)| sum(mine, other));
        self.fill = self.fill.max(other.fill);
        self.span_ms += other.span_ms;
    }

    /// Tuples a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of a day are below 2^53")]
    pub fn rates(&self) -> [f64; 4] {
        let seconds = self.span_ms.max(1) as f64 / 1_000.0;
        self.counts.map(|count| count as f64 / seconds)
    }

    /// Shares of the time: busy, without room ahead, waiting for acks; from 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact to 2^-53")]
    pub fn shares(&self) -> [f64; 3] {
        let [busy, blocked, throttled, total] = self.times.map(|time| time as f64);
        [busy, blocked, throttled].map(|part| if total > 0.0 { part / total } else { 0.0 })
    }
}

/// The minute that is not over.
#[derive(Clone, Debug, Default)]
struct Minute {
    number: u64,
    done: Done,
    /// What was measured when it began.
    before: Sparse,
}

/// What one component, or a whole topology, did over time.
#[derive(Clone, Debug, Default)]
pub struct Series {
    seconds: Ring,
    minutes: Ring,
    /// What was measured until the newest second.
    buckets: Sparse,
    minute: Minute,
    begun: bool,
}

impl Series {
    /// Takes in what was done up to the end of this second; `now` is all that was ever measured.
    pub fn take(&mut self, second: u64, done: &Done, now: &Buckets, keep: Keep) {
        if !std::mem::replace(&mut self.begun, true) {
            // What was measured before nobody knows when.
            self.buckets = now.sparse();
            let (number, before) = (second / MINUTE, self.buckets.clone());
            self.minute = Minute { number, before, ..Minute::default() };
            return;
        }
        if second / MINUTE != self.minute.number {
            self.end_minute(second / MINUTE, keep);
        }
        let point = point(done, now, &self.buckets);
        self.seconds.push(second, &point, keep.seconds);
        self.buckets = now.sparse();
        self.minute.done.add(done);
    }

    fn end_minute(&mut self, next: u64, keep: Keep) {
        let over = std::mem::replace(
            &mut self.minute,
            Minute { number: next, done: Done::default(), before: self.buckets.clone() },
        );
        if over.done.span_ms > 0 {
            let point = point(&over.done, &self.buckets.buckets(), &over.before);
            self.minutes.push(over.number, &point, keep.minutes);
        }
    }

    /// The points from a second on, with their seconds.
    pub fn seconds(&self, from: u64) -> impl Iterator<Item = (u64, Packed)> {
        self.seconds.since(from)
    }

    /// The points from a minute on, with their minutes.
    pub fn minutes(&self, from: u64) -> impl Iterator<Item = (u64, Packed)> {
        self.minutes.since(from)
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let own = size_of::<Self>() - 2 * size_of::<Ring>();
        let buckets = self.buckets.bytes() + self.minute.before.bytes();
        own + buckets + self.seconds.bytes() + self.minutes.bytes()
    }
}

fn point(done: &Done, now: &Buckets, before: &Sparse) -> Point {
    Point {
        rates: done.rates(),
        latencies: now.percentiles(&before.buckets(), PERCENTS),
        fill: done.fill,
        shares: done.shares(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn done(count: u64, span_ms: u64) -> Done {
        Done { counts: [count; 4], times: [count, 0, 0, 2 * count], fill: 0.5, span_ms }
    }

    fn rate(packed: &Packed) -> Option<f64> {
        packed.rates().map(|rates| rates[0])
    }

    #[test]
    fn a_new_leader_begins_with_a_gap_and_not_with_a_peak() {
        let mut series = Series::default();
        series.take(9, &done(1_000_000, 1_000), &Buckets::default(), Keep::FULL);
        series.take(10, &done(7, 1_000), &Buckets::default(), Keep::FULL);
        let seen: Vec<_> = series.seconds(0).map(|(second, it)| (second, rate(&it))).collect();
        assert_eq!(seen, [(10, Some(7.0))]);
    }

    #[test]
    fn seconds_without_a_word_are_gaps_and_the_next_is_what_was_done_since() {
        let mut series = Series::default();
        for (second, count, span_ms) in [(0, 0, 0), (1, 10, 1_000), (4, 30, 3_000)] {
            series.take(second, &done(count, span_ms), &Buckets::default(), Keep::FULL);
        }
        let seen: Vec<_> = series.seconds(0).map(|(_, it)| rate(&it)).collect();
        assert_eq!(seen, [Some(10.0), None, None, Some(10.0)]);
    }

    proptest! {
        #[test]
        fn a_minute_is_the_sum_of_its_parts(
            parts in prop::collection::vec((0..1_000_000_u64, 900..1_100_u64, 1..4_u64), 1..300)
        ) {
            let mut series = Series::default();
            series.take(0, &Done::default(), &Buckets::default(), Keep::FULL);
            let (mut second, mut sums) = (0, std::collections::BTreeMap::new());
            for (count, span_ms, step) in parts {
                second += step;
                let done = done(count, span_ms);
                series.take(second, &done, &Buckets::default(), Keep::FULL);
                sums.entry(second / MINUTE).or_insert_with(Done::default).add(&done);
            }
            // The last is not over.
            series.take(second + MINUTE, &Done::default(), &Buckets::default(), Keep::FULL);
            let kept: Vec<_> = series.minutes(0).filter_map(|(at, it)| Some((at, rate(&it)?))).collect();
            prop_assert_eq!(kept.len(), sums.len());
            for ((at, kept), (minute, sum)) in kept.into_iter().zip(sums) {
                let exact = sum.rates()[0];
                prop_assert_eq!(at, minute);
                prop_assert!((kept - exact).abs() <= exact / 1_000.0 + 0.001, "{} of {}", kept, exact);
            }
        }
    }
}
