//! Topologies around connectors, for tests that kill their workers and servers.
//!
//! The first argument says which: `piped NAME ARGUMENTS`.

mod push;

use std::process::ExitCode;

use topology_api::prelude::{Args, BuildError, Topology};

fn piped(args: &Args) -> Result<Topology, BuildError> {
    match args.iter().next().unwrap_or_default() {
        // One line a connector: a file beside this one.
        "push" => push::topology(args),
        name => Err(BuildError::new("piped", format!("no topology is called `{name}`"))),
    }
}

fn main() -> ExitCode {
    worker::main(piped)
}
