//! The command line: which topology, how, and for how long.
//!
//! The same words are the arguments of the topology, so that each worker knows them.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::problem::{EX_USAGE, Problem};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// A spout of constants and a bolt that drops them
    ConstNull,
    /// The same with a bolt between that passes them on
    ConstIdNull,
    /// Sentences, split into words, counted
    WordCount,
}

/// Where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// In this process
    Local,
    /// On an embedded cluster with two worker processes
    Cluster,
}

/// Whether tuple trees are tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Acks {
    /// At least once
    On,
    /// At most once
    Off,
}

/// Measures one topology and prints one line of JSON.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "bench",
    bin_name = "bench",
    before_help = "Examples:\n  \
    bench const-null\n  \
    bench word-count --mode cluster --acks off --seconds 20\n  \
    bench const-null --rate 20000"
)]
pub(crate) struct Options {
    /// What is measured
    #[arg(value_enum)]
    pub(crate) case: Case,
    /// Where it runs
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) mode: Mode,
    /// Whether tuple trees are tracked
    #[arg(long, value_enum, default_value = "on")]
    pub(crate) acks: Acks,
    /// How long it is measured
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Seconds that pass before
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub(crate) warm_up: u32,
    /// Tuples of the spout a second; latency then counts from when each was due
    /// [default: as many as go]
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) rate: Option<u32>,
    /// Text of the word count [default: the one that the peers count]
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// Show failures as JSON too, and nothing for people but the round trip between cores
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A run.
    Run(Box<Options>),
    /// Only this text.
    Show(String),
}

impl Case {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ConstNull => "const-null",
            Self::ConstIdNull => "const-id-null",
            Self::WordCount => "word-count",
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

impl Acks {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        if self == Self::On { "on" } else { "off" }
    }
}

impl Options {
    /// Reads the words that follow the program's name.
    pub(crate) fn parse_words<I>(words: I) -> Result<Asked, Problem>
    where
        I: IntoIterator<Item = String>,
    {
        let words = std::iter::once("bench".to_owned()).chain(words);
        match Self::try_parse_from(words) {
            Ok(options) => Ok(Asked::Run(Box::new(options))),
            Err(error) if !error.use_stderr() => Ok(Asked::Show(error.render().to_string())),
            Err(error) => {
                let text = error.render().to_string();
                let why = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or("");
                let fix = "`bench --help` shows the cases and flags";
                Err(Problem::new(EX_USAGE, "cannot run this", why, fix))
            }
        }
    }

    /// The same as words, with what the workers need to know.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec![
            self.case.name().to_owned(),
            format!("--acks={}", self.acks.name()),
            format!("--seconds={}", self.seconds),
            format!("--warm-up={}", self.warm_up),
        ];
        words.extend(self.rate.map(|rate| format!("--rate={rate}")));
        words.extend(self.text.iter().map(|text| format!("--text={}", text.display())));
        words
    }

    /// Whether tuple trees are tracked.
    pub(crate) fn tracks(&self) -> bool {
        self.acks == Acks::On
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Asked, Problem> {
        Options::parse_words(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_a_worker_is_told_is_what_was_asked() {
        let line = "word-count --acks off --seconds 7 --warm-up 0 --rate 9 --text /a";
        let Ok(Asked::Run(options)) = asked(line) else { panic!("it is a run") };
        let Ok(Asked::Run(again)) = asked(&options.words().join(" ")) else {
            panic!("it is a run")
        };
        assert_eq!(format!("{options:?}"), format!("{again:?}"));
    }

    #[test]
    fn a_wrong_command_line_is_a_usage_failure_that_names_the_word() {
        for (line, word) in [
            ("", "<CASE>"),
            ("const-nul", "const-nul"),
            ("const-null --seconds 0", "0"),
            ("const-null --rate many", "many"),
            ("const-null --mode moon", "moon"),
            ("const-null --bogus", "--bogus"),
        ] {
            let problem = asked(line).expect_err(line);
            assert_eq!(problem.exit, EX_USAGE, "{line}");
            assert!(format!("{problem:?}").contains(word), "`{line}`: {problem:?}");
        }
    }
}
