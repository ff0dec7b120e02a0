//! What there is to know of a slot: read by the status and by the loop.

use std::time::Instant;

use proto::store::Released;

use super::super::{Epoch, Exit, Placement, State};
use super::{Process, Slot};

impl Slot {
    /// Returns its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Returns what is being done about it.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns what runs here, is being started, or is being stopped.
    #[must_use]
    pub fn placement(&self) -> Option<&Placement> {
        self.current.as_deref()
    }

    /// Returns the epoch of the incarnation that runs here or is started next.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        let revision = self.current.as_ref().map_or(0, |current| current.revision);
        Epoch { revision, restarts: self.restarts }
    }

    /// Returns how far the worker has come in letting go of what it had. One that does not run, or
    /// was not told yet what to run, has nothing that its assignment does not give it.
    pub(super) fn released(&self) -> Released {
        let generation = self.current.as_ref().map_or(0, |it| it.assignment.generation);
        let nothing = || Released { generation, holding: Vec::new() };
        self.released.clone().unwrap_or_else(nothing)
    }

    /// Returns the process, if there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self.process {
            Process::Alive(pid) => Some(pid),
            Process::None | Process::Launching => None,
        }
    }

    /// Returns where the worker listens; empty if it does not.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the wall clock at the start of the process.
    #[must_use]
    pub fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// Returns how the last incarnation ended.
    #[must_use]
    pub fn last_exit(&self) -> &Exit {
        &self.last_exit
    }

    /// Tells whether the worker is to let its trees end because the supervisor stops.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shutdown
    }

    /// Returns when the slot next has something to do, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Empty => None,
            State::Fetching { retry } => retry,
            State::Starting { until } | State::BackingOff { until } => Some(until),
            State::Running { .. } => self.silence_deadline(),
            State::Stopping { until, .. } => until,
        }
    }
}
