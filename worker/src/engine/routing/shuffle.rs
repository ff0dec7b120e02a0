//! The shuffle grouping: any task, so the one that keeps up best.
//!
//! A batch is not dealt out tuple by tuple: it is cut into runs of neighbours, at least `RUN_MIN`
//! tuples each, at most one for each task. A long batch of slow tuples thus reaches all tasks of a
//! small topology at once, and a short one moves as it is. From 16 tuples on a batch costs no more
//! in queues than a longer one.
//!
//! Each run goes to the next task in turn, unless a second candidate, drawn at random, has more
//! credit left: two choices are enough to keep the longest queue short, and unlike "the best of
//! all" they do not send every sender to the same task at once. With equal credit the tasks simply
//! take turns, and no task gets more than one run more than another.

use super::Routed;
use crate::engine::acking::splitmix64;

/// The fewest tuples that are worth a batch of their own.
pub const RUN_MIN: usize = 16;

/// Routes runs of tuples to the tasks that have credit left.
#[derive(Debug)]
pub struct Shuffle {
    tasks: u32,
    /// Whose turn it is.
    turn: u32,
    /// State of the draw of second candidates.
    draw: u64,
    /// Tuples of the batch in hand that each task was given: `load` does not know of them yet.
    given: Vec<u64>,
}

impl Shuffle {
    pub(super) fn new(tasks: u32, seed: u64) -> Self {
        let mut draw = seed;
        let turn = below(tasks.max(1), splitmix64(&mut draw));
        Self { tasks, turn, draw, given: vec![0; tasks as usize] }
    }

    pub(super) fn route(
        &mut self,
        len: usize,
        load: &dyn Fn(u32) -> u64,
        out: &mut Vec<u32>,
    ) -> Routed {
        match self.tasks {
            0 => return Routed::Nowhere,
            1 => return Routed::Whole(0),
            _ => {}
        }
        let runs = (len / RUN_MIN).clamp(1, self.tasks as usize);
        if runs == 1 {
            return Routed::Whole(self.choose(load));
        }
        let run_len = len.div_ceil(runs);
        while out.len() < len {
            let task = self.choose(load);
            let end = len.min(out.len() + run_len);
            self.given[task as usize] += (end - out.len()) as u64;
            out.resize(end, task);
        }
        out.iter().for_each(|&task| self.given[task as usize] = 0);
        Routed::Each
    }

    fn choose(&mut self, load: &dyn Fn(u32) -> u64) -> u32 {
        let credit = |task: u32| load(task).saturating_sub(self.given[task as usize]);
        let first = self.turn;
        let step = 1 + below(self.tasks - 1, splitmix64(&mut self.draw));
        let second = (first + step) % self.tasks;
        let (first_credit, second_credit) = (credit(first), credit(second));
        if second_credit > first_credit {
            // It is still the first one's turn next time, when it may have credit again.
            return second;
        }
        self.turn = (first + 1) % self.tasks;
        if first_credit > 0 {
            return first;
        }
        // Both are full: whoever has credit; if nobody has, the one whose turn it is.
        let others = (1..self.tasks).map(|step| (first + step) % self.tasks);
        others.into_iter().find(|&task| credit(task) > 0).unwrap_or(first)
    }
}

/// A number below `end` from 64 random bits.
fn below(end: u32, random: u64) -> u32 {
    ((u128::from(random) * u128::from(end)) >> 64) as u32
}
