//! The command line: global flags and verbs. Each verb's own flags stand in its file.
//!
//! clap finds mistakes; they end as [`Failure`]s with exit code 64, so that `-o json` holds for
//! them too. Every help text leads with examples.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::codes::Code;
use crate::commands::{
    activate, certs, deactivate, dead_letters, demo, describe, dev, doctor, errors, events,
    explain, explain_error, kill, list, log_level, logs, new, nimbus, pages, plan, rebalance,
    recover, submit, supervisor, tap, top, trace, validate,
};
use crate::error::{Exit, Failure};
use crate::output::Format;

/// Order of a help text: what it is, examples, usage, flags.
const HELP: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// Heading of the flags that every verb has.
const GLOBAL: &str = "Everywhere";

/// Squall: distributed realtime computation. Spouts read endless streams, bolts transform them,
/// a topology of both runs until it is killed.
#[derive(Debug, Parser)]
#[command(
    name = "squall",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    before_help = "Examples:\n  \
        squall demo                                see a topology run, nothing else needed\n  \
        squall new my-topology                     a project of your own\n  \
        squall dev ./my-topology input.txt         run yours on a cluster in this process\n  \
        squall submit ./my-topology --workers 4    run it on a real cluster\n  \
        squall list                                what runs there"
)]
pub(crate) struct Cli {
    /// Where nimbus is; several separated by commas [default: 127.0.0.1:6627]
    #[arg(long, global = true, value_name = "ADDR", env = "SQUALL_NIMBUS", value_delimiter = ',',
        help_heading = GLOBAL, hide_env_values = true)]
    pub(crate) nimbus: Option<Vec<String>>,
    /// Results as `table` or `wide` for people, `json` or `yaml` for programs [default: table]
    #[arg(short, long, global = true, value_name = "FORMAT", env = "SQUALL_OUTPUT",
        help_heading = GLOBAL, hide_env_values = true, hide_possible_values = true)]
    pub(crate) output: Option<Format>,
    /// Configuration file (TOML); flags and environment win over it
    #[arg(long, global = true, value_name = "FILE", env = "SQUALL_CONFIG_FILE",
        help_heading = GLOBAL, hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Shown to others to say who we are: a certificate (PEM); needs the two below
    #[arg(long, global = true, value_name = "FILE", env = "SQUALL_TLS_CERT",
        help_heading = GLOBAL, hide_env_values = true)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "SQUALL_TLS_KEY",
        help_heading = GLOBAL, hide_env_values = true)]
    pub(crate) tls_key: Option<PathBuf>,
    /// Certificates of the authorities that others must have theirs from (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "SQUALL_TLS_CA",
        help_heading = GLOBAL, hide_env_values = true)]
    pub(crate) tls_ca: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a word count run on a cluster inside this process
    Demo(demo::Demo),
    /// Run a cluster inside this process, for development
    Dev(dev::Dev),
    /// Make a project with a topology of your own
    New(new::New),
    /// Run a nimbus: it decides which tasks run where
    Nimbus(nimbus::Nimbus),
    /// Run a supervisor: it keeps the workers of this machine running
    Supervisor(supervisor::Supervisor),
    /// Give a topology to the cluster to run
    Submit(submit::Submit),
    /// List the topologies of the cluster
    List(list::List),
    /// Show a topology, or the cluster itself, in detail
    Describe(describe::Describe),
    /// Let the spouts of a topology emit again
    Activate(activate::Activate),
    /// Stop the spouts of a topology; what is under way finishes
    Deactivate(deactivate::Deactivate),
    /// End a topology: its spouts stop, what is under way finishes, nothing stays
    Kill(kill::Kill),
    /// Spread a topology anew, or change its workers or parallelism
    Rebalance(rebalance::Rebalance),
    /// Show what the workers of a topology wrote
    Logs(logs::Logs),
    /// Show live what the components do: rates, latencies, queues, where time goes
    Top(top::Top),
    /// Show what happened to a topology, or to the cluster
    Events(events::Events),
    /// Show the newest errors of a topology
    Errors(errors::Errors),
    /// Say what is wrong with a topology, what limits it, and why its tasks are where they are
    Explain(explain::Explain),
    /// Show what a submit or a rebalance would change, without doing it
    Plan(plan::Plan),
    /// Check a topology's program, without a cluster
    Validate(validate::Validate),
    /// Show live tuples of a topology
    Tap(tap::Tap),
    /// Show where the time of tuple trees goes, and where they fail
    Trace(trace::TraceTrees),
    /// Have the workers of a topology log more or less, for a while
    LogLevel(log_level::LogLevel),
    /// Show, replay or drop what failed too often
    DeadLetters(dead_letters::DeadLetters),
    /// Accept an etcd that was wiped or restored from a backup
    Recover(recover::Recover),
    /// Make the certificates of a cluster with TLS
    Certs(certs::Certs),
    /// Look for what usually is wrong, on this machine and in the cluster
    Doctor(doctor::Doctor),
    /// Explain the code of an error
    ExplainError(explain_error::ExplainError),
    /// Write the completions of a shell
    Completions(pages::Completions),
    /// Write manual pages
    Man(pages::Man),
}

