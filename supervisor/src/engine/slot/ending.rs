//! How a slot ends what it runs: drain, ask, SIGTERM, SIGKILL, and then its folder.

use std::time::Instant;

use super::super::{Command, Signal, Stage, State};
use super::{KILL_AGAIN, Process, Slot};

impl Slot {
    /// Ends what runs here; `next` says what comes after.
    pub(super) fn stop(&mut self, now: Instant) -> Vec<Command> {
        match (self.process, self.state) {
            (_, State::Empty | State::Stopping { .. }) => Vec::new(),
            (Process::None, _) => self.gone(),
            (Process::Alive(_), State::Running { .. }) if self.shutdown && self.attached => {
                self.enter(Stage::Draining, Some(now + self.timings.drain));
                vec![Command::Report]
            }
            (Process::Alive(_), _) => self.ask(now),
            // `launched` goes on from here: what does not exist yet cannot be signalled.
            (Process::Launching, _) => {
                self.enter(Stage::Asked, None);
                Vec::new()
            }
        }
    }

    pub(super) fn ask(&mut self, now: Instant) -> Vec<Command> {
        if !self.attached {
            return self.terminate(now);
        }
        self.enter(Stage::Asked, Some(now + self.timings.ask));
        let reason = if self.shutdown { "the supervisor stops" } else { "not assigned any more" };
        vec![Command::AskToStop { slot: self.number, reason: reason.to_owned() }, Command::Report]
    }

    pub(super) fn terminate(&mut self, now: Instant) -> Vec<Command> {
        let wait = match self.shutdown {
            true => self.timings.terminate_at_shutdown,
            false => self.timings.terminate,
        };
        self.enter(Stage::Terminated, Some(now + wait));
        self.signal(Signal::Terminate).into_iter().chain([Command::Report]).collect()
    }

    pub(super) fn kill(&mut self, now: Instant) -> Vec<Command> {
        self.enter(Stage::Killed, Some(now + KILL_AGAIN));
        self.signal(Signal::Kill).into_iter().collect()
    }

    fn enter(&mut self, stage: Stage, until: Option<Instant>) {
        self.state = State::Stopping { stage, until };
    }

    pub(super) fn signal(&self, signal: Signal) -> Option<Command> {
        match self.process {
            Process::Alive(pid) => Some(Command::Signal { slot: self.number, pid, signal }),
            Process::None | Process::Launching => None,
        }
    }

    /// The process of a stopped slot is gone: makes room for what is next.
    pub(super) fn gone(&mut self) -> Vec<Command> {
        let Some(current) = &self.current else { return Vec::new() };
        if let Some(next) = self.next.take_if(|next| next.same_worker(current)) {
            return self.begin(next);
        }
        let (topology, worker) = (current.topology.clone(), current.worker);
        let withdraw = Command::Withdraw { topology: topology.clone(), worker };
        let clean = Command::Clean { slot: self.number, topology, worker, epoch: self.epoch() };
        self.enter(Stage::Cleaning, None);
        vec![withdraw, clean, Command::Report]
    }

    pub(super) fn cleaned(&mut self) -> Vec<Command> {
        let (State::Stopping { stage: Stage::Cleaning, .. }, Process::None) =
            (self.state, self.process)
        else {
            return Vec::new();
        };
        let next = self.next.take();
        *self = Self { shutdown: self.shutdown, ..Self::new(self.number, self.timings) };
        match next {
            Some(next) => self.begin(next),
            None => vec![Command::Report],
        }
    }
}
