//! What can happen to the engine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coordination::{Key, Revision};
use proto::nimbus::WorkerNews;
use proto::store::{
    AssignedRecord, AssignmentRecord, LeaderRecord, RequestRecord, SupervisorRecord, TaskResult,
    TopologyRecord, TopologySpec, WorkerRecord,
};
use proto::supervisor::SupervisorReport;

/// The time, twice: for deciding, and for people.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Never goes back: for deadlines.
    pub at: Instant,
    /// Milliseconds since 1970: for records that people read, never for deadlines.
    pub wall_ms: u64,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// This is all that the store holds, as of `revision`.
    Snapshot {
        /// What the keys hold.
        facts: Vec<Fact>,
        /// When that was so.
        revision: Revision,
    },
    /// These keys changed.
    Changes(Vec<Fact>),
    /// The store does not answer, for this reason.
    StoreSilent(String),
    /// This nimbus leads from now on.
    Leads {
        /// Revision at which it was elected: nothing is decided on an older view.
        elected: Revision,
    },
    /// Another nimbus may lead.
    Follows,
    /// A supervisor reported.
    Report(Box<SupervisorReport>),
    /// A worker reported by itself, because its supervisor is away.
    News(Box<WorkerNews>),
    /// Somebody asked for a change.
    Asked {
        /// What to answer to.
        ticket: u64,
        /// What was asked.
        request: Request,
    },
    /// What the last `Command::Write` asked for is done.
    Written {
        /// The revision of its last transaction.
        revision: Revision,
    },
    /// What the last `Command::Write` asked for is not done, or not known to be.
    NotWritten(WriteFailure),
    /// Time has passed.
    Tick,
}

/// Why a write was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteFailure {
    /// The store had changed: look again, then decide again.
    Conflict,
    /// The store did not answer: it may or may not be done.
    Unavailable(String),
    /// The store will never take it.
    Refused(String),
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The key.
    pub key: Key,
    /// Its record; `None` if it is gone.
    pub record: Option<Record>,
    /// Revision at which that became so.
    pub revision: Revision,
}

/// A record of the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Of `leader`.
    Leader(LeaderRecord),
    /// Of `supervisors/`.
    Supervisor(SupervisorRecord),
    /// Of `topologies/`.
    Topology(Box<TopologyRecord>),
    /// Of `names/`: a topology's id.
    Name(String),
    /// Of `assignments/`.
    Assignment(AssignmentRecord),
    /// Of `assigned/`.
    Assigned(AssignedRecord),
    /// Of `workers/`.
    Worker(WorkerRecord),
    /// Of `results/`.
    Result(TaskResult),
    /// Of `requests/`.
    Request(RequestRecord),
}

/// A change somebody asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The client's name for it: a repetition gets the first answer. Empty: no protection.
    pub id: String,
    /// What to do.
    pub verb: Verb,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Verb {
    /// Run a topology whose binary is here already.
    Submit(Box<Submission>),
    /// Let the spouts of this topology emit.
    Activate(String),
    /// Stop the spouts of this topology.
    Deactivate(String),
    /// Stop and forget a topology.
    Kill {
        /// Its name.
        name: String,
        /// How long its trees may take to end.
        wait: Duration,
    },
    /// Place the executors of a topology anew.
    Rebalance {
        /// Its name.
        name: String,
        /// How many workers it is to have; 0: as now.
        workers: u32,
        /// How many executors these components are to have.
        executors: BTreeMap<String, u32>,
    },
}

impl Verb {
    /// Its name, as in the records of requests.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Submit(_) => "submit",
            Self::Activate(_) => "activate",
            Self::Deactivate(_) => "deactivate",
            Self::Kill { .. } => "kill",
            Self::Rebalance { .. } => "rebalance",
        }
    }
}

/// A topology to run.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// What its binary says of itself, with the name and configuration the user chose.
    pub spec: TopologySpec,
    /// SHA-256 of its binary.
    pub digest: String,
    /// Size of its binary.
    pub binary_bytes: u64,
    /// Arguments for its binary.
    pub arguments: Vec<String>,
    /// How many workers it is to have; 0: one.
    pub workers: u32,
    /// Whether its spouts are to wait for `activate`.
    pub inactive: bool,
    /// Makes its id unlike any other: chosen at random by the shell.
    pub random: u32,
}
