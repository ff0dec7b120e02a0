//! One slot: a place for a worker, and what is being done about it.
//!
//! A state machine, a sentence each:
//!
//! - **Empty**: nothing is to run here, and nothing does.
//! - **Fetching**: the verified binary is being brought into the cache.
//! - **Starting**: the process was started and has not said hello.
//! - **Running**: the worker said hello; it reports.
//! - **Backing off**: it died too often; the next start waits.
//! - **Stopping**: what runs here is to end, then its folder to go; what comes next waits for that.
//!
//! Each start goes through Fetching, so that nothing runs that was not verified before.

mod ending;
mod facts;
mod hanging;

use std::time::{Duration, Instant};

use daemon::Backoff;
use proto::store::Released;

use super::{
    Command, Epoch, Exit, Placement, Remembered, Signal, SlotEvent, Stage, State, Timings,
};

/// SIGKILL needs no second time, unless the first met a process that was not ours any more.
const KILL_AGAIN: Duration = Duration::from_secs(1);

/// What is known of the slot's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    None,
    /// Asked for; neither `Launched` nor `Exited` came yet.
    Launching,
    Alive(u32),
}

/// One slot.
#[derive(Debug)]
pub struct Slot {
    number: u32,
    timings: Timings,
    state: State,
    /// What runs here, is being started, or is being stopped.
    current: Option<Box<Placement>>,
    /// What is to run here once the slot has stopped what it runs now.
    next: Option<Box<Placement>>,
    process: Process,
    restarts: u64,
    backoff: Backoff,
    /// The one restart that waits for nothing was used.
    restarted: bool,
    /// Found dead at the start of the supervisor, and the store has not said that it is wanted.
    unconfirmed: bool,
    attached: bool,
    heard: Option<Instant>,
    /// What the worker says of what it has let go of; none while nothing runs, or what runs was not
    /// told yet what to run.
    released: Option<Released>,
    warned: bool,
    /// When the system was last asked about a silent process.
    looked: Option<Instant>,
    shutdown: bool,
    /// Why the supervisor killed the process.
    killed_because: Option<String>,
    address: String,
    started_ms: u64,
    last_exit: Exit,
}

impl Slot {
    /// Makes an empty slot.
    #[must_use]
    pub fn new(number: u32, timings: Timings) -> Self {
        Self {
            number,
            timings,
            state: State::Empty,
            current: None,
            next: None,
            process: Process::None,
            restarts: 0,
            backoff: Backoff::new(timings.backoff_first, timings.backoff_max),
            restarted: false,
            unconfirmed: false,
            attached: false,
            heard: None,
            released: None,
            warned: false,
            looked: None,
            shutdown: false,
            killed_because: None,
            address: String::new(),
            started_ms: 0,
            last_exit: Exit::default(),
        }
    }

    /// Takes over what an earlier life of the supervisor left here.
    pub fn remember(&mut self, found: Remembered, now: Instant) -> Vec<Command> {
        self.current = Some(Box::new(found.placement));
        self.restarts = found.restarts;
        self.started_ms = found.started_ms;
        if let Some(pid) = found.pid {
            self.process = Process::Alive(pid);
            // It may have anything until it says what.
            self.released = Some(Released::default());
            self.state = State::Starting { until: now + self.timings.hello };
            return Vec::new();
        }
        let reason = "ended while the supervisor was away".to_owned();
        let exit = Exit { reason, last_words: String::new(), at_ms: found.now_ms };
        let commands = self.died(exit, now, Duration::ZERO);
        self.unconfirmed = true;
        self.state = State::BackingOff { until: now + self.timings.confirm };
        commands.into_iter().filter(|c| !matches!(c, Command::Fetch { .. })).collect()
    }

