//! Tuple trees as plain data: these structures are the JSON document.
//!
//! Times that end in `_us` are microseconds, `null` where nothing was measured.

use serde::Serialize;
use utoipa::ToSchema;

/// Tuple trees of a sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Traces {
    /// Name of the topology.
    pub topology: String,
    /// The trees: the slowest or the newest first, as was asked for.
    pub trees: Vec<Tree>,
    /// How many trees were seen to end, or are open.
    pub seen: usize,
    /// How many of those failed.
    pub failed: usize,
    /// One tree in so many was looked at; those that failed are told of beyond that.
    pub one_in: u64,
    /// For how long was looked.
    pub looked_ms: u64,
    /// What was noted and left out for lack of room: single tuples of trees may be missing for it.
    pub left_out: u64,
    /// What else is to be known, in sentences.
    pub remarks: Vec<String>,
}

/// How a tree stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every tuple of it was processed.
    Acked,
    /// It failed.
    Failed,
    /// It has no verdict yet.
    #[default]
    Open,
}

/// One tuple tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Tree {
    /// Its id: 16 hexadecimal digits.
    pub id: String,
    /// How it stands.
    pub outcome: Outcome,
    /// Why it failed: `error`, `panic`, `timeout`, `worker-lost`, ...; `null` if it did not.
    pub reason: Option<String>,
    /// The spout; empty if it is not known.
    pub component: String,
    /// The spout's task.
    pub task: Option<u32>,
    /// The worker of that.
    pub worker: Option<u32>,
    /// Its supervisor.
    pub supervisor: String,
    /// Its host.
    pub host: String,
    /// When it was emitted, in milliseconds since 1970.
    pub began_ms: u64,
    /// Time from emit to verdict; of an open tree: so far.
    pub took_us: Option<f64>,
    /// The hop that took longest, by number.
    pub widest: Option<usize>,
    /// The hop where it failed, by number.
    pub failed_at: Option<usize>,
    /// Its hops, each behind the one it came of.
    pub hops: Vec<Hop>,
    /// Hops beyond those.
    pub hops_left_out: usize,
    /// What of it was not seen, in sentences.
    pub holes: Vec<String>,
}

/// What became of a tuple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HopState {
    /// It was processed.
    Acked,
    /// It failed.
    Failed,
    /// It is on its way, or waits to be executed.
    Waiting,
    /// Its call lasts.
    Executing,
    /// Its call is over, and it is held until its verdict.
    Held,
    /// The task put it back in its own queue: the hop below goes on with it.
    Continued,
    /// What became of it was not seen.
    #[default]
    Unseen,
}

/// One tuple at the task that got it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Hop {
    /// Its number: its place in the list.
    pub number: usize,
    /// The hops it came of, by number; none if it came from the spout, or that was not seen.
    pub parents: Vec<usize>,
    /// How many hops lie between it and the spout.
    pub depth: usize,
    /// The component that got it.
    pub component: String,
    /// The task.
    pub task: u32,
    /// The worker of that; `null` if it is not known.
    pub worker: Option<u32>,
    /// Its supervisor.
    pub supervisor: String,
    /// Its host.
    pub host: String,
    /// What became of it.
    pub state: HopState,
    /// Why it failed; `null` if it did not.
    pub reason: Option<String>,
    /// What the component said of that; `null` if nothing.
    pub text: Option<String>,
    /// When it was sent (or came, if that was not seen), from the begin of the tree.
    pub start_us: f64,
    /// Time in the outbox of its sender and between workers.
    pub way_us: Option<f64>,
    /// Time in the queue of its task.
    pub wait_us: Option<f64>,
    /// Time in the call.
    pub execute_us: Option<f64>,
    /// Time from the end of the call to the verdict: calls that wait, tuples that are kept.
    pub held_us: Option<f64>,
    /// It was executed within the call that emitted it.
    pub fused: bool,
    /// The clocks of its worker and of the one before differ by so much at least: the times of this
    /// worker are moved.
    pub clocks_apart_us: Option<f64>,
}

impl Hop {
    /// All of its time.
    #[must_use]
    pub fn width_us(&self) -> f64 {
        [self.way_us, self.wait_us, self.execute_us, self.held_us].into_iter().flatten().sum()
    }
}
