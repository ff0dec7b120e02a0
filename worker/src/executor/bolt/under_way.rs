//! Calls that outlast the turn in which they were begun: those of an async bolt.
//!
//! Their inputs are held as those of an explicit bolt. In each turn the calls that were woken go on,
//! as long as there is somewhere to put what they emit; when as many are under way as may be, the
//! executor begins no more, so its mailbox fills and its senders hold back.

use std::time::Duration;

use topology_api::runtime::Unopened;

use super::{BATCHES_A_TURN, BoltExecutor};
use crate::executor::calls::GROUP;
use crate::executor::exits::Exits;
use crate::executor::outbox::BATCH_TUPLES;
use crate::executor::plan::Plan;

impl BoltExecutor {
    /// Lets calls go on that were woken, or are late; tells whether any did.
    pub(super) fn go_on(&mut self, plan: &Plan, exits: &mut Exits) -> bool {
        if !self.waits {
            return false;
        }
        // A batch may be in hand for long, and is no anchor of what a tick emits.
        self.tick_if_due(plan, exits);
        self.pass_time(exits);
        let mut worked = false;
        let until = exits.now + GROUP;
        for at in 0..self.cells.len() {
            for _ in 0..BATCHES_A_TURN {
                if !self.cells[at].may_go_on() || exits.now >= until {
                    break;
                }
                if self.outbox.is_over_share(exits) {
                    self.outbox.flush(self.source(), exits);
                    if self.outbox.is_over_share(exits) {
                        return worked;
                    }
                }
                worked = true;
                self.poll(at, exits);
            }
        }
        worked
    }

    /// Lets the calls of one task go on, until they have emitted about a batch.
    fn poll(&mut self, at: usize, exits: &mut Exits) {
        let now = exits.begin(self.place);
        let cell = &mut self.cells[at];
        cell.waker.take();
        let call = || cell.task.poll(BATCH_TUPLES);
        let polled = exits.watch.call((cell.counters.task, now), call);
        let (calls, took) = cell.task.ended_calls();
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(each) = took.checked_div(calls) {
            cell.counters.execute.record_n(each.max(1), calls).ok();
        }
        if calls > 0 && matches!(polled, Ok(Ok(()))) {
            cell.state.works();
        }
        let panicked = match polled {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                cell.state.failed(exits.now);
                // Of a sink it is the end of its `run`.
                let reason = if error.is::<Unopened>() { "factory" } else { "error" };
                exits.plan.board.show(cell.counters.task, reason, error.to_string());
                None
            }
            Err(text) => {
                cell.task.panicked();
                Some(text)
            }
        };
        self.route(at, exits);
        self.cells[at].worked(0, panicked, exits);
    }

    fn pass_time(&mut self, exits: &Exits) {
        let now = Duration::from_nanos(exits.now_ns());
        let dues = self.cells.iter_mut().filter_map(|cell| cell.task.pass_time(now));
        self.due = dues.min().map(|due| exits.now + due.saturating_sub(now));
    }

    /// Tells whether calls could go on.
    pub(super) fn may_go_on(&self) -> bool {
        self.waits && self.cells.iter().any(super::Cell::may_go_on)
    }

    /// Tells whether the batch in hand has to wait until a call has ended.
    pub(super) fn is_stalled(&self) -> bool {
        let in_hand = self.in_hand.as_ref().filter(|_| self.waits);
        in_hand.is_some_and(|hand| self.cells[hand.cell].task.is_full())
    }
}

impl super::Cell {
    fn may_go_on(&self) -> bool {
        self.state.open && (self.waker.is_woken() || self.task.is_ready())
    }
}
