//! Looks now and then how much of the time of executors was waiting: the effort board says how long they
//! were called, the system how long their threads ran (`engine/waits.rs` decides).

use std::time::{Duration, Instant};

use crate::engine::waits::{Busy, Ran, Waits};
use crate::executor::counters::Board;
use crate::executor::effort::ExecutorEffort;

/// How often it is looked: loops post ten times a second, so a tenth of this is not known.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How executors of a worker wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    waits: Waits,
    looked: Option<Instant>,
}

impl Waiting {
    /// The time of every executor until `now`, with how long it waited; `executor_of` tells whose a
    /// task is.
    pub(crate) fn efforts(
        &mut self,
        board: &Board,
        now: Instant,
        executor_of: impl Fn(u32) -> Option<u16>,
    ) -> Vec<ExecutorEffort> {
        let mut efforts = board.efforts.efforts(now, &executor_of);
        let passed = self.looked.map(|looked| now.saturating_duration_since(looked));
        if passed.is_none_or(|passed| passed >= LOOK_EVERY) {
            self.looked = Some(now);
            let busy: Vec<Busy> = efforts.iter().map(busy).collect();
            self.waits.look(&busy, ran(board, executor_of));
        }
        for it in &mut efforts {
            it.waiting = self.waits.of(it.executor);
        }
        efforts
    }
}

fn busy(it: &ExecutorEffort) -> Busy {
    let (executing, calling) = (it.effort.executing, it.effort.calling);
    Busy { executor: it.executor, at_loop: it.at_loop, executing, calling }
}

fn ran(board: &Board, executor_of: impl Fn(u32) -> Option<u16>) -> Ran {
    let mut ran = Ran::default();
    for (at_loop, thread) in board.efforts.threads() {
        ran.loops.extend(thread.ran().map(|time| (at_loop, time)));
    }
    for (task, thread) in board.threads() {
        if let Some((executor, time)) = executor_of(task).zip(thread.ran()) {
            *ran.own.entry(executor).or_default() += time;
        }
    }
    ran
}
