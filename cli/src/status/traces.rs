//! Tuple trees, as a nimbus tells of them.

use serde::Deserialize;

/// What `squall trace` gets.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TracesStatus {
    /// The trees.
    pub(crate) trees: Vec<TreeStatus>,
    /// How many were seen.
    pub(crate) seen: u64,
    /// How many of those failed.
    pub(crate) failed: u64,
    /// One tree in so many was looked at.
    pub(crate) one_in: u64,
    /// For how long was looked.
    pub(crate) looked_ms: u64,
    /// What was left out for lack of room.
    pub(crate) left_out: u64,
    /// What else is to be known.
    pub(crate) remarks: Vec<String>,
}

/// One tree.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TreeStatus {
    /// Its id.
    pub(crate) id: String,
    /// "acked", "failed" or "open".
    pub(crate) outcome: String,
    /// Why it failed.
    pub(crate) reason: Option<String>,
    /// The spout.
    pub(crate) component: String,
    /// Its task.
    pub(crate) task: Option<u32>,
    /// The worker of that.
    pub(crate) worker: Option<u32>,
    /// Time from emit to verdict, or so far.
    pub(crate) took_us: Option<f64>,
    /// The hop that took longest.
    pub(crate) widest: Option<usize>,
    /// Its hops.
    pub(crate) hops: Vec<HopStatus>,
    /// How many more there are.
    pub(crate) hops_left_out: usize,
    /// What was not seen.
    pub(crate) holes: Vec<String>,
}

/// One tuple at the task that got it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HopStatus {
    /// Its number.
    pub(crate) number: usize,
    /// What it came of.
    pub(crate) parents: Vec<usize>,
    /// How many hops lie before it.
    pub(crate) depth: usize,
    /// The component.
    pub(crate) component: String,
    /// The task.
    pub(crate) task: u32,
    /// The worker.
    pub(crate) worker: Option<u32>,
    /// Its supervisor.
    pub(crate) supervisor: String,
    /// Its host.
    pub(crate) host: String,
    /// "acked", "failed", "waiting", ...
    pub(crate) state: String,
    /// Why it failed.
    pub(crate) reason: Option<String>,
    /// What the component said.
    pub(crate) text: Option<String>,
    /// When it was sent, from the begin of the tree.
    pub(crate) start_us: f64,
    /// Time on its way.
    pub(crate) way_us: Option<f64>,
    /// Time in the queue.
    pub(crate) wait_us: Option<f64>,
    /// Time in the call.
    pub(crate) execute_us: Option<f64>,
    /// Time until the verdict.
    pub(crate) held_us: Option<f64>,
    /// It was executed in the call that emitted it.
    pub(crate) fused: bool,
    /// By how much clocks differ at least.
    pub(crate) clocks_apart_us: Option<f64>,
}
