//! Files as people have them: empty, huge in a line, binary, growing, gone, or not for reading.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tests::{Cluster, Outcome, alone, program, until};

use crate::path;

/// Longest part of a line that is counted.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Counts the words of a file by the demo; returns what it says of them and the remarks it makes.
fn demo(file: &Path) -> (Value, String) {
    let file = file.to_str().expect("a plain path");
    let outcome = Outcome::of(&["demo", "--json", file]);
    assert_eq!(outcome.code, 0, "{file}: {}", outcome.stderr);
    (outcome.json(), outcome.stderr)
}

#[test]
fn the_demo_counts_empty_binary_and_huge_lines_and_says_what_it_left_out() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let count = |content: &[u8]| {
        std::fs::write(&file, content).unwrap();
        demo(&file)
    };

    let (counted, _) = count(b"");
    assert_eq!((&counted["lines"], &counted["words"]), (&0.into(), &0.into()), "{counted}");

    // One line of words, and one without white space, both far longer than what is read of a line.
    let words = "to be ".repeat(LINE_BYTES_MAX / 3);
    let one_word = "x".repeat(3 * LINE_BYTES_MAX);
    let (counted, remarks) = count(format!("{words}\n{one_word}\nthe end\n").as_bytes());
    assert_eq!(counted["lines"], 3, "{counted}");
    assert_eq!(counted["acked"], 3, "{counted}");
    assert!(remarks.contains("too long, counted up to the limit: 2"), "{remarks}");
    assert!(!remarks.contains("error in"), "{remarks}");
    let top: Vec<(String, u64)> = serde_json::from_value(counted["top"].clone()).unwrap();
    let of = |word: &str| top.iter().find(|(it, _)| it == word).map_or(0, |(_, count)| *count);
    let pairs = LINE_BYTES_MAX as u64 / 6;
    assert!(of("to").abs_diff(pairs) <= 1 && of("be").abs_diff(pairs) <= 1, "{top:?}");
    assert_eq!((of("the"), of("end")), (1, 1), "the line after them is whole: {top:?}");
    assert!(top.iter().all(|(word, _)| word.len() < 100), "a word fills the screen");

    let bytes: Vec<u8> = (0..200_000_u32).map(|it| (it * 7 % 251) as u8).collect();
    let (counted, remarks) = count(&bytes);
    assert_eq!(counted["acked"], counted["lines"], "{counted}");
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert_eq!(counted["lines"], lines, "{counted}");
    assert!(remarks.contains("not UTF-8"), "{remarks}");
}

#[test]
fn what_the_demo_cannot_read_is_66_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let round = folder.path().join("round");
    std::os::unix::fs::symlink(&round, &round).unwrap();
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "a pipe can be made");
    let table = [
        (folder.path(), "directory"),
        (Path::new("/no/such/file"), "No such file"),
        (&round, "symbolic links"),
        (&pipe, "not a regular file"),
        (Path::new("/dev/null"), "not a regular file"),
        (Path::new("a\nb"), "No such file"),
    ];
    for (file, reason) in table {
        let outcome = Outcome::of(&["demo", file.to_str().unwrap()]);
        assert_eq!(outcome.code, 66, "{}: {}", file.display(), outcome.stderr);
        assert!(outcome.stderr.contains(reason), "{}: {}", file.display(), outcome.stderr);
        assert!(outcome.stderr.contains("fix:"), "{}", outcome.stderr);
    }
}

#[test]
fn files_that_workers_cannot_read_show_as_errors_of_their_component() {
    let cluster = Cluster::start(1, 3);
    // The system lets it be opened, but not be read at its beginning.
    for (name, file) in
        [("gone", "/no/such/file"), ("folder", "/"), ("unreadable", "/proc/self/mem")]
    {
        cluster.does(&["submit", &path("word_count"), "--name", name, "--", file]);
        let mut status = Value::Null;
        until(&format!("the error of {name} is shown"), || {
            status = cluster.status(name);
            status["errors"].as_array().is_some_and(|errors| !errors.is_empty())
        });
        let error = &status["errors"][0];
        assert_eq!(error["component"], "lines", "{error}");
        let text = error["text"].as_str().unwrap_or_default();
        assert!(text.starts_with("cannot ") && text.contains(file), "{error}");
        let described = cluster.does(&["describe", name]);
        assert!(described.contains("ERROR IN") && described.contains(file), "{described}");
        cluster.does(&["kill", name, "--wait", "--drain", "0s"]);
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_is_counted_up_to_where_its_end_was_met() {
    const LINE: &str = "grow\n";
    const LINES_FIRST: usize = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("growing.txt");
    std::fs::write(&file, LINE.repeat(LINES_FIRST)).unwrap();
    let ended = AtomicBool::new(false);
    let (output, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut growing = OpenOptions::new().append(true).open(&file).unwrap();
            let mut written = LINES_FIRST;
            while !ended.load(Ordering::Relaxed) && written < 5 * LINES_FIRST {
                growing.write_all(LINE.as_bytes()).unwrap();
                written += 1;
            }
            written
        });
        let output = Command::new(program("word_count")).arg(&file).output();
        ended.store(true, Ordering::Relaxed);
        (output.expect("it starts"), writer.join().expect("the writer ends"))
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let acked = said.lines().find(|line| line.starts_with("lines ")).expect("a line for the spout");
    let acked: usize = acked.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!((LINES_FIRST..=written).contains(&acked), "{acked} lines of {written}");
    assert!(said.contains(&format!("[\"grow\",{acked}]")), "{said}");
}