    /// Decides what follows from an event.
    pub fn handle(&mut self, event: SlotEvent, now: Instant) -> Vec<Command> {
        match event {
            SlotEvent::Wanted(wanted) => self.wanted(wanted, now),
            SlotEvent::Fetched { digest, problem } => self.fetched(&digest, problem, now),
            SlotEvent::Launched { epoch, pid, started_ms } => {
                self.launched(epoch, pid, started_ms, now)
            }
            SlotEvent::Attached { pid, address, released } => {
                self.attached((pid, address), released, now)
            }
            SlotEvent::Detached => {
                self.attached = false;
                Vec::new()
            }
            SlotEvent::Heard { drained, released } => self.heard(drained, released, now),
            SlotEvent::Looked { stopped } => self.looked(stopped, now),
            SlotEvent::Hung(why) => self.hung(why),
            SlotEvent::Exited { epoch, exit } => self.exited(epoch, exit, now),
            SlotEvent::Cleaned => self.cleaned(),
            SlotEvent::StoodStill(so_long) => {
                self.heard = self.heard.map(|heard| (heard + so_long).min(now));
                self.looked = None;
                Vec::new()
            }
            SlotEvent::Tick => self.tick(now),
            SlotEvent::Shutdown => {
                self.shutdown = true;
                self.next = None;
                self.stop(now)
            }
        }
    }

    fn wanted(&mut self, wanted: Option<Box<Placement>>, now: Instant) -> Vec<Command> {
        let wanted = if self.shutdown { None } else { wanted };
        if let State::Stopping { .. } = self.state {
            self.next = wanted;
            return Vec::new();
        }
        match (&mut self.current, wanted) {
            (None, None) => Vec::new(),
            (None, Some(wanted)) => self.begin(wanted),
            (Some(current), Some(wanted)) if current.continues(&wanted) => {
                let is_news = current.assignment.generation != wanted.assignment.generation;
                *current = wanted;
                if self.unconfirmed {
                    return self.fetch();
                }
                // What does not run has nothing of before: who waits for that should know.
                let tell = is_news && self.released.is_none();
                self.announce().filter(|_| tell).into_iter().collect()
            }
            (Some(_), wanted) => {
                self.next = wanted;
                self.stop(now)
            }
        }
    }

    /// Begins with a placement; the slot holds no process.
    fn begin(&mut self, placement: Box<Placement>) -> Vec<Command> {
        let mut commands = Vec::new();
        match self.current.replace(placement.clone()) {
            Some(old) if old.continues(&placement) => self.restarts += 1,
            _ => {
                self.restarts = placement.restarts_min;
                self.last_exit = Exit::default();
            }
        }
        self.backoff.reset();
        self.released = None;
        self.restarted = false;
        self.unconfirmed = false;
        if self.restarts > 0 {
            commands.extend(self.announce());
        }
        commands.extend(self.fetch());
        commands.push(Command::Report);
        commands
    }

    fn fetch(&mut self) -> Vec<Command> {
        let Some(current) = &self.current else { return Vec::new() };
        self.state = State::Fetching { retry: None };
        // Confirmed, or waited for long enough: what is started now is not started again.
        self.unconfirmed = false;
        vec![Command::Fetch { slot: self.number, digest: current.digest.clone() }]
    }

    fn fetched(&mut self, digest: &str, problem: Option<String>, now: Instant) -> Vec<Command> {
        let (State::Fetching { retry: None }, Some(current)) = (self.state, &self.current) else {
            return Vec::new();
        };
        if current.digest != digest {
            return Vec::new();
        }
        if let Some(problem) = problem {
            self.last_exit.reason = format!("waiting for the binary: {problem}");
            self.state = State::Fetching { retry: Some(now + self.backoff.next(1.0)) };
            return vec![Command::Report];
        }
        self.state = State::Starting { until: now + self.timings.hello };
        self.process = Process::Launching;
        self.started_ms = 0;
        self.killed_because = None;
        let (slot, placement) = (self.number, current.clone());
        vec![Command::Launch { slot, placement, epoch: self.epoch() }, Command::Report]
    }

    fn launched(&mut self, epoch: Epoch, pid: u32, at_ms: u64, now: Instant) -> Vec<Command> {
        if epoch != self.epoch() || self.process == Process::None {
            return Vec::new();
        }
        self.process = Process::Alive(pid);
        self.started_ms = at_ms;
        match self.state {
            // It was to stop before it existed: SIGTERM was not possible until now.
            State::Stopping { .. } => self.terminate(now),
            _ => vec![Command::Report],
        }
    }

