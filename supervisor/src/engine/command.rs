//! What the engine asks the shell to do.

use std::sync::Arc;

use proto::store::{AssignmentRecord, LogFilter, Released};
use proto::supervisor::RoutingTable;
use proto::supervisor::desired_state::State as DesiredState;

use super::{Epoch, Placement};

/// What a worker is to know. Only the parts that differ are sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct Instructions {
    /// What it runs.
    pub assignment: Arc<AssignmentRecord>,
    /// Where its peers are; `None` until the store has said so.
    pub table: Option<Arc<RoutingTable>>,
    /// What its spouts may do; `None` until the store has said so: an adopted worker goes on.
    pub state: Option<DesiredState>,
    /// What it logs, where that was changed, and until when.
    pub log: Option<LogFilter>,
}

/// The two signals a worker gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// What the engine asks the shell to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Have the verified binary in the cache; answered by `Fetched`.
    Fetch {
        /// For this slot.
        slot: u32,
        /// SHA-256 of the binary.
        digest: String,
    },
    /// Write the epoch to disk, then start the process; answered by `Launched` or `Exited`.
    Launch {
        /// For this slot.
        slot: u32,
        /// What to start.
        placement: Box<Placement>,
        /// As which incarnation.
        epoch: Epoch,
    },
    /// Write the worker's record, as soon as the store takes it.
    Announce {
        /// The topology.
        topology: String,
        /// The worker's number.
        worker: u32,
        /// Its epoch: retires all older ones.
        epoch: Epoch,
        /// Where it listens; empty while it is being restarted.
        address: String,
        /// Its process, or 0.
        pid: u32,
        /// How far it has come in letting go of what it had.
        released: Released,
    },
    /// Delete the worker's record, as soon as the store takes it.
    Withdraw {
        /// The topology.
        topology: String,
        /// The worker's number.
        worker: u32,
    },
    /// Tell the worker, now and whenever it attaches.
    Instruct {
        /// In this slot.
        slot: u32,
        /// All it is to know.
        instructions: Instructions,
    },
    /// Ask the worker to exit.
    AskToStop {
        /// In this slot.
        slot: u32,
        /// For its log.
        reason: String,
    },
    /// Send a signal to the worker's process group.
    Signal {
        /// In this slot.
        slot: u32,
        /// The process.
        pid: u32,
        /// Which.
        signal: Signal,
    },
    /// Ask the system whether the process is stopped; answered by `Looked`.
    Look {
        /// In this slot.
        slot: u32,
        /// The process.
        pid: u32,
    },
    /// Remove the worker's folder; answered by `Cleaned`.
    Clean {
        /// For this slot.
        slot: u32,
        /// The topology.
        topology: String,
        /// The worker's number.
        worker: u32,
        /// Its last epoch: remembered, for it must never be used again.
        epoch: Epoch,
    },
    /// Say in the log that the worker is quiet.
    Warn {
        /// In this slot.
        slot: u32,
        /// What is wrong.
        text: String,
    },
    /// Tell the leading nimbus now, not at the next beat.
    Report,
}
