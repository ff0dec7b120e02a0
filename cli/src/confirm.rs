//! Asking before something is gone for good: a topology, dead letters, what an etcd no longer holds.
//!
//! A person at a terminal sees what dies and types its name. A script cannot be asked and may be wrong
//! about where it is: it says `--yes`, or `SQUALL_YES=true` for all it does, or nothing is done.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::codes::Code;
use crate::error::Failure;
use crate::output::{escape, note};

/// The flag of every verb that asks.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Yes {
    /// Do not ask: it is meant. Without a terminal nobody can be asked, and this is needed
    #[arg(long, short, env = "SQUALL_YES", hide_env_values = true,
        value_parser = BoolishValueParser::new())]
    yes: bool,
}

impl Yes {
    /// Says what dies, and asks for the name of it. `what` could not be done if that is not confirmed.
    pub(crate) fn or_ask(self, what: &str, dies: &str, name: &str) -> Result<(), Failure> {
        note(&escape(dies));
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            let why = "nobody confirmed it, and there is no terminal to ask at";
            let fix = "give --yes if it is meant, or set SQUALL_YES=true for a whole script";
            return Err(Failure::new(Code::NotConfirmed, what, why, fix));
        }
        let prompt = format!("type `{}` to go on: ", escape(name));
        drop(write!(io::stderr(), "{prompt}").and_then(|()| io::stderr().flush()));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && answer.trim() == name {
            return Ok(());
        }
        let why = format!("the answer was not `{name}`, so nothing was done");
        Err(Failure::new(Code::NotConfirmed, what, why, format!("type `{name}`, or give --yes")))
    }
}
