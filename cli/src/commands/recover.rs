//! `squall recover`: accepts a coordination store that went back.

use clap::Args;
use proto::nimbus::RecoverRequest;

use crate::client::unary;
use crate::commands::Globals;
use crate::confirm::Yes;
use crate::error::Failure;

/// Flags of `squall recover`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall describe         says `it went back from revision N to M` of the store\n  \
    squall recover          accepts what etcd holds now; what runs and is not in it stops\n  \
    squall recover --yes    without being asked, as in a script\n\n\
    After etcd was wiped or restored from a backup, nothing is changed and what runs goes on, until \
    the right etcd is back or this accepts the one there is.")]
pub(crate) struct Recover {
    #[command(flatten)]
    yes: Yes,
}

/// Asks any nimbus: who leads does not matter here.
pub(crate) async fn run(recover: Recover, globals: &Globals) -> Result<(), Failure> {
    let what = "cannot recover";
    let dies =
        "accepts what etcd holds now, for the whole cluster: what runs and is not in it stops";
    recover.yes.or_ask(what, dies, "recover")?;
    let done = globals
        .client()
        .call(what, async |mut nimbus| nimbus.recover(unary(RecoverRequest {})).await)
        .await?;
    globals.show_done(&done)
}
