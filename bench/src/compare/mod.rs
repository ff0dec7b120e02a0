//! Runs commands in turn, A B A B ..., and holds their figures against each other. One command
//! alone is run as often, for its median and spread.
//!
//! One after the other, because a machine is not the same ten minutes later. A virtual machine may
//! even put its cores far apart from one second to the next, which makes all that crosses threads
//! some times slower: so the round trip between cores is measured around every command, and a
//! round in which it was long is left out.

mod summary;

use std::process::{Command, Stdio};

use clap::Args;
use serde_json::{Map, Value};

pub(crate) use self::summary::{Figure, Summary};

use self::summary::{Round, Rules, summarize};
use crate::figures::rounded;
use crate::problem::{EX_USAGE, Problem};
use crate::run::tell_machine;
use crate::{note, say};

/// Stands between two commands.
const VERSUS: &str = "--vs";

/// This very program, as a command.
const OURSELVES: &str = "bench";

/// The flags of `compare`.
#[derive(Clone, Debug, Args)]
#[command(before_help = "Examples:\n  \
    bench compare -- bench const-null --vs bench const-null --acks off\n  \
    bench compare --rounds 3 -- bench word-count --vs bench plain word-count\n  \
    bench compare -- 'bench const-null' --vs 'CASES=const_null MODES=ack storm/run.sh local'")]
pub(crate) struct Compare {
    /// How often each command is run
    #[arg(long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Figures to hold against each other [default: all known ones]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    fields: Vec<String>,
    /// A round in which the round trip between cores takes longer is left out
    #[arg(long, value_name = "N", default_value_t = 120.0)]
    far_ns: f64,
    /// Name of the comparison in the line that is printed
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    /// Only the line of JSON, no table; failures as JSON too
    #[arg(long)]
    json: bool,
    /// Commands, each of which prints one line of JSON, with `--vs` between them; one in quotes
    /// goes through a shell, and `bench` is this program
    #[arg(last = true, required = true, value_name = "COMMAND")]
    words: Vec<String>,
}

/// Runs the commands and prints what they came to.
pub(crate) fn run(compare: &Compare) -> Result<(), Problem> {
    let commands: Vec<&[String]> = compare.words.split(|word| word == VERSUS).collect();
    if commands.iter().any(|command| command.is_empty()) {
        let why = format!("there is no command before or after a `{VERSUS}`");
        let fix = format!("bench compare -- A {VERSUS} B, where A and B are commands");
        return Err(Problem::new(EX_USAGE, "cannot compare", why, fix));
    }
    let mut rounds = Vec::new();
    for number in 1..=compare.rounds {
        note(&format!("round {number} of {}", compare.rounds));
        let mut round = Round { round_trips_ns: vec![tell_machine("before")], lines: Vec::new() };
        for command in &commands {
            note(&format!("  {}", command.join(" ")));
            round.lines.push(line_of(command)?);
            round.round_trips_ns.push(rounded(tell_machine("after")));
        }
        rounds.push(round);
    }
    let rules = Rules { fields: &compare.fields, far_ns: compare.far_ns };
    let commands: Vec<String> = commands.iter().map(|command| command.join(" ")).collect();
    let mut summary = summarize(&commands, &rounds, &rules)?;
    summary.name.clone_from(&compare.name);
    if !compare.json {
        note(&summary.table());
    }
    let line = serde_json::to_string(&summary)
        .map_err(|error| Problem::failed("the figures cannot be printed", error))?;
    say(&line);
    Ok(())
}

/// Runs a command and reads the last line of JSON that it prints.
fn line_of(words: &[String]) -> Result<Map<String, Value>, Problem> {
    let text = words.join(" ");
    let what = format!("cannot compare `{text}`");
    let mut command = match words {
        [line] if line.contains(' ') => {
            let mut shell = Command::new("sh");
            shell.args(["-c", line]);
            shell
        }
        [program, words @ ..] => {
            let program = if program == OURSELVES {
                std::env::current_exe().map_err(|error| Problem::failed(&what, error))?
            } else {
                program.into()
            };
            let mut command = Command::new(program);
            command.args(words);
            command
        }
        [] => return Err(Problem::failed(what, "it is empty")),
    };
    let fix = "run it by itself; it has to end with success and print a line of JSON";
    let failed = |why: String| Problem::new(EX_USAGE, &what, why, fix);
    // What it says on standard error is for who waits.
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(failed(format!("{}: {}", output.status, said.trim())));
    }
    let mut lines = said.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
    lines.next().ok_or_else(|| failed(format!("no line of JSON in: {}", said.trim())))
}
