//! The `squall` binary: client, daemons, embedded cluster and demo.
//!
//! It is a topology binary too: started with `SQUALL_MODE` it is the word count that
//! `squall demo` submits, and never reads its command line.

mod args;
mod binary;
mod client;
mod codes;
mod commands;
mod config;
mod confirm;
mod daemons;
mod demo;
mod description;
mod embedded;
mod error;
mod names;
mod output;
mod progress;
#[cfg(test)]
mod reference;
mod status;
mod table;
mod yaml;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::args::{Cli, Command, Parsed};
use crate::commands::Globals;
use crate::config::File;
use crate::error::Failure;
use crate::output::Format;

/// Threads of the runtime, however few cores there are.
const THREADS_MIN: usize = 4;

fn main() -> ExitCode {
    if std::env::var_os("SQUALL_MODE").is_some() {
        return worker::main(demo::word_count);
    }
    names::complete();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let wanted = args::wanted_format(&arguments, std::env::var_os("SQUALL_OUTPUT"));
    match args::parse(arguments) {
        Ok(Parsed::Run(cli)) => {
            let format = cli.output.unwrap_or(wanted);
            start(*cli).unwrap_or_else(|failure| failure.report(format))
        }
        Ok(Parsed::Show(text)) => match commands::written(output::print(&text)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(Format::Table),
        },
        Err(failure) => failure.report(wanted),
    }
}

/// Settles the global flags and carries out the verb.
fn start(cli: Cli) -> Result<ExitCode, Failure> {
    let file = File::read(cli.config.as_deref())?;
    let format = match &cli.command {
        Command::Demo(demo) if demo.json => Format::Json,
        _ => cli.output.or(file.client.output).unwrap_or_default(),
    };
    let tls = match &cli.command {
        // It makes the files.
        Command::Certs(_) => None,
        _ => config::tls([cli.tls_cert, cli.tls_key, cli.tls_ca], &file)?,
    };
    let nimbus = config::nimbus_addresses(cli.nimbus, &file)?;
    let globals = Globals { format, nimbus, file, tls };
    // Reading a large report takes one of them some milliseconds; the system sees that others go on.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(THREADS_MIN))
        .enable_all()
        .build()
        .map_err(|error| Failure::internal("cannot start the runtime", error))?;
    let result = runtime.block_on(commands::run(cli.command, &globals));
    // A read of standard input or a name look-up may still sit in a thread; do not wait for it.
    runtime.shutdown_background();
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => Ok(failure.report(format)),
    }
}
