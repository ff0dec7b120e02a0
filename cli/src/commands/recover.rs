//! `squall recover`: accepts a coordination store that went back.

use clap::Args;
use proto::nimbus::RecoverRequest;

use crate::client::unary;
use crate::commands::Globals;
use crate::error::Failure;

/// Flags of `squall recover`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall describe      says `it went back from revision N to M` of the store\n  \
    squall recover       accepts what etcd holds now; what runs and is not in it stops\n\n\
    After etcd was wiped or restored from a backup, nothing is changed and what runs goes on, until \
    the right etcd is back or this accepts the one there is.")]
pub(crate) struct Recover {}

/// Asks any nimbus: who leads does not matter here.
pub(crate) async fn run(_: Recover, globals: &Globals) -> Result<(), Failure> {
    let done = globals
        .client()
        .call("cannot recover", async |mut nimbus| nimbus.recover(unary(RecoverRequest {})).await)
        .await?;
    globals.show_done(&done)
}