    fn attached(
        &mut self,
        (pid, address): (u32, String),
        released: Option<Released>,
        now: Instant,
    ) -> Vec<Command> {
        self.attached = true;
        self.released = Some(released.unwrap_or_else(|| self.released()));
        self.heard_of(now);
        if self.process == Process::Launching {
            self.process = Process::Alive(pid);
        }
        let known = std::mem::replace(&mut self.address, address);
        if let State::Starting { .. } = self.state {
            self.state = State::Running { since: now };
        } else if known == self.address {
            return Vec::new();
        }
        self.announce().into_iter().chain([Command::Report]).collect()
    }

    fn heard(&mut self, drained: bool, released: Option<Released>, now: Instant) -> Vec<Command> {
        self.heard_of(now);
        let is_news = released.is_some() && released != self.released;
        if is_news {
            self.released = released;
        }
        match self.state {
            State::Stopping { stage: Stage::Draining, .. } if drained => self.ask(now),
            State::Running { .. } if is_news => self.announce().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn heard_of(&mut self, now: Instant) {
        (self.heard, self.warned, self.looked) = (Some(now), false, None);
    }

    fn exited(&mut self, epoch: Epoch, mut exit: Exit, now: Instant) -> Vec<Command> {
        if epoch != self.epoch() || self.process == Process::None {
            return Vec::new();
        }
        if let Some(because) = self.killed_because.take() {
            exit.reason = format!("{because}: {}", exit.reason);
        }
        if let State::Stopping { .. } = self.state {
            self.process_gone(exit);
            return self.gone();
        }
        let ran = match self.state {
            State::Running { since } => now.saturating_duration_since(since),
            _ => Duration::ZERO,
        };
        self.died(exit, now, ran)
    }

    fn process_gone(&mut self, exit: Exit) {
        self.process = Process::None;
        self.attached = false;
        (self.heard, self.warned, self.looked) = (None, false, None);
        self.released = None;
        self.address.clear();
        self.last_exit = exit;
    }

    /// The worker is dead and still wanted. Waits bound how often it is started, so the time for which
    /// it `ran` counts: one that is killed now and then is back at once.
    fn died(&mut self, exit: Exit, now: Instant, ran: Duration) -> Vec<Command> {
        self.process_gone(exit);
        self.restarts += 1;
        if ran >= self.timings.steady {
            self.backoff.reset();
            self.restarted = false;
        }
        let mut commands: Vec<_> = self.announce().into_iter().collect();
        let wait = if self.restarted { self.backoff.next(1.0) } else { Duration::ZERO };
        self.restarted = true;
        if ran < wait {
            self.state = State::BackingOff { until: now + (wait - ran) };
        } else {
            commands.extend(self.fetch());
        }
        commands.push(Command::Report);
        commands
    }

    fn tick(&mut self, now: Instant) -> Vec<Command> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        match self.state {
            State::Empty => Vec::new(),
            State::Fetching { .. } | State::BackingOff { .. } => self.fetch(),
            State::Starting { .. } => {
                self.killed_because = Some("did not say hello".to_owned());
                self.state = State::Starting { until: now + KILL_AGAIN };
                self.signal(Signal::Kill).into_iter().collect()
            }
            State::Running { .. } => self.silent(now),
            State::Stopping { stage: Stage::Draining, .. } => self.ask(now),
            State::Stopping { stage: Stage::Asked, .. } => self.terminate(now),
            State::Stopping { .. } => self.kill(now),
        }
    }

    fn announce(&self) -> Option<Command> {
        let current = self.current.as_ref()?;
        let pid = self.pid().unwrap_or(0);
        Some(Command::Announce {
            topology: current.topology.clone(),
            worker: current.worker,
            epoch: self.epoch(),
            address: self.address.clone(),
            pid,
            released: self.released(),
        })
    }
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;
