//! One call into a task of a bolt: for as many inputs as fit a group, and what it says of the task.

use crate::executor::exits::Exits;
use crate::executor::outbox::BATCH_TUPLES;
use crate::executor::traces::hops::Hops;

use super::Cell;

impl Cell {
    /// Calls the component for as many inputs as fit a group, of which `first` is the first. Tells
    /// how many are done with, and how the call panicked that was for the last of them.
    pub(super) fn work(
        &mut self,
        (place, first): (usize, usize),
        hops: Option<&mut Hops>,
        exits: &mut Exits,
    ) -> (usize, Option<String>) {
        let before = exits.begin(place);
        let task = self.counters.task;
        let (most, hops) = match hops {
            None => (self.pace.calls(), None),
            Some(hops) => {
                let most = hops.begin(first, self.pace, (before, &mut exits.tracer));
                (most, Some(hops))
            }
        };
        let ran = exits.watch.call((task, before), || self.task.run(most, BATCH_TUPLES));
        let took = exits.read_clock().saturating_duration_since(before);
        let (done, panicked) = match ran {
            Ok(done) => (done, None),
            Err(text) => {
                let input = self.task.panicked();
                (input.map_or(0, |at| (at as usize).saturating_sub(first) + 1), Some(text))
            }
        };
        if let Some(hops) = hops {
            hops.end(first..first + done, exits.now, &exits.tracer);
        }
        if done > 0 && !self.waits {
            let each = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) / done as u64;
            self.counters.execute.record_n(each.max(1), done as u64).ok();
            self.pace.learn(done, took);
        }
        (done, panicked)
    }

    /// Notes how it went, once what was emitted is routed and the inputs are settled.
    pub(super) fn worked(&mut self, done: usize, panicked: Option<String>, exits: &Exits) {
        if let Some(text) = panicked {
            *self.counters.counters.entry("restarts").or_default() += 1;
            exits.plan.board.show(self.counters.task, "panic", text);
            self.state.failed(exits.now);
        } else if done > 0 && !self.waits {
            self.state.works();
        }
    }
}
