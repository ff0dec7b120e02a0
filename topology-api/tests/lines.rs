//! What `LineFiles` reads, and what it does with files that grow, shrink or change under it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs::{File, OpenOptions, rename, write};
use std::io::Write;
use std::path::{Path, PathBuf};

use topology_api::FailReason;
use topology_api::prelude::*;
use topology_api::testing::SpoutDriver;

fn reader(files: &[&Path], follow: bool) -> SpoutDriver<Line> {
    let files: Vec<PathBuf> = files.iter().map(|file| file.to_path_buf()).collect();
    let open =
        move |cx: &Context| LineFiles::open(files.clone(), cx).map(|lines| lines.follow(follow));
    SpoutDriver::new(open).unwrap()
}

fn texts(lines: &mut SpoutDriver<Line>) -> Vec<String> {
    lines.run().unwrap().into_iter().map(|line| line.text.into()).collect()
}

fn append(file: &Path, text: &str) {
    OpenOptions::new().append(true).open(file).unwrap().write_all(text.as_bytes()).unwrap();
}

const TROUBLE: FailReason = FailReason::new("error", true);

#[test]
fn files_are_read_one_after_the_other_to_their_last_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b, empty) =
        (folder.path().join("a"), folder.path().join("b"), folder.path().join("empty"));
    write(&a, "one\r\n\ntwo").unwrap();
    write(&b, "three\n").unwrap();
    write(&empty, "").unwrap();
    let mut lines = reader(&[&a, &empty, &b], false);
    assert_eq!(texts(&mut lines), ["one", "", "two", "three"]);
    assert_eq!(lines.call_next().unwrap().0, Next::Finished);
    lines.fail(2, TROUBLE);
    lines.fail(0, TROUBLE);
    assert_eq!(texts(&mut lines), ["two", "one"], "of a file that is closed already");
}

#[test]
fn a_line_over_the_limit_is_cut_and_counted_and_the_next_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    write(&file, format!("{}\nshort\n", "x".repeat(3_000_000))).unwrap();
    let mut lines = reader(&[&file], false);
    let read = texts(&mut lines);
    assert_eq!(read.iter().map(String::len).collect::<Vec<_>>(), [1024 * 1024, 5]);
    assert_eq!(lines.counter("cut-lines"), 1);
}

#[test]
fn a_line_that_is_gone_when_it_fails_is_counted_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    write(&file, "one\ntwo\n").unwrap();
    let mut lines = reader(&[&file], false);
    assert_eq!(texts(&mut lines), ["one", "two"]);
    File::create(&file).unwrap();
    lines.fail(1, TROUBLE);
    assert_eq!(texts(&mut lines), [""; 0]);
    assert_eq!(lines.counter("lost-lines"), 1);
    assert!(lines.errors()[0].contains("gone"), "{:?}", lines.errors());
}

#[test]
fn appended_lines_are_followed_and_a_line_waits_for_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    write(&file, "one\ntw").unwrap();
    let mut lines = reader(&[&file], true);
    assert_eq!(texts(&mut lines), ["one"]);
    assert_eq!(lines.call_next().unwrap().0, Next::Idle, "the worker's loop may sleep");
    append(&file, "o");
    assert_eq!(texts(&mut lines), [""; 0], "its end is not there");
    append(&file, "\nthree\n");
    assert_eq!(texts(&mut lines), ["two", "three"]);
    lines.fail(1, TROUBLE);
    append(&file, "four\n");
    assert_eq!(texts(&mut lines), ["two", "four"], "a replay does not disturb the reading");
}

#[test]
fn a_followed_line_over_the_limit_is_emitted_when_its_end_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    write(&file, "x".repeat(2_000_000)).unwrap();
    let mut lines = reader(&[&file], true);
    assert_eq!(texts(&mut lines), [""; 0]);
    append(&file, "yy");
    assert_eq!(texts(&mut lines), [""; 0]);
    append(&file, "y\nnext\n");
    assert_eq!(texts(&mut lines).iter().map(String::len).collect::<Vec<_>>(), [1024 * 1024, 4]);
    assert_eq!(lines.counter("cut-lines"), 1);
}

#[test]
fn a_followed_file_that_is_emptied_is_read_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    write(&file, "one\ntwo\nthr").unwrap();
    let mut lines = reader(&[&file], true);
    assert_eq!(texts(&mut lines), ["one", "two"]);
    File::create(&file).unwrap();
    append(&file, "four\n");
    assert_eq!(texts(&mut lines), ["four"], "what stood of a line went with the rest");
    lines.fail(0, TROUBLE);
    assert_eq!(texts(&mut lines), [""; 0]);
    assert_eq!(lines.counter("lost-lines"), 1, "nobody has the first line any more");
}

#[test]
fn a_rotated_file_is_read_to_its_end_and_then_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (file, old) = (folder.path().join("log"), folder.path().join("log.1"));
    write(&file, "one\n").unwrap();
    let mut lines = reader(&[&file], true);
    assert_eq!(texts(&mut lines), ["one"]);

    rename(&file, &old).unwrap();
    append(&old, "two\n");
    assert_eq!(texts(&mut lines), ["two"], "there is no new file yet");
    File::create(&file).unwrap();
    append(&old, "three\n");
    assert_eq!(texts(&mut lines), ["three"], "the writer has not moved on yet");
    append(&old, "four\nfi");
    append(&file, "six\n");
    assert_eq!(texts(&mut lines), ["four", "fi", "six"]);

    lines.fail(0, TROUBLE);
    lines.fail(5, TROUBLE);
    append(&file, "seven\n");
    assert_eq!(texts(&mut lines), ["one", "six", "seven"], "lines of the old file can be replayed");
}

#[test]
fn followed_files_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let (long, short) = (folder.path().join("long"), folder.path().join("short"));
    write(&long, "long\n".repeat(5_000)).unwrap();
    write(&short, "short\n").unwrap();
    let mut lines = reader(&[&long, &short], true);
    let read = texts(&mut lines);
    assert_eq!(read.len(), 5_001);
    let place = read.iter().position(|line| line == "short").unwrap();
    assert!(place < 2_000, "a long file should not keep the others waiting: {place}");
    append(&short, "more\n");
    assert_eq!(texts(&mut lines), ["more"]);
}
