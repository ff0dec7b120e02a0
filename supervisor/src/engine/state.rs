//! The states of a slot, and how long it stays in them.

use std::time::{Duration, Instant};

/// How long a slot waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// From the start of a process, or its adoption, to its hello.
    pub hello: Duration,
    /// Without a report: worth a warning.
    pub quiet: Duration,
    /// Without a report, and the system says that the process is stopped: killed.
    pub stopped: Duration,
    /// Between two looks at a process that does not report.
    pub look: Duration,
    /// Without a report, whatever the system says: killed.
    pub silent: Duration,
    /// For the trees to end when the supervisor stops.
    pub drain: Duration,
    /// From asking a worker to exit to SIGTERM.
    pub ask: Duration,
    /// From SIGTERM to SIGKILL.
    pub terminate: Duration,
    /// The same when the supervisor itself stops.
    pub terminate_at_shutdown: Duration,
    /// The second restart in a row comes so long after the worker began to run, the next ones twice as
    /// long each.
    pub backoff_first: Duration,
    /// No restart waits longer.
    pub backoff_max: Duration,
    /// Who ran so long starts with a clean slate.
    pub steady: Duration,
    /// How long a worker that died while the supervisor was away waits for the store to say
    /// whether it is still wanted.
    pub confirm: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(30),
            quiet: Duration::from_secs(1),
            stopped: Duration::from_millis(1_500),
            look: Duration::from_millis(250),
            silent: Duration::from_secs(10),
            drain: Duration::from_secs(5),
            ask: Duration::from_secs(1),
            terminate: Duration::from_secs(5),
            terminate_at_shutdown: Duration::from_secs(2),
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_mins(1),
            steady: Duration::from_secs(10),
            confirm: Duration::from_secs(2),
        }
    }
}

/// What is being done about a slot; see the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is to run here, and nothing does.
    Empty,
    /// The binary is being brought into the cache; after a failure, again at `retry`.
    Fetching {
        /// When to try again; `None` while it is being tried.
        retry: Option<Instant>,
    },
    /// The process was started and has not said hello.
    Starting {
        /// Killed if it has not said hello by then.
        until: Instant,
    },
    /// The worker said hello; it reports.
    Running {
        /// When it said hello.
        since: Instant,
    },
    /// It died too often; the next start waits.
    BackingOff {
        /// When it is started.
        until: Instant,
    },
    /// What runs here is to end.
    Stopping {
        /// How far that has come.
        stage: Stage,
        /// When the next stage begins; `None`: when something that must come has come.
        until: Option<Instant>,
    },
}

/// How far the end of a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its trees may end.
    Draining,
    /// It was asked to exit.
    Asked,
    /// It got SIGTERM.
    Terminated,
    /// It got SIGKILL.
    Killed,
    /// It is gone; its folder goes.
    Cleaning,
}

impl State {
    /// Returns the word the status shows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Fetching { .. } => "fetching",
            Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::BackingOff { .. } => "backing-off",
            Self::Stopping { .. } => "stopping",
        }
    }
}
