//! A topology binary that misbehaves, as its arguments say, before the first tuple flows.
//!
//! Asked what it is: `--say=TEXT` prints that instead, `--say-nothing` nothing. As a worker:
//! `--exit=CODE` ends the process so, at once or `--after-ms=N` milliseconds after its start, with
//! its last words on standard error. Without any of these it is a sound topology that does nothing
//! but write a line to its log now and then.

use std::io::{self, Write};
use std::process::{ExitCode, Termination};
use std::time::Duration;

use topology_api::NoOutput;
use topology_api::prelude::{
    Args, Bolt, BoltResult, BuildError, Context, Next, Output, Spout, SpoutOutput, SpoutResult,
    Topology, TopologyBuilder, Tuple,
};

/// What the worker says before it ends; whoever is asked why should show it.
const LAST_WORDS: &str = "misbehave: this is how it ends";

/// Nothing but a number.
#[derive(Clone, Debug, Tuple)]
struct Beat {
    number: u64,
}

/// Emits a number each time it is asked, as seldom as it can be.
struct Beats(u64);

impl Spout for Beats {
    type Output = Beat;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Beat, u64>) -> SpoutResult {
        self.0 += 1;
        if self.0.is_multiple_of(64) {
            out.emit(self.0, Beat { number: self.0 });
        }
        Ok(Next::Idle)
    }
}

/// Writes what it gets to the log of its worker.
struct Say(Context);

impl Bolt for Say {
    type Input = Beat;
    type Output = NoOutput;

    fn execute(&mut self, beat: Beat, _: &mut Output<NoOutput>) -> BoltResult {
        let mut log = io::stdout().lock();
        writeln!(log, "task {} of say got {}", self.0.task_index(), beat.number)?;
        Ok(())
    }
}

fn beats(_: &Args) -> Result<Topology, BuildError> {
    let mut t = TopologyBuilder::new("misbehave");
    let beats = t.spout("beats", |_| Beats(0)).stream();
    t.bolt("say", |cx| Say(cx.clone())).parallelism(2).all(&beats);
    t.build()
}

/// The rest of the argument that starts so.
fn value(start: &str) -> Option<String> {
    std::env::args().find_map(|word| word.strip_prefix(start).map(str::to_owned))
}

fn main() -> ExitCode {
    let mode = std::env::var("SQUALL_MODE").unwrap_or_default();
    if mode == "describe" {
        if let Some(text) = value("--say=") {
            return writeln!(io::stdout(), "{text}").report();
        }
        if std::env::args().any(|word| word == "--say-nothing") {
            return ExitCode::SUCCESS;
        }
    }
    if mode == "worker"
        && let Some(code) = value("--exit=").and_then(|code| code.parse::<u8>().ok())
    {
        let after = value("--after-ms=").and_then(|it| it.parse().ok()).unwrap_or(0);
        if after > 0 {
            // The worker works until the time is over; then the process is gone at once.
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(after));
                end(code);
            });
        } else {
            end(code);
        }
    }
    worker::main(beats)
}

#[expect(clippy::exit, reason = "to end without a word to anybody is what it is for")]
fn end(code: u8) {
    drop(writeln!(io::stderr(), "{LAST_WORDS}"));
    std::process::exit(i32::from(code));
}
