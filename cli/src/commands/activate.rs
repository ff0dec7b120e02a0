//! `squall activate`: the spouts of a topology emit again.

use clap::Args;
use proto::nimbus::TopologyRequest;

use crate::client::{request_id, unary};
use crate::commands::{Globals, topology_name};
use crate::error::Failure;

/// Flags of `squall activate`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  squall activate word-count")]
pub(crate) struct Activate {
    /// The topology
    #[arg(value_parser = topology_name)]
    name: String,
}

/// Asks nimbus for it.
pub(crate) async fn run(activate: Activate, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot activate `{}`", activate.name);
    let request = TopologyRequest { request_id: request_id(), name: activate.name };
    let call = globals
        .client()
        .call(&what, async |mut nimbus| nimbus.activate(unary(request.clone())).await)
        .await?;
    globals.show_done(&call)
}
