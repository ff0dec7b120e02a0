//! The command line: what is measured, how, and for how long.
//!
//! The words of a case are the arguments of its topology too, so that each worker knows them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::compare::Compare;
use crate::draw::Draw;
use crate::plain::Plain;
use crate::problem::{EX_USAGE, Problem};
use crate::recovery::Recovery;
use crate::schedule::Schedule;
use crate::stages::StagesArgs;
use crate::status::Status;
use crate::stream::Stream;

/// Most executors of one component.
const PARALLELISM_MAX: i64 = 1_000;

/// Where a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// In this process
    Local,
    /// On an embedded cluster with two worker processes
    Cluster,
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// The flags of every case.
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    /// Where it runs
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) mode: Mode,
    /// Whether tuple trees are tracked: at least once, or at most once
    #[arg(long, value_enum, default_value = "on")]
    pub(crate) acks: Switch,
    /// How long it is measured
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Seconds that pass before
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub(crate) warm_up: u32,
    /// Tuples of the spouts a second; latency then counts from when each was due
    /// [default: as many as go]
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) rate: Option<u32>,
    /// Executors of each component, but for the sinks of fan-out and skew
    /// [default: 1; 4 for mesh]
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=PARALLELISM_MAX))]
    pub(crate) parallelism: Option<u32>,
    /// Sets a key of the topology's configuration; may be repeated
    #[arg(short = 'c', long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// Show failures as JSON too, and nothing for people but the round trip between cores
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Case {
    /// A spout of constants and a bolt that drops them
    ConstNull(Run),
    /// The same with a bolt between that passes them on
    ConstIdNull(Run),
    /// Sentences, split into words, counted
    WordCount {
        #[command(flatten)]
        run: Run,
        /// Text to count [default: the one that the peers count]
        #[arg(long, value_name = "FILE")]
        text: Option<PathBuf>,
    },
    /// Constants, each to all of eight bolts
    FanOut(Run),
    /// Keys of which few are very frequent, counted by four bolts (fields grouping)
    Skew(Run),
    /// Tuples with many bytes in them
    Payload {
        #[command(flatten)]
        run: Run,
        /// Bytes of a tuple
        #[arg(long, value_name = "N", default_value_t = 100,
            value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
        bytes: u32,
    },
    /// Four spouts and four bolts, each sending to each (fields grouping)
    Mesh(Run),
}

/// What can be asked for.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Case(Case),
    /// The work of a case in a bare loop
    Plain(Plain),
    /// The tuples of a case over a bare gRPC or TCP stream
    Stream(Stream),
    /// What a tuple costs at each stage of its way through a worker
    Stages(StagesArgs),
    /// Two or more commands in turn: medians, spread and ratio
    Compare(Compare),
    /// Decisions of the nimbus about a large cluster
    Schedule(Schedule),
    /// How long a cluster of real processes takes to get over the loss of one
    Recovery(Recovery),
    /// What it costs nimbus to know and show a large cluster
    Status(Status),
    /// Results as pictures and tables in the documentation
    Draw(Draw),
}

/// Measures what a tuple costs, and prints one line of JSON.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "bench",
    bin_name = "bench",
    disable_help_subcommand = true,
    before_help = "Examples:\n  \
    bench const-null\n  \
    bench word-count --mode cluster --acks off --seconds 20\n  \
    bench const-null --rate 20000\n  \
    bench word-count -c worker.cores=1"
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Something to do.
    Do(Box<Command>),
    /// Only this text.
    Show(String),
}

/// Reads `KEY=VALUE`; whether there is such a key, the topology says.
fn setting(word: &str) -> Result<(String, String), String> {
    let (key, value) = word.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads the words that follow the program's name.
pub(crate) fn parse_words<I>(words: I) -> Result<Asked, Problem>
where
    I: IntoIterator<Item = String>,
{
    let words = std::iter::once("bench".to_owned()).chain(words);
    match CommandLine::try_parse_from(words) {
        Ok(line) => Ok(Asked::Do(Box::new(line.command))),
        Err(error) => {
            let text = error.render().to_string();
            // Without a command clap shows the help, which is a mistake here.
            if !error.use_stderr() {
                return Ok(Asked::Show(text));
            }
            let missing =
                error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            let why = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or("");
            let why = if missing { "no <COMMAND> is given" } else { why };
            let fix = "`bench --help` shows the commands and cases, `bench CASE --help` its flags";
            Err(Problem::new(EX_USAGE, "cannot run this", why, fix))
        }
    }
}

impl Mode {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Cluster => "cluster",
        }
    }
}

