//! What each task leaves as its result, which comes back in the status.

use serde::{Deserialize, Serialize};

use crate::meter::Found;
use crate::tally::Tally;

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Left {
    /// Its window: of what arrived, and from emit to arrival; at a spout of what was acked (or
    /// emitted, if nothing is tracked), and from emit to ack.
    pub(crate) found: Found,
    pub(crate) role: Role,
}

/// What it was, with what it counted from first to last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Spout {
        /// Which of the spout's tasks.
        index: u32,
        emitted: u64,
        acked: u64,
        failed: u64,
    },
    /// A bolt between spout and sink.
    Between,
    /// A last bolt.
    Sink { tally: Tally },
}
