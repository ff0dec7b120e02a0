//! How far a shuffle looks for tasks: this loop, this worker, everywhere.
//!
//! What stays near costs least, so the nearest tasks get all as long as they keep up. They do not if
//! none of them has room and some further away have, or if the place they share has no time left.
//! Then the reach widens by a step. It narrows again when the nearer tasks have often enough been
//! found to have as much room as those further away; how often doubles whenever a narrowing was a
//! mistake, so the reach does not flap. It is the comparison that counts: where all places have too
//! much to do, work that is passed on costs more and is done no sooner.
//!
//! Storm has the same idea with loads that workers tell each other; here all is known on the spot.

use super::{Nearness, ROOM_FULL, Targets};

/// A task with less room than this is falling behind.
pub(super) const BEHIND: u64 = ROOM_FULL / 4;

/// A task with so much less room than another is worse off: credit comes back in lumps of this
/// size, so a smaller difference says nothing.
pub(super) const CLEARLY: u64 = ROOM_FULL / 4;

/// In how many batches more than not the nearer tasks must be no worse off at first, and at most.
const PATIENCE: (u32, u32) = (16, 4096);

/// A narrowing that lasted for fewer batches, in units of the patience, was a mistake.
const MISTAKE: u32 = 4;

/// The tasks a shuffle may choose from, the nearest first, and how many of them it looks at now.
#[derive(Debug)]
pub(super) struct Reach {
    /// Ordinals, the nearest first.
    order: Vec<u32>,
    /// How far each step reaches, and how many tasks that is; the last is all of them.
    steps: Vec<(Nearness, u32)>,
    at: usize,
    /// The nearer task to be looked at next.
    probe: u32,
    /// In how many batches they were no worse off, less those in which they were.
    calm: u32,
    patience: u32,
    /// Batches since the reach last changed.
    since: u32,
}

impl Reach {
    /// Reaches the nearest tasks there are.
    pub(super) fn new(targets: &Targets) -> Self {
        let mut order: Vec<u32> = (0..targets.count()).collect();
        order.sort_by_key(|&task| targets.near[task as usize]);
        let mut steps: Vec<(Nearness, u32)> = Vec::new();
        for (count, &task) in (1..).zip(&order) {
            let near = targets.near[task as usize];
            match steps.last_mut() {
                Some(last) if last.0 == near => last.1 = count,
                _ => steps.push((near, count)),
            }
        }
        Self { order, steps, at: 0, probe: 0, calm: 0, patience: PATIENCE.0, since: u32::MAX }
    }

    /// How many tasks are within reach: the places below this.
    #[inline]
    pub(super) fn within(&self) -> u32 {
        self.steps.get(self.at).map_or(0, |step| step.1)
    }

    /// Number of tasks at any distance.
    pub(super) fn count(&self) -> u32 {
        self.order.len() as u32
    }

    /// The ordinal of the task at a place.
    #[inline]
    pub(super) fn task(&self, place: u32) -> u32 {
        self.order[place as usize]
    }

    /// Tells whether all within reach share one thread, so that cutting a batch gains nothing.
    pub(super) fn is_one_loop(&self) -> bool {
        self.steps.get(self.at).is_some_and(|step| step.0 == Nearness::Loop)
    }

    /// Looks around before a batch: `busy` is what has no time left, `load` the room of tasks.
    #[inline]
    pub(super) fn look(&mut self, busy: Option<Nearness>, load: &dyn Fn(u32) -> u64) {
        if self.steps.len() < 2 {
            return;
        }
        self.since = self.since.saturating_add(1);
        if self.steps.get(self.at).is_some_and(|step| Some(step.0) <= busy) {
            self.widen();
        }
        let Some(&(near, count)) = self.at.checked_sub(1).and_then(|at| self.steps.get(at)) else {
            return;
        };
        let further = self.within() - count;
        self.probe = self.probe.wrapping_add(1);
        let nearer_room = load(self.task(self.probe % count));
        let further_room = load(self.task(count + self.probe % further));
        let is_calm = Some(near) > busy && nearer_room.saturating_add(CLEARLY) >= further_room;
        self.calm = if is_calm { self.calm + 1 } else { self.calm.saturating_sub(1) };
        if self.calm >= self.patience.max(count) {
            self.at -= 1;
            self.calm = 0;
            self.since = 0;
        }
    }

    /// Reaches a step further if a task further away has so much room at least; false if none has.
    pub(super) fn widen_for(&mut self, least: u64, load: &dyn Fn(u32) -> u64) -> bool {
        let mut further = self.within()..self.count();
        further.any(|place| load(self.task(place)) >= least) && self.widen()
    }

    /// Reaches a step further; false if there is none.
    fn widen(&mut self) -> bool {
        if self.at + 1 >= self.steps.len() {
            return false;
        }
        let was_mistake = self.since < MISTAKE * self.patience;
        self.patience = if was_mistake { (self.patience * 2).min(PATIENCE.1) } else { PATIENCE.0 };
        self.at += 1;
        self.calm = 0;
        self.since = 0;
        true
    }
}
