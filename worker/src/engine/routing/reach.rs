//! How far a shuffle looks for tasks: this loop, this worker, everywhere.
//!
//! What stays near costs least, so the nearest tasks get all as long as they keep up. They do not if
//! none of them has room, or if the place they share has no time left. Then the reach widens by a
//! step. It narrows again when the nearer tasks have been found at ease many times in a row; how
//! many doubles whenever a narrowing was a mistake, so the reach does not flap.
//!
//! Storm has the same idea with loads that workers tell each other; here all is known on the spot.

use super::{Nearness, ROOM_FULL, Targets};

/// A task with less room than this is falling behind.
pub(super) const BEHIND: u64 = ROOM_FULL / 4;

/// A task with this much room is at ease.
const AT_EASE: u64 = ROOM_FULL * 3 / 4;

/// In how many batches in a row the nearer tasks must be at ease at first, and at most.
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
    /// How many in a row were at ease.
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
        self.probe = (self.probe + 1) % count;
        let at_ease = Some(near) > busy && load(self.task(self.probe)) >= AT_EASE;
        self.calm = if at_ease { self.calm + 1 } else { 0 };
        if self.calm >= self.patience.max(count) {
            self.at -= 1;
            self.calm = 0;
            self.since = 0;
        }
    }

    /// Reaches a step further; false if there is none.
    pub(super) fn widen(&mut self) -> bool {
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
