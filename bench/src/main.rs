//! `bench`: runs one topology, measures it, and prints one line of JSON.
//!
//! Started with `SQUALL_MODE` it is a worker of that topology. `bench/README.md` says what the
//! figures mean and how to hold them against those of other systems.

mod cluster;
mod components;
mod local;
mod meter;
mod options;
mod outcome;
mod ping_pong;
mod problem;
mod python_random;
mod text;
mod topology;

use std::io::Write;
use std::process::ExitCode;

use crate::options::{Asked, Case, Mode, Options};
use crate::outcome::Figures;
use crate::problem::{EX_NOINPUT, Problem};

fn main() -> ExitCode {
    if std::env::var_os("SQUALL_MODE").is_some() {
        return worker::main(topology::declare);
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let json = words.iter().any(|word| word == "--json");
    match Options::parse_words(words) {
        Ok(Asked::Run(options)) => match measure(*options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => problem.report(json),
        },
        Ok(Asked::Show(text)) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(problem) => problem.report(json),
    }
}

fn measure(mut options: Options) -> Result<(), Problem> {
    if let Some(text) = &mut options.text {
        // Workers have another working folder.
        *text = text.canonicalize().map_err(|error| {
            let what = format!("cannot read {}", text.display());
            Problem::new(EX_NOINPUT, what, error, "name a text file with --text")
        })?;
    }
    if options.case == Case::WordCount {
        // What cannot be counted is said before anything starts.
        drop(text::lines(options.text.as_deref())?);
    }
    tell_machine("before");
    let left = match options.mode {
        Mode::Local => local::run(&options)?,
        Mode::Cluster => cluster::run(&options)?,
    };
    tell_machine("after");
    let figures: Figures = outcome::of(&options, &left)?;
    if !options.json {
        note(&outcome::told(&left));
    }
    let line = serde_json::to_string(&figures)
        .map_err(|error| Problem::failed("the figures cannot be printed", error))?;
    say(&line);
    Ok(())
}

/// Says how fast the machine is at the moment, and how busy.
fn tell_machine(when: &str) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let round_trip = ping_pong::round_trip_ns();
    note(&format!("{when}: core to core and back {round_trip:.0} ns, load average {load}"));
}

/// Writes a line to standard output; a closed one is not worth a panic.
pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Writes a line to standard error.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
