//! Files in and out: clusters that read logs while these are rotated, and files that nobody should have to
//! read. What is written is looked at with the tools of the system.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod hostile;
mod json;
mod rotated;

use std::path::Path;
use std::process::Command;

use tests::program;

/// The path of the program with the topologies, as an argument.
fn piped() -> String {
    program("piped").to_str().unwrap().to_owned()
}

/// The arguments of the topology for folders below one.
fn arguments(folder: &Path) -> [String; 4] {
    let below = |name: &str| format!("--{name}={}", folder.join(name).display());
    ["files".to_owned(), below("in"), below("out"), below("state")]
}

/// Runs a line of the shell, and gives what it wrote.
fn shell(line: &str, folder: &Path) -> String {
    let outcome = Command::new("bash").args(["-c", line]).current_dir(folder).output().unwrap();
    assert!(outcome.status.success(), "{line}: {}", String::from_utf8_lossy(&outcome.stderr));
    String::from_utf8(outcome.stdout).unwrap().trim().to_owned()
}

/// Says what was measured, to whoever runs the tests with `--nocapture`.
pub(crate) fn note(text: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "{text}"));
}
