//! `bench`: measures topologies and what they are made of, and prints one line of JSON.
//!
//! Started with `SQUALL_MODE` it is a worker of the topology of a case. `bench/README.md` says what
//! the figures mean and how to hold them against those of other systems.

mod bolts;
mod cases;
mod cluster;
mod compare;
mod draw;
mod figures;
mod latencies;
mod left;
mod local;
mod meter;
mod options;
mod outcome;
mod ping_pong;
mod plain;
mod problem;
mod python_random;
mod recovery;
mod run;
mod schedule;
mod source;
mod stages;
mod status;
mod stream;
mod tally;
mod text;
mod world;

use std::io::Write;
use std::process::ExitCode;

use crate::options::{Asked, Command};
use crate::problem::Problem;

fn main() -> ExitCode {
    if std::env::var_os("SQUALL_MODE").is_some() {
        return worker::main(cases::declare);
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let json = words.iter().any(|word| word == "--json");
    let done = match options::parse_words(words) {
        Ok(Asked::Do(command)) => carry_out(*command),
        Ok(Asked::Show(text)) => {
            say(text.trim_end());
            Ok(())
        }
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => problem.report(json),
    }
}

fn carry_out(command: Command) -> Result<(), Problem> {
    match command {
        Command::Case(case) => run::measure(case),
        Command::Plain(plain) => plain::measure(&plain),
        Command::Compare(compare) => compare::run(&compare),
        Command::Stages(stages) => stages::measure(&stages),
        Command::Draw(draw) => draw::run(&draw),
        Command::Stream(stream) => stream::measure(&stream),
        Command::Schedule(schedule) => schedule::measure(&schedule),
        Command::Recovery(recovery) => recovery::measure(&recovery),
        Command::Status(status) => status::measure(&status),
    }
}

/// Writes a line to standard output; a closed one is not worth a panic.
pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Writes a line to standard error.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