impl Switch {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

impl Command {
    /// The case, if it is one.
    pub(crate) fn case(self) -> Option<Case> {
        if let Self::Case(case) = self { Some(case) } else { None }
    }
}

impl Run {
    /// Whether tuple trees are tracked.
    pub(crate) fn tracks(&self) -> bool {
        self.acks == Switch::On
    }
}

impl Case {
    /// Its name on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::ConstNull(_) => "const-null",
            Self::ConstIdNull(_) => "const-id-null",
            Self::WordCount { .. } => "word-count",
            Self::FanOut(_) => "fan-out",
            Self::Skew(_) => "skew",
            Self::Payload { .. } => "payload",
            Self::Mesh(_) => "mesh",
        }
    }

    /// How it is run.
    pub(crate) fn run(&self) -> &Run {
        match self {
            Self::ConstNull(run) | Self::ConstIdNull(run) => run,
            Self::FanOut(run) | Self::Skew(run) | Self::Mesh(run) => run,
            Self::WordCount { run, .. } | Self::Payload { run, .. } => run,
        }
    }

    /// Executors of a component.
    pub(crate) fn parallelism(&self) -> u32 {
        let default = if matches!(self, Self::Mesh(_)) { 4 } else { 1 };
        self.run().parallelism.unwrap_or(default)
    }

    /// The same as words, with what the workers need to know.
    pub(crate) fn words(&self) -> Vec<String> {
        let run = self.run();
        let mut words = vec![
            self.name().to_owned(),
            format!("--acks={}", run.acks.name()),
            format!("--seconds={}", run.seconds),
            format!("--warm-up={}", run.warm_up),
            format!("--parallelism={}", self.parallelism()),
        ];
        words.extend(run.rate.map(|rate| format!("--rate={rate}")));
        words.extend(run.set.iter().map(|(key, value)| format!("--set={key}={value}")));
        match self {
            Self::WordCount { text, .. } => {
                words.extend(text.iter().map(|text| format!("--text={}", text.display())));
            }
            Self::Payload { bytes, .. } => words.push(format!("--bytes={bytes}")),
            _ => {}
        }
        words
    }
}

/// Reads a command line that is a case.
pub(crate) fn case_of_words(line: &str) -> Result<Case, Problem> {
    let no_case = || Problem::failed("cannot measure", format!("`{line}` is no case"));
    match parse_words(line.split_whitespace().map(str::to_owned))? {
        Asked::Do(command) => command.case().ok_or_else(no_case),
        Asked::Show(_) => Err(no_case()),
    }
}

/// The same in tests.
#[cfg(test)]
pub(crate) fn case_of(line: &str) -> Case {
    case_of_words(line).expect(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Asked, Problem> {
        parse_words(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_a_worker_is_told_is_what_was_asked() {
        for line in [
            "word-count --acks off --seconds 7 --warm-up 0 --rate 9 --parallelism 1 --text /a",
            "payload --bytes 10240 --parallelism 2 -c worker.cores=1 -c fusion=false",
        ] {
            let told = case_of(line);
            let again = case_of(&told.words().join(" "));
            assert_eq!(format!("{told:?}"), format!("{again:?}"));
        }
    }

    #[test]
    fn a_wrong_command_line_is_a_usage_failure_that_names_the_word() {
        for (line, word) in [
            ("", "<COMMAND>"),
            ("const-nul", "const-nul"),
            ("const-null --seconds 0", "0"),
            ("const-null --rate many", "many"),
            ("const-null --mode moon", "moon"),
            ("const-null --bogus", "--bogus"),
            ("const-null --bytes 100", "--bytes"),
            ("const-null -c fusion", "KEY=VALUE"),
        ] {
            let problem = asked(line).expect_err(line);
            assert_eq!(problem.exit, EX_USAGE, "{line}");
            assert!(format!("{problem:?}").contains(word), "`{line}`: {problem:?}");
        }
    }
}
