//! What happens in a cluster, and when it matters to whom.

use coordination::{Entry, Error, LeaseId, Listing, Revision, Transaction};
use nimbus::engine::command::{Refusal, Reply};
use nimbus::engine::event::Request;
use proto::nimbus::WorkerNews;
use proto::store::Released;
use proto::supervisor::{SupervisorReport, WorkerReport};
use std::collections::BTreeMap;
use std::time::Duration;
use supervisor::engine::{Command, Instructions, SlotEvent};

use super::env::{Life, Node};

/// What somebody asks of the store.
#[derive(Debug)]
pub(super) enum Ask {
    List,
    Get(String),
    Commit(Transaction, By),
    /// From this revision on; 0: from now on.
    Watch(Revision),
    Grant(Duration),
    KeepAlive(LeaseId),
}

/// What the store says.
#[derive(Debug)]
pub(super) enum Got {
    Listing(Listing),
    Entry(Option<Entry>),
    Done(Revision),
    Watch(usize),
    Lease(LeaseId),
    Kept,
}

/// The answer of the store, or that there is none.
pub(super) type Answered = Result<Got, Error>;

/// What a transaction is for, for the witness.
#[derive(Clone, Debug)]
pub(super) enum By {
    /// A nimbus wants to lead, or gives that up.
    Election,
    /// A leader of this term carries out a plan.
    Plan { term: Revision, purpose: &'static str, request: Option<String> },
    /// A supervisor says that it is here, or what its workers are.
    Supervisor,
}

/// What an answer is for.
#[derive(Debug)]
pub(super) enum Why {
    List,
    Watch(Option<Listing>),
    Grant,
    KeepAlive,
    Campaign,
    WhoLeads,
    GiveUp,
    StillLeads,
    RequestLease,
    Write,
    Register(LeaseId),
    Wish((String, u32)),
    WishGet((String, u32)),
}

/// What somebody set an alarm for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Tick,
    Mirror,
    Session,
    Election,
    Registrar,
}

/// What a client hears, and whether from a nimbus that leads or from one that was replaced and does
/// not know.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) what: What,
    pub(super) leads: bool,
}

/// What a nimbus says.
#[derive(Clone, Debug)]
pub(super) enum What {
    Answer(Result<Reply, Refusal>),
    /// Names of the topologies there are, with their status.
    Listed(BTreeMap<String, i32>),
}

/// What a worker says to its supervisor.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// It is here, and has let go of this much.
    Hello(Option<Released>),
    Report(Box<WorkerReport>),
}

/// Something that is due.
#[derive(Debug)]
pub(super) enum Event {
    /// A call arrives at the store.
    AtStore { call: u64, from: Life, ask: Ask },
    /// The answer of a call arrives.
    Answer { call: u64, answered: Answered },
    /// A call was not answered in time.
    NoAnswer { call: u64 },
    /// A watch may show something.
    Watch(usize),
    /// Leases may be due.
    StoreTick,
    /// An alarm goes off.
    Timer(Life, Timer),
    /// A report arrives at a nimbus.
    Report { to: usize, report: Box<SupervisorReport> },
    /// A nimbus sees that a stream of reports ended.
    HungUp { to: usize, supervisor: String },
    /// A worker without a supervisor reports to a nimbus.
    News { to: usize, process: usize, news: Box<WorkerNews> },
    /// A request arrives at a nimbus; `None` asks for a list.
    Request { to: usize, client: usize, number: (u32, u32), request: Option<Request> },
    /// An answer arrives at a client.
    Heard { client: usize, number: (u32, u32), from: usize, heard: Heard },
    /// A client asks for the next thing.
    Act { client: usize },
    /// A client waited long enough for this try.
    Again { client: usize, number: (u32, u32) },
    /// A supervisor hears of one of its slots.
    Slot { to: Life, slot: u32, event: SlotEvent },
    /// What the engine of a supervisor wanted takes its time.
    Later { to: Life, command: Box<Command> },
    /// A worker's process is to do something.
    Process { process: usize, what: ProcessEvent },
    /// A worker says something to the supervisor of its machine.
    Said { process: usize, said: Said },
    /// The supervisor of a machine notices that a process has ended.
    Ended { process: usize },
    /// A node is started again.
    Start(Node),
    /// Something goes wrong.
    Fault(usize),
    /// The store is back.
    Back,
    /// All is well from now on.
    Heal,
    /// Has all come to rest?
    Look,
}

/// What a worker's process is to do.
#[derive(Debug)]
pub(super) enum ProcessEvent {
    /// It has started, and says hello soon.
    Begin,
    /// It reports, if somebody listens.
    Beat,
    /// Its supervisor tells it what to do.
    Orders { instructions: Option<Instructions>, stop: bool },
    /// SIGTERM.
    Terminate,
    /// It looks whether executors that leave have left.
    Turn,
    /// It was stopped and goes on.
    Wake,
    /// It ends by itself.
    Exit,
    /// It is killed.
    End,
}
