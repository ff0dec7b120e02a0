//! Asking before something is gone for good.
//!
//! A person at a terminal sees what dies and types its name. A script cannot be asked: it is taken at
//! its word, and what dies is said on standard error.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::codes::Code;
use crate::error::Failure;
use crate::output::{escape, note};

/// Says what dies, and asks for the name of it where somebody can answer.
pub(crate) fn confirm(what: &str, dies: &str, name: &str, yes: bool) -> Result<(), Failure> {
    note(&escape(dies));
    if yes || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    drop(write!(io::stderr(), "type its name to go on: ").and_then(|()| io::stderr().flush()));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && answer.trim() == name {
        return Ok(());
    }
    let why = "that was not its name, so nothing was done";
    Err(Failure::new(Code::NotConfirmed, what, why, "type the name, or give --yes"))
}
