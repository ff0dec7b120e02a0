//! A run in this process, as of a topology's binary that is started by hand.

use topology_api::Args;

use crate::cases;
use crate::left::Left;
use crate::options::Case;
use crate::problem::{EX_OSERR, INTERRUPTED, Problem};

/// Runs the topology here; returns what its tasks left.
pub(crate) fn run(case: &Case) -> Result<Vec<Left>, Problem> {
    let what = "the topology cannot run";
    let topology = cases::build(case).map_err(|error| Problem::failed(what, error))?;
    let finished = worker::run_here(topology, Args::new(case.words()))
        .map_err(|error| Problem::new(EX_OSERR, what, error, "see what the machine is short of"))?;
    if !finished.complete {
        return Err(Problem::new(INTERRUPTED, "ended early", "asked to", ""));
    }
    if let Some(error) = finished.snapshot.errors.first() {
        return Err(Problem::failed("a component failed", &error.text));
    }
    let results = finished.snapshot.results.values();
    let left: Result<_, _> = results.map(|json| serde_json::from_str(json)).collect();
    left.map_err(|error| Problem::failed("a task left something else than its figures", error))
}
