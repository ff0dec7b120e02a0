//! A worker that lives and does nothing: two signals, never mixed up.
//!
//! *The process*: its control thread reports four times a second, also when its components are stuck.
//! Without a report for a while the system is asked whether the process was stopped; one that was is
//! killed at once, one that only gets no time on a busy machine keeps its long patience. *The loops*: the worker
//! says by itself that a component has made no progress for `kill_after`. A long call is neither.

use std::time::Instant;

use super::super::{Command, Signal, State};
use super::Slot;

impl Slot {
    /// Nothing was heard for so long that something follows.
    pub(super) fn silent(&mut self, now: Instant) -> Vec<Command> {
        let (Some(heard), Some(pid)) = (self.heard, self.pid()) else { return Vec::new() };
        if !std::mem::replace(&mut self.warned, true) {
            let text = "said nothing for a while".to_owned();
            return vec![Command::Warn { slot: self.number, text }];
        }
        if now >= heard + self.timings.silent {
            return self.kill_hanging("said nothing for too long", now);
        }
        self.looked = Some(now);
        vec![Command::Look { slot: self.number, pid }]
    }

    /// The system says whether the process is stopped.
    pub(super) fn looked(&mut self, stopped: bool, now: Instant) -> Vec<Command> {
        let silent = self.heard.is_some_and(|heard| now >= heard + self.timings.stopped);
        match self.state {
            State::Running { .. } if stopped && silent => {
                self.kill_hanging("was stopped and said nothing", now)
            }
            _ => Vec::new(),
        }
    }

    /// The worker reported that it is to be replaced.
    pub(super) fn hung(&mut self, why: String) -> Vec<Command> {
        let State::Running { .. } = self.state else { return Vec::new() };
        if self.killed_because.is_some() {
            return Vec::new();
        }
        self.killed_because = Some(why);
        self.signal(Signal::Kill).into_iter().collect()
    }

    fn kill_hanging(&mut self, because: &str, now: Instant) -> Vec<Command> {
        self.killed_because = Some(because.to_owned());
        self.heard = Some(now);
        self.looked = None;
        self.signal(Signal::Kill).into_iter().collect()
    }

    /// Returns when the silence of a running worker next has consequences.
    pub(super) fn silence_deadline(&self) -> Option<Instant> {
        let (heard, timings) = (self.heard?, &self.timings);
        if !self.warned {
            return Some(heard + timings.quiet);
        }
        let look = self.looked.map_or(heard + timings.stopped, |at| at + timings.look);
        Some(look.min(heard + timings.silent))
    }
}
