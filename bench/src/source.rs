//! The spout of every case: it emits what its case makes until its meter has what it wants.
//!
//! Each tuple has a number, by which the sums at the end show that it arrived once, and one of 64
//! the time it was emitted, as those of the peers do. At a fixed rate that is the time it was due.

use topology_api::Context;
use topology_api::prelude::*;

use crate::left::{Left, Role};
use crate::meter::{Meter, now_ns};
use crate::options::Case;

/// Of so many tuples one carries a time stamp.
const SAMPLE: u64 = 64;

/// At a fixed rate every tuple carries a time stamp, up to so many a second.
const STAMPS_PER_SECOND: u32 = 50_000;

/// Most tuples that one call emits when the spout is behind its rate.
const CATCH_UP_MAX: u32 = 64;

/// Makes the tuples of a case.
pub(crate) trait Feed: Send + 'static {
    /// What the spout emits.
    type Tuple: Tuple;
    /// Makes the tuple of this number. `sent_ns` is 0 for most.
    fn make(&mut self, number: u64, sent_ns: u64) -> Self::Tuple;
}

/// The spout.
pub(crate) struct Source<F> {
    feed: F,
    tracks: bool,
    /// Number of the next tuple. The tasks share the numbers out: task 1 of 4 has 1, 5, 9, ...
    number: u64,
    /// How far apart the numbers of a task are.
    step: u64,
    pace: Option<Pace>,
    /// Tuples until the next one with a time stamp.
    until_stamp: u64,
    emitted: u64,
    acked: u64,
    failed: u64,
    done: bool,
    meter: Meter,
    cx: Context,
}

/// When the tuples of a fixed rate are due.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// When the next one is due; unknown before the first.
    due_ns: Option<u64>,
    /// After what time the first one of this task is due.
    first_ns: u64,
    /// From one to the next, in whole nanoseconds, and what is left over as a part of `rate`.
    step_ns: u64,
    rest: u64,
    /// What was left over so far.
    left_over: u64,
    rate: u64,
    stamp_every: u64,
}

impl<F: Feed> Source<F> {
    /// Starts at the first tuple.
    pub(crate) fn new(case: &Case, feed: F, cx: &Context) -> Self {
        let (index, tasks) = (u64::from(cx.task_index()), u64::from(case.parallelism()));
        Self {
            feed,
            tracks: case.run().tracks(),
            number: index,
            step: tasks,
            pace: case.run().rate.map(|rate| Pace::new(rate, index, tasks)),
            until_stamp: 0,
            emitted: 0,
            acked: 0,
            failed: 0,
            done: false,
            meter: Meter::new(case.run()),
            cx: cx.clone(),
        }
    }

    // Called in two places: by itself the compiler makes a call of it, for each tuple.
    #[inline(always)]
    fn emit(&mut self, sent_ns: u64, out: &mut SpoutOutput<F::Tuple, u64>) {
        let tuple = self.feed.make(self.number, sent_ns);
        self.number += self.step;
        self.emitted += 1;
        if self.tracks {
            out.emit(sent_ns, tuple);
        } else {
            out.emit_untracked(tuple);
        }
    }

    /// Whether the next tuple is one with a time stamp.
    #[inline]
    fn stamps(&mut self, every: u64) -> bool {
        if self.until_stamp > 0 {
            self.until_stamp -= 1;
            return false;
        }
        self.until_stamp = every - 1;
        true
    }

    /// Emits what is due.
    fn keep(&mut self, mut pace: Pace, out: &mut SpoutOutput<F::Tuple, u64>) -> Next {
        let now = now_ns();
        let mut next = Next::Idle;
        for _ in 0..CATCH_UP_MAX {
            let due = *pace.due_ns.get_or_insert(now + pace.first_ns);
            if due > now {
                break;
            }
            let sent_ns = if self.stamps(pace.stamp_every) { due } else { 0 };
            self.emit(sent_ns, out);
            pace.advance();
            next = Next::Emitted;
        }
        self.pace = Some(pace);
        next
    }

    fn counted(&self) -> u64 {
        if self.tracks { self.acked } else { self.emitted }
    }
}

impl Pace {
    /// That of one of several tasks, which keep the rate together.
    fn new(rate: u32, index: u64, tasks: u64) -> Self {
        let apart_ns = tasks * 1_000_000_000;
        let wide = u64::from(rate);
        Self {
            due_ns: None,
            first_ns: index * 1_000_000_000 / wide,
            step_ns: apart_ns / wide,
            rest: apart_ns % wide,
            left_over: 0,
            rate: wide,
            stamp_every: u64::from((rate / STAMPS_PER_SECOND).max(1)),
        }
    }

    #[inline]
    fn advance(&mut self) {
        let mut step = self.step_ns;
        self.left_over += self.rest;
        if self.left_over >= self.rate {
            self.left_over -= self.rate;
            step += 1;
        }
        self.due_ns = self.due_ns.map(|due| due + step);
    }
}

impl<F: Feed> Spout for Source<F> {
    type Output = F::Tuple;
    /// The time stamp.
    type Id = u64;

    #[inline]
    fn next(&mut self, out: &mut SpoutOutput<F::Tuple, u64>) -> SpoutResult {
        if self.done {
            return Ok(Next::Finished);
        }
        if let Some(pace) = self.pace {
            return Ok(self.keep(pace, out));
        }
        let sent_ns = if self.stamps(SAMPLE) { now_ns() } else { 0 };
        self.emit(sent_ns, out);
        Ok(Next::Emitted)
    }

    #[inline]
    fn ack(&mut self, sent_ns: u64) {
        self.acked += 1;
        if sent_ns != 0 {
            self.meter.sample(self.acked, sent_ns);
        }
    }

    fn fail(&mut self, _: u64, _: FailReason) {
        self.failed += 1;
    }

    fn tick(&mut self, _: &mut SpoutOutput<F::Tuple, u64>) {
        self.meter.tick(self.counted());
        self.done = self.meter.is_over();
    }

    fn close(&mut self) {
        let counted = self.counted();
        let Self { emitted, acked, failed, .. } = *self;
        let index = self.cx.task_index();
        let role = Role::Spout { index, emitted, acked, failed };
        self.cx.result(&Left { found: self.meter.found(counted), role });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_keep_a_rate_together_and_to_the_nanosecond() {
        for rate in [1, 3, 7_000, 20_000, 30_000_001] {
            let mut due: Vec<u64> = Vec::new();
            for task in 0..3 {
                let mut pace = Pace::new(rate, task, 3);
                pace.due_ns = Some(pace.first_ns);
                for _ in 0..100 {
                    due.extend(pace.due_ns);
                    pace.advance();
                }
            }
            due.sort_unstable();
            for (number, due) in (0_u64..).zip(due) {
                let wanted = number * 1_000_000_000 / u64::from(rate);
                assert!(due.abs_diff(wanted) <= 1, "{rate}/s: {number} at {due}, not {wanted}");
            }
        }
    }
}
