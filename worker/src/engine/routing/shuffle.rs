//! The shuffle grouping: any task, so the near one that keeps up best.
//!
//! Which tasks come into question is for [`Reach`] to say. Among them, a batch is not dealt out
//! tuple by tuple: it is cut into runs of neighbours, at least `RUN_MIN` tuples each, at most one
//! for each task. A long batch of slow tuples thus reaches all tasks of a small topology at once,
//! and a short one moves as it is. From 16 tuples on a batch costs no more in queues than a longer
//! one. Tasks of one thread cannot work at once, so for them no batch is cut.
//!
//! Each run goes to the next task in turn, unless a second candidate, drawn at random, has clearly
//! more room: two choices are enough to keep the longest queue short, and unlike "the best of all"
//! they do not send every sender to the same task at once (Mitzenmacher, "The Power of Two Choices
//! in Randomized Load Balancing", 2001). While all keep up the tasks simply take turns, and no task
//! gets more than one run more than another.

use super::reach::{BEHIND, CLEARLY, Reach};
use super::{Nearness, Routed, Targets};
use crate::engine::acking::splitmix64;

/// The fewest tuples that are worth a batch of their own.
pub const RUN_MIN: usize = 16;

/// Routes runs of tuples to near tasks that have room left.
#[derive(Debug)]
pub struct Shuffle {
    reach: Reach,
    /// It does not mind a thread that has no time left.
    stays: bool,
    /// Whose turn it is.
    turn: u32,
    /// State of the draw of second candidates.
    draw: u64,
    /// Tuples of the batch in hand that each place was given: `load` does not know of them yet.
    given: Vec<u64>,
    /// The places of the batch in hand.
    cut: Vec<u32>,
}

impl Shuffle {
    pub(super) fn new(targets: &Targets, seed: u64) -> Self {
        let reach = Reach::new(targets);
        let mut draw = seed;
        let turn = below(reach.within().max(1), splitmix64(&mut draw));
        let given = vec![0; targets.near.len()];
        Self { reach, stays: false, turn, draw, given, cut: Vec::new() }
    }

    /// Does not leave a thread for having no time left, only for having no room.
    pub(super) fn staying(self) -> Self {
        Self { stays: true, ..self }
    }

    pub(super) fn route(
        &mut self,
        (len, busy): (usize, Option<Nearness>),
        load: &dyn Fn(u32) -> u64,
        out: &mut Vec<u32>,
    ) -> Routed {
        match self.reach.count() {
            0 => return Routed::Nowhere,
            1 => return Routed::Whole(0),
            _ => {}
        }
        self.reach.look(busy.filter(|_| !self.stays), load);
        let tasks = self.reach.within() as usize;
        let most = if self.reach.is_one_loop() { 1 } else { tasks };
        let runs = (len / RUN_MIN).clamp(1, most);
        if runs == 1 {
            let place = self.choose(load);
            return Routed::Whole(self.reach.task(place));
        }
        let run_len = len.div_ceil(runs);
        while out.len() < len {
            let place = self.choose(load);
            let end = len.min(out.len() + run_len);
            self.given[place as usize] += (end - out.len()) as u64;
            self.cut.push(place);
            out.resize(end, self.reach.task(place));
        }
        self.cut.drain(..).for_each(|place| self.given[place as usize] = 0);
        Routed::Each
    }

    /// Chooses the place of a run, further away if nobody near has room.
    fn choose(&mut self, load: &dyn Fn(u32) -> u64) -> u32 {
        loop {
            let tasks = self.reach.within();
            let room = |place: u32| {
                load(self.reach.task(place)).saturating_sub(self.given[place as usize])
            };
            let first = self.turn % tasks;
            let mut step = 0;
            if tasks > 1 {
                step = 1 + below(tasks - 1, splitmix64(&mut self.draw));
            }
            let second = (first + step) % tasks;
            let (first_room, second_room) = (room(first), room(second));
            if second_room > first_room.saturating_add(CLEARLY) {
                // It is still the first one's turn next time, when it may have room again.
                return second;
            }
            let with = |enough| {
                let mut places = (0..tasks).map(|step| (first + step) % tasks);
                places.find(|&place| room(place) >= enough)
            };
            let found = with(if tasks < self.reach.count() { BEHIND } else { 1 });
            let otherwise = if found.is_none() { with(1) } else { None };
            self.turn = (first + 1) % tasks;
            let least = if otherwise.is_some() { BEHIND } else { 1 };
            if found.is_some() || !self.reach.widen_for(least, load) {
                // If none has room, here or elsewhere, the one whose turn it is.
                return found.or(otherwise).unwrap_or(first);
            }
        }
    }
}

/// A number below `end` from 64 random bits.
fn below(end: u32, random: u64) -> u32 {
    ((u128::from(random) * u128::from(end)) >> 64) as u32
}
