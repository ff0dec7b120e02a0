//! The verbs, one a file: its flags, what it asks for, what it shows.

pub(crate) mod activate;
pub(crate) mod certs;
pub(crate) mod deactivate;
pub(crate) mod dead_letters;
pub(crate) mod demo;
pub(crate) mod describe;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod explain_error;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod log_level;
pub(crate) mod logs;
pub(crate) mod new;
pub(crate) mod nimbus;
pub(crate) mod pages;
pub(crate) mod plan;
pub(crate) mod rebalance;
pub(crate) mod recover;
pub(crate) mod submit;
pub(crate) mod supervisor;
pub(crate) mod tap;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod validate;

use std::io::ErrorKind;
use std::time::Duration;

use daemon::listen::Security;
use daemon::tls::Tls;
use proto::nimbus::Done;
use serde_json::json;

use crate::args::Command;
use crate::client::Client;
use crate::codes::Code;
use crate::config::File;
use crate::error::{Exit, Failure};
use crate::output::{self, Format};

/// What every verb has at hand.
#[derive(Debug)]
pub(crate) struct Globals {
    /// How results are written.
    pub(crate) format: Format,
    /// Where nimbuses are.
    pub(crate) nimbus: Vec<String>,
    /// The configuration file.
    pub(crate) file: File,
    /// Our certificate and whom we trust, where TLS is asked for.
    pub(crate) tls: Option<Tls>,
}

impl Globals {
    /// A client of the cluster.
    pub(crate) fn client(&self) -> Client {
        let security = self.tls.clone().map_or(Security::Loopback, Security::Tls);
        Client::new(self.nimbus.clone(), security)
    }

    /// How a daemon listens and dials; `insecure` is the flag of that name.
    pub(crate) fn security(&self, insecure: bool) -> Result<Security, Failure> {
        match (&self.tls, insecure) {
            (Some(_), true) => {
                let why = "one asks for TLS everywhere, the other to do without it";
                let fix = "leave out --insecure (SQUALL_INSECURE, `insecure` in the file), or the \
                           TLS files";
                Err(Failure::new(Code::TlsFiles, "--insecure and TLS exclude each other", why, fix))
            }
            (Some(tls), false) => Ok(Security::Tls(tls.clone())),
            (None, true) => {
                tracing::warn!(
                    "INSECURE: no TLS, so whoever reaches these ports can run programs here"
                );
                Ok(Security::Insecure)
            }
            (None, false) => Ok(Security::Loopback),
        }
    }

    /// Shows a result: a sentence for people, a document for programs.
    pub(crate) fn show(&self, text: &str, document: &serde_json::Value) -> Result<(), Failure> {
        if self.format.is_for_programs() {
            return self.show_value(document.clone());
        }
        written(output::print(text))
    }

    /// Says that a daemon is ready: a remark for people, who see its log too; a document for
    /// programs.
    pub(crate) fn show_ready(
        &self,
        text: &str,
        document: &serde_json::Value,
    ) -> Result<(), Failure> {
        if self.format.is_for_programs() {
            return self.show_value(document.clone());
        }
        output::note(text);
        Ok(())
    }

    /// Shows what a nimbus did.
    pub(crate) fn show_done(&self, done: &Done) -> Result<(), Failure> {
        self.show(&output::escape(&done.text), &json!({ "done": done.text }))
    }

    /// Passes a status document through for programs, with all that this client does not know.
    pub(crate) fn show_document(&self, json: &str) -> Result<(), Failure> {
        let document = serde_json::from_str(json).map_err(|error| {
            let fix = "use a squall of the same version as the cluster";
            Failure::new(Code::OtherVersion, "cannot read what nimbus sent", error, fix)
        })?;
        self.show_value(document)
    }

    /// Shows a document to programs.
    pub(crate) fn show_value(&self, document: serde_json::Value) -> Result<(), Failure> {
        written(output::print_document(self.format, document))
    }
}

/// Explains why a result could not be written.
pub(crate) fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| {
        if error.kind() == ErrorKind::BrokenPipe {
            return Failure::early_end(Exit::Unread);
        }
        let fix = "check where standard output goes (a full disk?)";
        Failure::new(Code::OutputUnwritable, "cannot write the result", error, fix)
    })
}

/// Carries out a verb.
pub(crate) async fn run(command: Command, globals: &Globals) -> Result<(), Failure> {
    match command {
        Command::Demo(demo) => demo::run(demo, globals).await,
        Command::Dev(dev) => dev::run(dev, globals).await,
        Command::Nimbus(nimbus) => nimbus::run(nimbus, globals).await,
        Command::Supervisor(supervisor) => supervisor::run(supervisor, globals).await,
        Command::Submit(submit) => submit::run(submit, globals).await,
        Command::List(list) => list::run(list, globals).await,
        Command::Describe(describe) => describe::run(describe, globals).await,
        Command::Activate(activate) => activate::run(activate, globals).await,
        Command::Deactivate(deactivate) => deactivate::run(deactivate, globals).await,
        Command::Kill(kill) => kill::run(kill, globals).await,
        Command::Rebalance(rebalance) => rebalance::run(rebalance, globals).await,
        Command::Recover(recover) => recover::run(recover, globals).await,
        Command::DeadLetters(letters) => dead_letters::run(letters, globals).await,
        Command::Logs(logs) => logs::run(logs, globals).await,
        Command::Top(top) => top::run(top, globals).await,
        Command::Events(events) => events::run(events, globals).await,
        Command::Errors(errors) => errors::run(errors, globals).await,
        Command::Explain(explain) => explain::run(explain, globals).await,
        Command::Plan(plan) => plan::run(plan, globals).await,
        Command::Validate(validate) => validate::run(validate, globals).await,
        Command::LogLevel(level) => log_level::run(level, globals).await,
        Command::Tap(tap) => tap::run(tap, globals).await,
        Command::Trace(trace) => trace::run(trace, globals).await,
        Command::Certs(certs) => certs::run(certs, globals),
        Command::Doctor(doctor) => doctor::run(doctor, globals).await,
        Command::New(new) => new::run(&new, globals),
        Command::ExplainError(verb) => explain_error::run(verb, globals),
        Command::Completions(shell) => pages::completions(&shell),
        Command::Man(man) => pages::man(man, globals),
    }
}

/// How often a verb that waits looks again.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Names the status document of a topology.
pub(crate) fn topology_path(name: &str) -> String {
    format!("topologies/{name}")
}

/// Refuses what cannot be the name of a topology before anybody is asked.
pub(crate) fn topology_name(name: &str) -> Result<String, String> {
    match topology_api::check_name("topology", name) {
        Ok(()) => Ok(name.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