/// What became of the command line.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A command to carry out.
    Run(Box<Cli>),
    /// Help or the version, to be shown on standard output.
    Show(String),
}

/// Reads the command line.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Parsed, Failure> {
    let parsed = command()
        .try_get_matches_from(arguments)
        .and_then(|mut it| Cli::from_arg_matches_mut(&mut it));
    match parsed {
        Ok(cli) => Ok(Parsed::Run(Box::new(cli))),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Parsed::Show(error.render().to_string().trim_end().to_owned()))
            }
            _ => Err(usage(&error)),
        },
    }
}

/// clap's definition, with our order of help in every verb.
pub(crate) fn command() -> clap::Command {
    let in_order = |verb: clap::Command| verb.help_template(HELP);
    let command = in_order(Cli::command()).after_help(Exit::help());
    command.mut_subcommands(|verb| in_order(verb).mut_subcommands(in_order))
}

/// Splits clap's text ("error: ...", tips, usage, "For more information ...") into our three parts.
fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let fix = "`squall demo` shows a topology run; `squall --help` lists the commands";
        return Failure::new(Code::CommandMissing, "no command was given", "one is needed", fix);
    }
    let mut why = Vec::new();
    let mut fix = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(tip) = line.strip_prefix("tip:") {
            fix.push(tip.trim().to_owned());
        } else if let Some(usage) = line.strip_prefix("Usage:") {
            fix.push(format!("usage: {}", usage.trim()));
        } else if !line.starts_with("For more information") {
            why.push(line.strip_prefix("error:").unwrap_or(line).trim().to_owned());
        }
    }
    fix.push("`squall --help` and `squall VERB --help` show examples".into());
    Failure::new(Exit::Usage, "cannot read the command line", why.join("\n"), fix.join("\n"))
}

/// Finds out the wanted form from a command line that clap refused.
pub(crate) fn wanted_format(arguments: &[OsString], environment: Option<OsString>) -> Format {
    let known = |word: &str| Format::from_str(word, false).ok();
    let environment = environment.and_then(|it| known(&it.to_string_lossy()));
    let mut format = environment.unwrap_or_default();
    let words = arguments.iter().map(|it| it.to_string_lossy()).take_while(|it| it != "--");
    let mut previous = String::new();
    for word in words {
        match word.as_ref() {
            // The one verb with its own name for it.
            "--json" if arguments.get(1).is_some_and(|verb| verb == "demo") => {
                format = Format::Json;
            }
            word => {
                let glued = ["--output=", "-o=", "-o"].iter().find_map(|it| word.strip_prefix(it));
                let after = (previous == "-o" || previous == "--output").then_some(word);
                format = after.or(glued).and_then(known).unwrap_or(format);
            }
        }
        previous = word.into_owned();
    }
    format
}

/// Reads `key=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".into()),
    }
}

/// Reads `component=number`.
pub(crate) fn component_count(text: &str) -> Result<(String, u32), String> {
    let (component, count) = pair(text).map_err(|_| "write it as COMPONENT=NUMBER")?;
    match count.parse() {
        Ok(count) if count > 0 => Ok((component, count)),
        _ => Err(format!("`{count}` is not a number of executors (1 or more)")),
    }
}

