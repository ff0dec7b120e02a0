//! What the engine is told.

use proto::store::{
    AssignedRecord, AssignmentRecord, LeaderRecord, NimbusRecord, Released, TopologyRecord,
    WorkerRecord,
};

use super::{Epoch, Placement};

/// A record, and the store revision of its last change.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamped<T> {
    /// The record.
    pub record: T,
    /// Revision of its last change.
    pub revision: u64,
}

/// One key of the store as it is now; `None` says that it is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// `topologies/<id>`.
    Topology(String, Option<Box<TopologyRecord>>),
    /// `assigned/<topology>`.
    Assigned(String, Option<Stamped<AssignedRecord>>),
    /// `assignments/<topology>/<generation>/<worker>`.
    Assignment {
        /// The topology.
        topology: String,
        /// The generation.
        generation: u64,
        /// The worker's number.
        worker: u32,
        /// What is there.
        record: Option<Stamped<AssignmentRecord>>,
    },
    /// `workers/<topology>/<worker>`.
    Worker {
        /// The topology.
        topology: String,
        /// The worker's number.
        worker: u32,
        /// What is there.
        record: Option<Stamped<WorkerRecord>>,
    },
    /// `leader`: who leads, since the revision of its stamp.
    Leader(Option<Stamped<LeaderRecord>>),
    /// `nimbuses/<id>`.
    Nimbus(String, Option<NimbusRecord>),
}

/// How an incarnation ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// For people: `exit code 1`, `killed by signal 9 (SIGKILL)`.
    pub reason: String,
    /// The last lines of its log.
    pub last_words: String,
    /// Wall clock.
    pub at_ms: u64,
}

/// What happened to one slot.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotEvent {
    /// The assignments in force ask for this; `None`: for nothing.
    Wanted(Option<Box<Placement>>),
    /// The verified binary is in the cache, or why it is not.
    Fetched {
        /// Of which binary.
        digest: String,
        /// What went wrong.
        problem: Option<String>,
    },
    /// The process exists.
    Launched {
        /// Of this incarnation.
        epoch: Epoch,
        /// Its process.
        pid: u32,
        /// Wall clock at its start.
        started_ms: u64,
    },
    /// The worker said hello; the shell has checked its token and epoch.
    Attached {
        /// Its process.
        pid: u32,
        /// `host:port` its transport listens on.
        address: String,
        /// How far it has come in letting go of what it had; none if it was not told yet what to run.
        released: Option<Released>,
    },
    /// The conversation with the worker broke off; it will dial again if it lives.
    Detached,
    /// The worker reported.
    Heard {
        /// It was asked to drain and nothing is pending.
        drained: bool,
        /// As at the hello.
        released: Option<Released>,
    },
    /// The system was asked about the process, as `Command::Look` wants it.
    Looked {
        /// It was stopped by a signal and does nothing.
        stopped: bool,
    },
    /// The worker reported that it is to be replaced, and why: a component makes no progress.
    Hung(String),
    /// The process is gone, or could not be started.
    Exited {
        /// Of this incarnation.
        epoch: Epoch,
        /// How.
        exit: Exit,
    },
    /// The worker's folder is gone.
    Cleaned,
    /// The supervisor itself stood still for so long: silence in that time proves nothing.
    StoodStill(std::time::Duration),
    /// Time has passed.
    Tick,
    /// The supervisor stops: drain, then end.
    Shutdown,
}

/// A worker that an earlier life of this supervisor started.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// What it runs.
    pub placement: Placement,
    /// Restarts up to the incarnation that was started last.
    pub restarts: u64,
    /// Its process, if that still lives.
    pub pid: Option<u32>,
    /// Wall clock at its start.
    pub started_ms: u64,
    /// Wall clock now, should it be found dead.
    pub now_ms: u64,
}

/// What the engine is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// All there is in the store; replaces what was known.
    Snapshot(Vec<Fact>),
    /// The store had gone back, and people accepted that: this is all it holds. Whatever runs is
    /// ended first, because epochs and tables of then and now cannot be compared.
    Restored(Vec<Fact>),
    /// Changes of the store, in the order of their revisions.
    Store(Vec<Fact>),
    /// Found on disk at the start.
    Remembered(Box<Remembered>),
    /// Something happened to a slot.
    Slot(u32, SlotEvent),
    /// Time has passed.
    Tick,
    /// The supervisor was asked to stop.
    Shutdown,
}
