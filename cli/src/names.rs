//! Completions of the command line, asked for by a shell: verbs and flags from the definition, names of
//! topologies and of their components from the cluster.
//!
//! The scripts of `squall completions` call `squall` back with `SQUALL_COMPLETE` set. A person waits for the
//! answer, so a cluster that does not answer soon has no names, and nothing is ever said but names.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, Command};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use daemon::listen::Security;
use serde_json::Value;

use crate::args::command;
use crate::client::Client;
use crate::commands::topology_path;
use crate::config::{self, File};

/// How a script says that it asks for completions, and for which shell.
const VARIABLE: &str = "SQUALL_COMPLETE";

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_millis(700);

/// Answers a script that asks for completions, and ends then; otherwise nothing happens.
pub(crate) fn complete() {
    CompleteEnv::with_factory(|| with_names(command())).var(VARIABLE).complete();
}

/// The shells that there are scripts for.
pub(crate) fn shells() -> Vec<&'static str> {
    Shells::builtins().names().collect()
}

/// The script of a shell.
pub(crate) fn script(shell: &str) -> io::Result<String> {
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(shell) else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such shell"));
    };
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "squall", "squall", "squall", &mut script)?;
    Ok(String::from_utf8_lossy(&script).trim().to_owned())
}

/// The definition, with where the values of arguments come from.
fn with_names(command: Command) -> Command {
    let is_new = command.get_name() == "new";
    let command = command.mut_subcommands(with_names);
    command.mut_args(|argument| match argument.get_id().as_str() {
        "name" if argument.is_positional() && !is_new => {
            argument.add(ArgValueCandidates::new(|| candidates(topologies())))
        }
        "component" => argument.add(ArgValueCandidates::new(|| candidates(components("")))),
        "executors" => argument.add(ArgValueCandidates::new(|| candidates(components("=")))),
        _ => argument,
    })
}

fn candidates(names: Option<Vec<String>>) -> Vec<CompletionCandidate> {
    names.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

/// The names of the topologies of the cluster.
fn topologies() -> Option<Vec<String>> {
    Some(names(&ask(&typed()?, "topologies")?, ""))
}

/// The names of the components of the topology that was typed, each with something behind it.
fn components(suffix: &str) -> Option<Vec<String>> {
    let typed = typed()?;
    let mut verb = &typed;
    let topology = loop {
        if let Ok(Some(name)) = verb.try_get_one::<String>("name") {
            break name.clone();
        }
        verb = verb.subcommand()?.1;
    };
    Some(names(&ask(&typed, &topology_path(&topology))?["components"], suffix))
}

fn names(list: &Value, suffix: &str) -> Vec<String> {
    let names = list.as_array().into_iter().flatten().filter_map(|it| it["name"].as_str());
    names.map(|name| format!("{name}{suffix}")).collect()
}

/// What was typed so far, as far as it can be read. A script gives it behind two dashes.
fn typed() -> Option<ArgMatches> {
    let words: Vec<OsString> =
        std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    command().ignore_errors(true).try_get_matches_from(words).ok()
}

/// Asks the cluster that was meant for a status document.
fn ask(typed: &ArgMatches, path: &str) -> Option<Value> {
    let file = |name: &str| typed.get_one::<PathBuf>(name).cloned();
    let nimbus = typed.get_many::<String>("nimbus").map(|all| all.cloned().collect());
    let settings = File::read(file("config").as_deref()).ok()?;
    let tls = config::tls(["tls_cert", "tls_key", "tls_ca"].map(file), &settings).ok()?;
    let addresses = config::nimbus_addresses(nimbus, &settings).ok()?;
    let mut client = Client::new(addresses, tls.map_or(Security::Loopback, Security::Tls)).quiet();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let text = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, client.status_text("cannot ask", path)).await.ok()?.ok()
    });
    // A look-up of a name may still sit in a thread; nobody waits for it.
    runtime.shutdown_background();
    serde_json::from_str(&text?).ok()
}
