//! Why a command failed: what, why, how to fix it, and the exit code that says the kind.
//!
//! Every failure that reaches a user is a [`Failure`]. People read it on standard error; programs
//! (`-o json`) read it as one JSON object on standard output. Exit codes are those of `sysexits.h`.

use std::fmt::Display;
use std::process::ExitCode;

use serde_json::json;

use crate::codes::Code;
use crate::output::{self, Format};

/// The kinds of failure a script can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Nobody reads what we write (`squall logs | head`): that is no failure.
    Unread = 0,
    /// The command line is wrong.
    Usage = 64,
    /// What was given to work on is wrong: a binary, a specification, arguments of a topology.
    Data = 65,
    /// What was named does not exist or cannot be read: a file, a topology.
    NoInput = 66,
    /// Somebody we need does not answer: nimbus, etcd; or an address cannot be listened on.
    Unavailable = 69,
    /// A bug of ours.
    Internal = 70,
    /// Something to be made cannot be made: a folder, a topology whose name is taken.
    CannotCreate = 73,
    /// It may work later.
    Temporary = 75,
    /// The configuration is wrong: the file, an environment variable.
    Config = 78,
    /// Interrupted from the keyboard.
    Interrupted = 130,
    /// Asked to end by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// Every code with its meaning, as `docs/exit-codes.md` has it.
    const MEANINGS: [(Self, &str); 11] = [
        (Self::Unread, "done; or nobody read the output any more"),
        (Self::Usage, "the command line is wrong"),
        (Self::Data, "what was given to work on is wrong: a binary, its topology, its arguments"),
        (Self::NoInput, "what was named is not there or cannot be read: a file, a topology"),
        (Self::Unavailable, "nimbus or etcd does not answer, or a port is taken"),
        (Self::Internal, "a bug in squall"),
        (
            Self::CannotCreate,
            "what is to be made cannot be made: a name or a data folder is taken, a disk is full",
        ),
        (
            Self::Temporary,
            "not now: an election, a topology that waits for a slot or is being rebalanced",
        ),
        (Self::Config, "the configuration is wrong: the file, the environment, an address"),
        (Self::Interrupted, "interrupted from the keyboard before it was done"),
        (Self::Terminated, "asked to end (SIGTERM) before it was done"),
    ];

    /// Lists all codes, for the help text.
    pub(crate) fn help() -> String {
        let line = |(exit, meaning): &(Self, &str)| format!("  {:>3}  {meaning}", *exit as u8);
        let lines: Vec<String> = Self::MEANINGS.iter().map(line).collect();
        format!("Exit codes:\n{}", lines.join("\n"))
    }
}

/// A failure as a person needs to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The kind, for scripts.
    pub(crate) exit: Exit,
    /// Which error it is: `squall explain-error` knows more.
    pub(crate) code: Code,
    /// What could not be done.
    pub(crate) what: String,
    /// Why not.
    pub(crate) why: String,
    /// What to do about it.
    pub(crate) fix: String,
}

impl Failure {
    /// Makes a failure whose `what` reads after "squall:".
    pub(crate) fn new(
        code: impl Into<Code>,
        what: impl Into<String>,
        why: impl Display,
        fix: impl Into<String>,
    ) -> Self {
        let code = code.into();
        Self { exit: code.exit(), code, what: what.into(), why: why.to_string(), fix: fix.into() }
    }

    /// A state that only a bug of ours explains.
    pub(crate) fn internal(what: impl Into<String>, why: impl Display) -> Self {
        Self::new(Exit::Internal, what, why, "this is a bug in squall: please report it")
    }

    /// An early end that needs no explanation: by a signal, or because nobody reads on.
    pub(crate) fn early_end(exit: Exit) -> Self {
        Self { exit, ..Self::new(exit, "ended early", "asked to", "") }
    }

    /// The same, of which everything was said already.
    pub(crate) fn told(self) -> Self {
        Self { code: Code::Ended, ..self }
    }

    /// Shows the failure in the given form and returns the exit code.
    pub(crate) fn report(&self, format: Format) -> ExitCode {
        if self.code != Code::Ended {
            if format.is_for_programs() {
                output::document_or_note(format, self.json());
            } else {
                output::note(&self.text());
            }
        }
        ExitCode::from(self.exit as u8)
    }

    /// The form for people, over several lines.
    fn text(&self) -> String {
        let mut text = format!("squall: {}: {}", self.code.text(), output::escape(&self.what));
        for (label, part) in [("why", &self.why), ("fix", &self.fix)] {
            for (line_number, line) in part.trim().lines().enumerate() {
                let lead = if line_number == 0 { format!("{label}:") } else { String::new() };
                text.push_str(&format!("\n  {lead:<4} {}", output::escape(line)));
            }
        }
        text
    }

    /// The form for programs.
    fn json(&self) -> serde_json::Value {
        let Self { what, why, fix, .. } = self;
        json!({ "error": { "code": self.code.text(), "what": what, "why": why, "fix": fix } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_why_and_fix_and_escapes_what_came_from_elsewhere() {
        let failure = Failure::new(Exit::Data, "cannot run a\u{1b}[2J", "line 1\nline 2", "do it");
        assert_eq!(
            failure.text(),
            "squall: SQ6500: cannot run a\\u{1b}[2J\n  why: line 1\n       line 2\n  fix: do it"
        );
    }

    #[test]
    fn the_help_and_the_documentation_name_every_code_with_its_meaning() {
        let page = include_str!("../../docs/exit-codes.md");
        for (exit, meaning) in Exit::MEANINGS {
            let row = format!("| {} | {meaning}", exit as u8);
            assert!(page.contains(&row), "docs/exit-codes.md lacks {row:?}");
        }
        let number = |line: &str| line.strip_prefix("| ")?.split(' ').next()?.parse::<u8>().ok();
        let documented: Vec<u8> = page.lines().filter_map(number).collect();
        let known = Exit::MEANINGS.map(|(exit, _)| exit as u8);
        assert_eq!(documented, known, "the page has codes that do not exist");
    }

    #[test]
    fn the_json_form_has_the_code_and_the_three_parts() {
        let failure = Failure::new(Exit::Usage, "a", "b", "c");
        assert_eq!(
            failure.json(),
            json!({"error": {"code": "SQ6400", "what": "a", "why": "b", "fix": "c"}})
        );
    }
}
