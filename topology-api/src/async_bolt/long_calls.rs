//! What a worker asks of a bolt's task whose calls may outlast the turn in which they were begun.

use std::time::Duration;

use super::AsyncCalls;
use crate::Error;
use crate::output::HandOver;

/// Calls that are under way between turns. The defaults are those of a task that has none.
pub trait LongCalls {
    /// Tells whether no call is under way, `finish` included.
    fn has_finished(&self) -> bool {
        true
    }
    /// Says what holds for the calls, before the task is opened.
    fn limit(&mut self, _: AsyncCalls) {}
    /// Tells whether as many calls are under way as may be: `run` would begin none.
    fn is_full(&self) -> bool {
        false
    }
    /// Tells whether `poll` has something to do although nobody woke the task since the last one.
    fn is_ready(&self) -> bool {
        false
    }
    /// Lets the calls go on that were woken, until about so many tuples wait to be taken.
    ///
    /// # Errors
    ///
    /// The factory's, if it runs somewhere else and has failed since the task was opened.
    fn poll(&mut self, _: usize) -> Result<(), Error> {
        Ok(())
    }
    /// How many calls ended since this was last asked, and how long they took together.
    fn ended_calls(&mut self) -> (u64, Duration) {
        (0, Duration::ZERO)
    }
    /// Says where a call is to hand over when it has emitted much; it does not fail for that then.
    fn hand_over_to(&mut self, _: HandOver) {}
    /// Tells the task the time, from any beginning; it says when it wants to know it next.
    fn pass_time(&mut self, _: Duration) -> Option<Duration> {
        None
    }
}
