//! What can happen to the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use coordination::{Key, Revision, Watermark};
use proto::nimbus::WorkerNews;
use proto::store::{
    AssignedRecord, AssignmentRecord, LeaderRecord, NimbusRecord, RequestRecord, SupervisorRecord,
    TaskResult, TopologyRecord, TopologySpec, WorkerRecord,
};

use super::reports::incoming::Incoming;

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
    /// The store has gone back, and nobody has accepted that.
    StoreWentBack {
        /// How far it was seen.
        seen: Watermark,
        /// How far it is now.
        found: Watermark,
    },
    /// What the last look at the store's health showed.
    StoreHealth(Health),
    /// This nimbus holds these binaries, and has found them whole.
    Holds(BTreeSet<String>),
    /// A submission on its way needs this binary: it stays though no topology names it yet.
    Promised(String),
    /// Something of an earlier leader or incarnation was refused.
    Refused(Stale),
    /// This nimbus leads from now on.
    Leads {
        /// Revision at which it was elected: nothing is decided on an older view.
        elected: Revision,
    },
    /// Another nimbus may lead.
    Follows,
    /// A supervisor reported.
    Report(Box<Incoming>),
    /// A stream of reports of this supervisor ended.
    HungUp(String),
    /// A stream of the own reports of this worker of a topology ended.
    WorkerHungUp(String, u32),
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

/// What a look at the store's health shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It takes writes.
    #[default]
    Fine,
    /// It answers but takes no writes, for this reason.
    ReadOnly(String),
    /// It does not answer, for this reason.
    Silent(String),
}

/// What was refused because who sent it is out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stale {
    /// A write of this nimbus: another was elected since.
    Write,
    /// A leader's wish that this nimbus keep a binary: another was elected since.
    Keep,
    /// A report to this nimbus by a supervisor that knows of a later leader.
    Leadership,
}

impl Stale {
    /// What it is called in the status and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Write => "stale-leader-write",
            Self::Keep => "stale-leader-binary",
            Self::Leadership => "stale-leader-report",
        }
    }
}

/// Why a write was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteFailure {
    /// The store had changed: look again, then decide again.
    Conflict,
    /// Another nimbus was elected since.
    Fenced,
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
    /// Of `nimbuses/`.
    Nimbus(NimbusRecord),
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
    /// Have the workers of a topology log by another filter.
    LogLevel {
        /// Its name.
        name: String,
        /// As in `RUST_LOG`; empty: what they log at first.
        filter: String,
        /// For how long; zero: until it is changed again.
        time: Duration,
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
            Self::LogLevel { .. } => "log-level",
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
