//! Tasks whose component is called elsewhere than on their loop.

use super::{Driver, Manner, SpoutDriver, SpoutTask};
use crate::Spout;
use crate::async_bolt::LongCalls;
use crate::blocking::BlockingSpout;
use crate::output::HandOver;

/// What a worker asks of a spout's task beyond the calls of its component.
pub trait Elsewhere {
    /// Tells whether it wakes the executor when it has something again after it was idle.
    fn waits(&self) -> bool {
        false
    }
    /// Makes it a task that asks the spout on a thread of its own.
    fn into_blocking(self: Box<Self>) -> Box<dyn SpoutTask>;
}

impl<S: Spout> Elsewhere for SpoutDriver<S> {
    fn into_blocking(self: Box<Self>) -> Box<dyn SpoutTask> {
        Box::new(BlockingSpout::new(self.factory, self.out))
    }
}

impl<M: Manner> LongCalls for Driver<M> {
    fn hand_over_to(&mut self, hand_over: HandOver) {
        self.out.hand_over_to(hand_over);
    }
}
