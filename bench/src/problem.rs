//! What went wrong, for people and for scripts: what, why, what to do, and a code of `sysexits.h`.

use std::fmt::Display;
use std::process::ExitCode;

use serde_json::json;

use crate::{note, say};

/// The command line is wrong.
pub(crate) const EX_USAGE: u8 = 64;

/// What is in the text file is wrong.
pub(crate) const EX_DATAERR: u8 = 65;

/// The text file cannot be read.
pub(crate) const EX_NOINPUT: u8 = 66;

/// The run failed, or its sums do not add up: a bug.
pub(crate) const EX_SOFTWARE: u8 = 70;

/// The machine refused something.
pub(crate) const EX_OSERR: u8 = 71;

/// Interrupted from the keyboard.
pub(crate) const INTERRUPTED: u8 = 130;

/// A failure as a person needs to read it.
#[derive(Debug)]
pub(crate) struct Problem {
    /// What the process exits with.
    pub(crate) exit: u8,
    /// What could not be done.
    pub(crate) what: String,
    pub(crate) why: String,
    fix: String,
}

impl Problem {
    /// Makes one.
    pub(crate) fn new(
        exit: u8,
        what: impl Into<String>,
        why: impl Display,
        fix: impl Into<String>,
    ) -> Self {
        Self { exit, what: what.into(), why: why.to_string(), fix: fix.into() }
    }

    /// A run that failed for a reason that no flag changes.
    pub(crate) fn failed(what: impl Into<String>, why: impl Display) -> Self {
        Self::new(EX_SOFTWARE, what, why, "run it again; if it stays, report it")
    }

    /// Shows it: as JSON on standard output, or as text on standard error.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if self.exit != INTERRUPTED {
            let Self { what, why, fix, .. } = self;
            if json {
                say(&json!({ "error": { "what": what, "why": why, "fix": fix } }).to_string());
            } else {
                note(&format!("bench: {what}\n  why: {why}\n  fix: {fix}"));
            }
        }
        ExitCode::from(self.exit)
    }
}
