//! Topologies around connectors, for tests that kill their workers and servers.
//!
//! The first argument says which: `piped NAME ARGUMENTS`. `piped receiver` is no topology but a server.

mod files;
mod http;
mod kafka;
mod push;
mod receiver;
mod redis;

use std::process::ExitCode;

use topology_api::prelude::{Args, BuildError, Topology};

fn piped(args: &Args) -> Result<Topology, BuildError> {
    let name = args.iter().next().unwrap_or_default();
    // One line a topology, one file a connector.
    match name {
        "files" => files::files(args),
        "http-out" => http::out(args),
        "kafka" => kafka::copy(args),
        "push" => push::topology(args),
        "redis-out" => redis::out(args),
        "redis-through" => redis::through(args),
        _ => Err(BuildError::new("piped", format!("no topology is called `{name}`"))),
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [name, rest @ ..] = words.as_slice()
        && name == "receiver"
    {
        return receiver::run(rest);
    }
    worker::main(piped)
}
