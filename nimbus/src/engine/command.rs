//! What the engine wants done.

use coordination::Revision;
use proto::nimbus::{Done, SubmitReply};
use proto::store::{AssignedRecord, AssignmentRecord, RequestRecord, TaskResult, TopologyRecord};

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Write to the store, and tell how that went. There is never more than one at a time.
    Write(Box<Plan>),
    /// Answer a request.
    Answer {
        /// The request's ticket.
        ticket: u64,
        /// What to say.
        answer: Result<Reply, Refusal>,
    },
    /// Fetch a binary from one of these nimbuses, and tell what is held then.
    FetchBinary {
        /// Its digest.
        digest: String,
        /// Where gRPC endpoints of nimbuses are that have it.
        from: Vec<String>,
    },
    /// Remove a binary that no topology uses any more.
    RemoveBinary {
        /// Its digest.
        digest: String,
    },
}

/// Writes to the records of one topology.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What it is for, for logs.
    pub purpose: &'static str,
    /// The topology's id.
    pub topology: String,
    /// Revision of the topology's record that was decided on; `None`: there is no record yet, nor
    /// another topology of its name.
    pub expected: Option<Revision>,
    /// Written first, in several transactions if there is much of it: nothing acts on it before
    /// `decide` is written, so it does no harm if that never happens.
    pub prepare: Vec<Write>,
    /// Written in one transaction: all of it counts or nothing.
    pub decide: Vec<Write>,
    /// The answer to remember along with `decide`: the request's id and its record.
    pub request: Option<(String, RequestRecord)>,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Sets the topology's record.
    Topology(Box<TopologyRecord>),
    /// Takes a name for the topology.
    Name(String),
    /// Sets what a worker runs.
    Assignment(AssignmentRecord),
    /// Puts a generation in force.
    Assigned(AssignedRecord),
    /// Removes a generation that is not in force.
    DropGeneration(u64),
    /// Removes the generation in force and all assignments: its workers are to stop.
    Release,
    /// Keeps what a task left.
    Result(TaskResult),
    /// Removes the topology, its name (given here) and all that is left of it.
    Forget(String),
}

/// The answer to a request that was carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To `submit`.
    Submitted(SubmitReply),
    /// To everything else.
    Done(Done),
}

/// The answer to a request that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the caller can do about it.
    pub kind: RefusalKind,
    /// What failed.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub fix: String,
}

/// Kinds of refusals, by what the caller can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// Ask the leader, if its address is known.
    NotLeader(Option<String>),
    /// Choose another name.
    AlreadyExists,
    /// Look what there is.
    NotFound,
    /// Correct the request.
    Invalid,
    /// Wait for another status, or change it.
    NotNow,
    /// Try again, with the same request id.
    Unavailable,
    /// Bring the coordination store back.
    StoreSilent,
    /// Ask less often.
    Exhausted,
}

impl Refusal {
    /// Says no: `what` failed because of `why`; do `fix`.
    pub fn new(
        kind: RefusalKind,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { kind, what: what.into(), why: why.into(), fix: fix.into() }
    }

    /// Says that the coordination store does not answer, for this reason.
    #[must_use]
    pub fn store_silent(reason: &str) -> Self {
        let fix = "start etcd again, or see why it does not answer; what runs keeps running";
        Self::new(RefusalKind::StoreSilent, "nothing was done", reason, fix)
    }

    /// Says that the coordination store takes no writes, for this reason.
    #[must_use]
    pub fn store_read_only(reason: &str) -> Self {
        let fix = "see to etcd, then try again; what runs keeps running";
        Self::new(RefusalKind::StoreSilent, "nothing was done", reason, fix)
    }

    /// Says that the coordination store has gone back, which nobody has accepted.
    #[must_use]
    pub fn store_went_back(reason: &str) -> Self {
        let fix = "bring the right etcd back, or accept what this one holds with `squall recover`: \
                   what runs and is not in it then stops";
        Self::new(RefusalKind::StoreSilent, "nothing was done", reason, fix)
    }

    /// Says that another nimbus has to be asked.
    #[must_use]
    pub fn not_leader(address: Option<String>) -> Self {
        let fix = match &address {
            Some(address) => format!("ask the leader at {address}"),
            None => "try again in a moment".to_owned(),
        };
        let why = if address.is_some() { "another one leads" } else { "no leader is known yet" };
        Self::new(RefusalKind::NotLeader(address), "this nimbus cannot do that", why, fix)
    }
}
