//! `squall rebalance`: spreads a topology anew, or changes its workers or parallelism.

use std::collections::BTreeMap;

use clap::Args;
use proto::nimbus::RebalanceRequest;

use crate::args::component_count;
use crate::client::{request_id, unary};
use crate::codes::Code;
use crate::commands::{Globals, topology_name};
use crate::error::Failure;

/// Flags of `squall rebalance`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall rebalance word-count                    spread it over the supervisors there are now\n  \
    squall rebalance word-count --workers 4        more processes\n  \
    squall rebalance word-count -e count=8         more executors (up to its number of tasks)")]
pub(crate) struct Rebalance {
    /// The topology
    #[arg(value_parser = topology_name)]
    pub(crate) name: String,
    /// How many workers it shall have [default: as before]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    workers: Option<u32>,
    /// How many executors a component shall have; may be repeated
    #[arg(long = "executors", short, value_name = "COMPONENT=N", value_parser = component_count)]
    executors: Vec<(String, u32)>,
}

/// Asks nimbus for it.
pub(crate) async fn run(rebalance: Rebalance, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot rebalance `{}`", rebalance.name);
    let request = request(&what, rebalance)?;
    let mut client = globals.client();
    let done = client
        .call(&what, async |mut nimbus| nimbus.rebalance(unary(request.clone())).await)
        .await?;
    globals.show_done(&done)
}

/// What is asked for.
pub(crate) fn request(what: &str, rebalance: Rebalance) -> Result<RebalanceRequest, Failure> {
    let mut executors = BTreeMap::new();
    for (component, count) in rebalance.executors {
        if executors.insert(component.clone(), count).is_some() {
            let why = format!("`{component}` is given twice");
            return Err(Failure::new(Code::GivenTwice, what, why, "give each component once"));
        }
    }
    Ok(RebalanceRequest {
        request_id: request_id(),
        name: rebalance.name,
        workers: rebalance.workers.unwrap_or(0),
        executors,
    })
}
