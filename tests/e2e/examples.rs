//! The examples as a reader runs them: by hand, each a process of its own, with and without
//! mistakes.

use std::path::Path;
use std::process::Command;

use tests::{Outcome, program};

/// Runs an example to its end, at the root of the repository.
fn run(example: &str, arguments: &[&str]) -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate lies in the root");
    let output = Command::new(program(example)).args(arguments).current_dir(root).output();
    let output = output.expect("an example starts");
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_file_that_cannot_be_read_ends_a_run_by_hand_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, directory) = (folder.path().join("missing"), folder.path());
    for (file, reason) in
        [(missing.as_path(), "No such file"), (directory, "it is a folder; name its files")]
    {
        let outcome = run("word_count", &[file.to_str().unwrap()]);
        assert_eq!(outcome.code, 70, "{outcome:?}");
        let last = outcome.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: lines cannot start: cannot open "), "{last}");
        assert!(last.contains(file.to_str().unwrap()) && last.contains(reason), "{last}");
    }
}

#[test]
fn what_components_counted_is_shown_at_the_end_of_a_run_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("binary");
    std::fs::write(&file, b"good\n\xff\xfe\n\x80").unwrap();
    let outcome = run("word_count", &[file.to_str().unwrap()]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("\nlines: invalid-utf8=2\n"), "{outcome:?}");
}