/// Reads an address to listen on.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let fix = "write it as IP:PORT, for example 127.0.0.1:6627 (port 0 takes any that is free)";
    text.parse().map_err(|_| fix.to_owned())
}

/// Reads a duration as people write it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    topology_api::parse_duration(text).map_err(|error| error.to_string())
}

/// Reads a size as people write it.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    topology_api::parse_size(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn run(line: &str) -> Cli {
        match parse(words(line)) {
            Ok(Parsed::Run(cli)) => *cli,
            other => panic!("`{line}` should be a command, but is {other:?}"),
        }
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_leads_its_help_with_examples() {
        let mut names = Vec::new();
        for verb in command().get_subcommands() {
            names.push(verb.get_name().to_owned());
            let below = verb.get_subcommands().map(|it| (it.get_name(), verb.get_name()));
            // Its letters are of a topology.
            names.extend(below.map(|(below, verb)| match verb {
                "dead-letters" => format!("{verb} it {below}"),
                _ => format!("{verb} {below}"),
            }));
        }
        for verb in names.iter().filter(|name| *name != "help") {
            let Ok(Parsed::Show(help)) = parse(words(&format!("squall {verb} --help"))) else {
                panic!("`{verb} --help` shows no help");
            };
            let examples = help.find("Examples:").unwrap_or(usize::MAX);
            assert!(
                help.find("Usage:").is_some_and(|usage| examples < usage),
                "`{verb} --help` does not lead with examples:\n{help}"
            );
        }
    }

    #[test]
    fn arguments_after_the_dashes_belong_to_the_topology() {
        let cli = run("squall submit ./wc --workers 2 -c a=b -c x=y=z -- --fast in.txt");
        let Command::Submit(submit) = cli.command else { panic!("not a submit") };
        assert_eq!(submit.arguments, ["--fast", "in.txt"]);
        assert_eq!(submit.settings, [("a".into(), "b".into()), ("x".into(), "y=z".into())]);
    }

    #[test]
    fn what_follows_the_binary_of_dev_belongs_to_it() {
        let cli = run("squall dev --slots 2 ./wc --workers 7 in.txt");
        let Command::Dev(dev) = cli.command else { panic!("not a dev") };
        assert_eq!(dev.slots, Some(2));
        assert_eq!(dev.command, ["./wc", "--workers", "7", "in.txt"]);
    }

    #[test]
    fn global_flags_stand_before_or_after_the_verb() {
        for line in ["squall --nimbus a:1,b:2 -o json list", "squall list -o json --nimbus a:1,b:2"]
        {
            let cli = run(line);
            assert_eq!(cli.nimbus, Some(vec!["a:1".into(), "b:2".into()]), "{line}");
            assert_eq!(cli.output, Some(Format::Json), "{line}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_a_usage_failure_with_a_way_out() {
        for (line, word) in [
            ("squall", "no command"),
            ("squall sumbit x", "sumbit"),
            ("squall list --bogus", "--bogus"),
            ("squall rebalance x -e split=0", "split=0"),
            ("squall rebalance x -e split", "COMPONENT=NUMBER"),
            ("squall kill x --drain soon", "soon"),
            ("squall submit", "<BINARY>"),
        ] {
            let failure = parse(words(line)).expect_err(line);
            assert_eq!(failure.exit, Exit::Usage, "{line}");
            let text = format!("{} {}", failure.what, failure.why);
            assert!(text.contains(word), "`{line}`: {text}");
            assert!(failure.fix.contains("squall"), "`{line}`: {}", failure.fix);
        }
    }

    #[test]
    fn the_wanted_form_is_known_even_when_the_command_line_is_wrong() {
        for (line, environment, format) in [
            ("squall list --bogus -o json", None, Format::Json),
            ("squall --output=json nonsense", None, Format::Json),
            ("squall demo --json --bogus", None, Format::Json),
            ("squall list --bogus", Some("json"), Format::Json),
            ("squall list --bogus -oyaml", Some("json"), Format::Yaml),
            ("squall list --bogus", None, Format::Table),
            ("squall submit x --bogus -- -o json", None, Format::Table),
        ] {
            let found = wanted_format(&words(line), environment.map(OsString::from));
            assert_eq!(found, format, "{line}");
        }
    }
}
