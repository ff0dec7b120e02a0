//! The `main` of a topology binary: describe it, run it here, or be one of its workers.

use std::io::Write;
use std::process::ExitCode;

use topology_api::{Args, BuildError, Topology};

use crate::launch::{Mode, chosen};
use crate::{local, remote};

/// The input data is wrong (sysexits).
const EX_DATAERR: u8 = 65;

/// A bug, or something the machine refused (sysexits).
pub(crate) const EX_SOFTWARE: u8 = 70;

/// Runs a topology binary: give it to your `main`.
///
/// Run by hand, the topology runs in this process until its spouts are done or ctrl-c. Asked by
/// `squall submit`, the binary describes itself; started by a supervisor, it is a worker.
///
/// ```no_run
/// use topology_api::prelude::*;
///
/// fn word_count(_: &Args) -> Result<Topology, BuildError> {
///     let mut t = TopologyBuilder::new("word-count");
///     t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx));
///     t.build()
/// }
///
/// fn main() -> std::process::ExitCode {
///     worker::main(word_count)
/// }
/// ```
pub fn main<F>(build: F) -> ExitCode
where
    F: Fn(&Args) -> Result<Topology, BuildError>,
{
    let arguments = Args::new(std::env::args().skip(1));
    match run(&build, arguments) {
        Ok(code) => code,
        Err(Problem { code, text }) => {
            complain(&text);
            ExitCode::from(code)
        }
    }
}

pub(crate) struct Problem {
    pub(crate) code: u8,
    pub(crate) text: String,
}

fn run<F>(build: &F, arguments: Args) -> Result<ExitCode, Problem>
where
    F: Fn(&Args) -> Result<Topology, BuildError>,
{
    let wrong_data = |text: String| Problem { code: EX_DATAERR, text };
    let mode = Mode::of_environment().map_err(|error| wrong_data(error.to_string()))?;
    let (config, name) = chosen().map_err(|error| wrong_data(error.to_string()))?;
    let mut topology = build(&arguments).map_err(|error| wrong_data(error.to_string()))?;
    for (key, value) in &config {
        topology.config_mut().set(key, value).map_err(|error| wrong_data(error.to_string()))?;
    }
    match mode {
        Mode::Describe => {
            let described = serde_json::json!({ "squall": 1, "topology": topology.describe() });
            say(&described.to_string());
            Ok(ExitCode::SUCCESS)
        }
        Mode::Here => local::run_and_tell(topology, arguments),
        Mode::Worker(launch) => {
            if let Some(name) = name {
                topology.rename(name);
            }
            remote::run(*launch, topology, arguments)
                .map(|()| ExitCode::SUCCESS)
                .map_err(|error| Problem { code: EX_SOFTWARE, text: error.to_string() })
        }
    }
}

/// Writes a line to standard output; a closed one is not worth a panic.
pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Writes a line to standard error.
pub(crate) fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "error: {text}"));
}
