//! `squall deactivate`: the spouts of a topology stop, what is under way finishes.

use clap::Args;
use proto::nimbus::TopologyRequest;

use crate::client::{request_id, unary};
use crate::commands::{Globals, topology_name};
use crate::error::Failure;

/// Flags of `squall deactivate`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  squall deactivate word-count")]
pub(crate) struct Deactivate {
    /// The topology
    #[arg(value_parser = topology_name)]
    name: String,
}

/// Asks nimbus for it.
pub(crate) async fn run(deactivate: Deactivate, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot deactivate `{}`", deactivate.name);
    let request = TopologyRequest { request_id: request_id(), name: deactivate.name };
    let call = globals
        .client()
        .call(&what, async |mut nimbus| nimbus.deactivate(unary(request.clone())).await)
        .await?;
    globals.show_done(&call)
}
