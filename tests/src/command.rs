//! Programs of this workspace, and what a run of `squall` came to.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// A program of this workspace, built beside the program or test that runs.
///
/// # Panics
///
/// If it is not there.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let folder = test.parent().expect("a program lies in a folder");
    // Tests lie in target/PROFILE/deps, programs one up.
    let up = folder.parent().filter(|_| folder.ends_with("deps"));
    let folder = up.unwrap_or(folder);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build -p cli -p tests -p examples` first",
        path.display()
    );
    path
}

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Outcome {
    /// Runs a command of `squall` to its end, with nothing of the environment that it would read.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn of(arguments: &[&str]) -> Self {
        Self::from(squall().args(arguments).output().expect("squall starts"))
    }

    /// Its standard output as one JSON document.
    ///
    /// # Panics
    ///
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one JSON document ({error}): {self:?}"))
    }
}

impl From<std::process::Output> for Outcome {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The `squall` command, with nothing in its environment that it would read but that all it is told to
/// do is meant, as in any script.
///
/// # Panics
///
/// If it was not built.
#[must_use]
pub fn squall() -> Command {
    let mut squall = unset(Command::new(program("squall")));
    squall.env("SQUALL_YES", "true");
    squall
}

/// The same command, with nothing in its environment that `squall` would read.
pub(crate) fn unset(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SQUALL_") {
            command.env_remove(name);
        }
    }
    command
}
