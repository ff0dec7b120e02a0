//! Following files, on a disk: rotations, restarts, failures.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use topology_api::testing::{Setup, SpoutDriver};
use topology_api::{FailReason, Line};

use crate::Retry;
use crate::files::{DeadRecord, FileLine, FilesIn, FilesStart, Multiline, NotText, TooLong};

const SECOND: Duration = Duration::from_secs(1);

/// A folder of logs, and one for positions.
struct Logs {
    logs: TempDir,
    state: TempDir,
}

impl Logs {
    fn new() -> Self {
        Self { logs: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.logs.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let file = OpenOptions::new().create(true).append(true).open(self.path(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn compress(&self, from: &str, to: &str) {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&fs::read(self.path(from)).unwrap()).unwrap();
        fs::write(self.path(to), encoder.finish().unwrap()).unwrap();
    }

    fn options(&self) -> FilesIn<Line> {
        FilesIn::new(self.logs.path(), "*.log*").state(self.state.path())
    }

    fn spout(&self, files: FilesIn<Line>) -> SpoutDriver<Line> {
        let setup = Setup::new().output::<DeadRecord>("dead-letters");
        SpoutDriver::with(setup, move |cx| files.open(cx)).unwrap()
    }
}

/// What is there by now; looks at the folder a few times.
fn more(spout: &mut SpoutDriver<Line>) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..6 {
        lines.extend(spout.run().unwrap().into_iter().map(|line| line.text.to_string()));
        spout.advance(SECOND);
    }
    lines
}

fn numbers(range: std::ops::Range<u32>) -> (String, Vec<String>) {
    let lines: Vec<String> = range.map(|number| format!("line {number}")).collect();
    (lines.iter().map(|line| format!("{line}\n")).collect(), lines)
}

#[test]
fn a_file_is_followed_through_renames_and_its_end_after_it_is_deleted() {
    let logs = Logs::new();
    let mut spout = logs.spout(logs.options());
    assert!(more(&mut spout).is_empty());
    logs.append("a.log", "one\ntw");
    assert_eq!(more(&mut spout), ["one"]);
    logs.append("a.log", "o\nthree\n");
    fs::rename(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    logs.append("a.log", "new one\n");
    logs.append("a.log.1", "four\n");
    let mut found = more(&mut spout);
    // Files are read in turns: which is first does not matter.
    found.sort_by_key(|line| line == "new one");
    assert_eq!(found, ["two", "three", "four", "new one"]);
    logs.append("a.log.1", "five\nwithout end");
    fs::remove_file(logs.path("a.log.1")).unwrap();
    assert_eq!(more(&mut spout), ["five", "without end"]);
    logs.append("a.log", "new two\n");
    assert_eq!(more(&mut spout), ["new two"]);
    assert_eq!(spout.errors(), [""; 0]);
}

#[test]
fn the_new_file_of_a_rotation_does_not_wait_for_the_next_look_at_the_folder() {
    let logs = Logs::new();
    logs.append("a.log", "one\n");
    let mut spout = logs.spout(logs.options().scan_every(60 * SECOND));
    let mut read = |logs: &Logs, name: &str, text: &str| {
        logs.append(name, text);
        let mut lines = Vec::new();
        for _ in 0..5 {
            lines.extend(spout.run().unwrap().into_iter().map(|line| line.text.to_string()));
            spout.advance(Duration::from_millis(10));
        }
        lines
    };
    assert_eq!(read(&logs, "a.log", ""), ["one"]);
    fs::rename(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    assert_eq!(read(&logs, "a.log.1", "two\n"), ["two"], "there is no new file yet");
    assert_eq!(read(&logs, "a.log", "three\n"), ["three"]);
}

#[test]
fn a_file_that_is_copied_and_emptied_is_neither_lost_nor_read_twice() {
    let logs = Logs::new();
    let (text, lines) = numbers(0..500);
    logs.append("a.log", &text);
    let mut spout = logs.spout(logs.options());
    assert_eq!(more(&mut spout), lines);
    let (text, unread) = numbers(500..600);
    logs.append("a.log", &text);
    fs::copy(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    File::create(logs.path("a.log")).unwrap();
    let (text, new) = numbers(600..2_000);
    logs.append("a.log", &text);
    let mut found = more(&mut spout);
    found.sort_by_key(|line| line[5..].parse::<u32>().unwrap());
    assert_eq!(found, [unread, new].concat(), "the rest of the old one from its copy");
    assert_eq!(spout.counter("emptied-files"), 1);
    // What failed is read again where it is by now.
    spout.fail(450, FailReason::new("error", true));
    assert_eq!(more(&mut spout), ["line 450"]);
}

#[test]
fn a_copy_of_a_file_that_was_not_read_yet_is_not_read_besides() {
    let logs = Logs::new();
    let mut spout = logs.spout(logs.options());
    assert_eq!(more(&mut spout), [""; 0]);
    let (text, lines) = numbers(0..500);
    logs.append("a.log", &text);
    fs::copy(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    assert_eq!(more(&mut spout), lines);
    let (text, new) = numbers(600..700);
    fs::write(logs.path("a.log"), text).unwrap();
    logs.append("b.log", "line 0\nanother file\n");
    let mut found = more(&mut spout);
    found.sort_by_key(|line| line == "line 0" || line == "another file");
    let other = ["line 0", "another file"].map(str::to_owned);
    assert_eq!(found, [&new[..], &other].concat(), "one that only begins alike is");
}

#[test]
fn a_file_that_is_emptied_and_is_soon_as_long_as_before_is_read_again() {
    let logs = Logs::new();
    let mut spout = logs.spout(logs.options());
    for round in 1..5 {
        let (text, lines) = numbers(round * 1_000..round * 1_000 + 500);
        fs::write(logs.path("a.log"), text).unwrap();
        assert_eq!(more(&mut spout), lines, "round {round}");
        fs::copy(logs.path("a.log"), logs.path(&format!("a.log.{round}"))).unwrap();
    }
    assert_eq!(more(&mut spout), [""; 0]);
    assert_eq!(spout.counter("emptied-files"), 3);
}

#[test]
fn after_a_restart_only_what_was_not_acked_is_read_again() {
    let logs = Logs::new();
    let (text, lines) = numbers(0..100);
    logs.append("a.log", &text);
    let mut spout = logs.spout(logs.options());
    assert_eq!(more(&mut spout).len(), 100);
    (0..100).filter(|number| *number != 40).for_each(|number| spout.ack(number));
    spout.advance(2 * SECOND);
    spout.run().unwrap();
    drop(spout);
    fs::rename(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    logs.append("a.log", "new\n");
    let mut spout = logs.spout(logs.options());
    assert_eq!(more(&mut spout), [&lines[40..], &["new".to_owned()]].concat(), "renamed meanwhile");
    spout.ack_all();
    spout.close();
    drop(spout);
    logs.compress("a.log.1", "a.log.1.gz");
    fs::remove_file(logs.path("a.log.1")).unwrap();
    let mut spout = logs.spout(logs.options());
    assert!(more(&mut spout).is_empty(), "compressed meanwhile");
    assert_eq!(spout.errors(), [""; 0]);
}

#[test]
fn finished_files_that_are_compressed_are_read_once() {
    let logs = Logs::new();
    let (text, lines) = numbers(0..50_000);
    logs.append("a.log", &text);
    let mut spout = logs.spout(logs.options().max_record_bytes(100));
    let mut found = Vec::new();
    while found.len() < lines.len() {
        found.extend(more(&mut spout));
        spout.ack_all();
    }
    assert_eq!(found, lines);
    fs::rename(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    logs.append("a.log", "new\n");
    assert_eq!(more(&mut spout), ["new"]);
    logs.compress("a.log.1", "a.log.1.gz");
    fs::remove_file(logs.path("a.log.1")).unwrap();
    assert!(more(&mut spout).is_empty(), "it was read before it was compressed");
    logs.append("b", "only\ncompressed\nno end");
    logs.compress("b", "b.log.gz");
    let number = spout.open().len() as u32;
    assert_eq!(more(&mut spout), ["only", "compressed", "no end"]);
    let failed = *spout.open().last().unwrap();
    assert!(failed >= number);
    spout.fail(failed, FailReason::new("error", true));
    assert_eq!(more(&mut spout), ["no end"], "and again from there");
    fs::write(logs.path("c.log.gz"), &fs::read(logs.path("b.log.gz")).unwrap()[..30]).unwrap();
    more(&mut spout);
    assert!(spout.errors().iter().any(|error| error.contains("c.log.gz")), "{:?}", spout.errors());
}

#[test]
fn a_compressed_file_in_the_place_of_one_that_was_deleted_is_another_file() {
    let logs = Logs::new();
    let (text, lines) = numbers(0..1_000);
    logs.append("a.log", &text);
    let mut spout = logs.spout(logs.options());
    assert_eq!(more(&mut spout), lines);
    spout.ack_all();
    assert_eq!([more(&mut spout), more(&mut spout)].concat(), [""; 0], "it is closed by now");
    logs.compress("a.log", "a.log.1.gz");
    // Written in place, so that it has the number that the deleted file had.
    let (text, lines) = numbers(5_000..7_000);
    fs::write(logs.path("other"), text).unwrap();
    logs.compress("other", "a.log");
    fs::rename(logs.path("a.log"), logs.path("b.log.gz")).unwrap();
    assert_eq!(more(&mut spout), lines);
    assert_eq!(more(&mut spout), [""; 0], "what was compressed was read before");
    assert_eq!(spout.errors(), [""; 0]);
}

#[test]
fn lines_that_belong_together_are_one_record_and_the_last_one_waits_for_a_while() {
    let logs = Logs::new();
    let options = logs.options().multiline(Multiline::begins("^E").wait(3 * SECOND));
    let mut spout = logs.spout(options);
    logs.append("a.log", "E1\n  at x\nE2\n  at y\n");
    spout.advance(SECOND);
    let lines = |spout: &mut SpoutDriver<Line>| -> Vec<String> {
        spout.run().unwrap().into_iter().map(|line| line.text.to_string()).collect()
    };
    assert_eq!(lines(&mut spout), ["E1\n  at x"]);
    spout.advance(SECOND);
    logs.append("a.log", "  at z\n");
    assert!(lines(&mut spout).is_empty(), "more may come");
    spout.advance(3 * SECOND);
    assert_eq!(lines(&mut spout), ["E2\n  at y\n  at z"]);
    assert!(more(&mut spout).is_empty(), "and once only");
}

#[test]
fn what_is_too_long_is_cut_or_left_out_and_told() {
    for (too_long, counter, records) in [
        (TooLong::Cut, "cut-records", vec!["a", "xxxxxxxx", "b"]),
        (TooLong::Skip, "skipped-records", vec!["a", "b"]),
    ] {
        let logs = Logs::new();
        logs.append("a.log", &format!("a\n{}\nb\n", "x".repeat(5_000_000)));
        let mut spout = logs.spout(logs.options().max_record_bytes(8).too_long(too_long));
        assert_eq!(more(&mut spout), records);
        assert_eq!(spout.counter(counter), 1);
        assert!(spout.errors()[0].contains("max_record_bytes"), "{:?}", spout.errors());
        spout.ack_all();
        spout.close();
        drop(spout);
        let mut spout = logs.spout(logs.options().max_record_bytes(8));
        assert!(more(&mut spout).is_empty(), "the end of the long record is known");
    }
}

#[test]
fn what_is_not_text_is_mended_or_becomes_a_dead_letter_as_it_is() {
    let logs = Logs::new();
    fs::write(logs.path("a.log"), b"good\nb\xffd\n").unwrap();
    let mut spout = logs.spout(logs.options());
    assert_eq!(more(&mut spout), ["good", "b\u{fffd}d"]);
    assert_eq!(spout.counter("not-text"), 1);

    let other = Logs::new();
    fs::write(other.path("a.log"), b"good\nb\xffd\n").unwrap();
    let mut spout = other.spout(other.options().not_text(NotText::DeadLetter));
    assert_eq!(more(&mut spout), ["good"]);
    let dead = spout.emitted_to::<DeadRecord>("dead-letters").remove(0);
    assert_eq!((&*dead.tuple.bytes, &*dead.tuple.reason), (&b"b\xffd"[..], "not-text"));
    spout.fail(dead.number.unwrap(), FailReason::new("worker-lost", false));
    more(&mut spout);
    assert_eq!(spout.emitted_to::<DeadRecord>("dead-letters").remove(0).tuple, dead.tuple, "again");
}

#[test]
fn a_record_that_fails_too_often_by_its_own_fault_becomes_a_dead_letter() {
    let logs = Logs::new();
    logs.append("a.log", "good\nbad\n");
    let retry = Retry::new(SECOND, SECOND).attempts(2);
    let mut spout = logs.spout(logs.options().retry(retry));
    assert_eq!(more(&mut spout), ["good", "bad"]);
    spout.ack(0);
    spout.fail(1, FailReason::new("worker-lost", false));
    assert_eq!(more(&mut spout), ["bad"]);
    spout.fail(2, FailReason::new("error", true));
    assert_eq!(more(&mut spout), ["bad"]);
    spout.fail(3, FailReason::new("timeout", true));
    assert!(more(&mut spout).is_empty());
    let dead = spout.emitted_to::<DeadRecord>("dead-letters").remove(0);
    assert_eq!((&*dead.tuple.bytes, dead.tuple.attempts, dead.tuple.offset), (&b"bad"[..], 2, 5));
    assert_eq!((spout.counter("replayed"), spout.counter("dead-lettered")), (3, 1));
    let undeclared = logs.options().not_text(NotText::DeadLetter);
    let error = SpoutDriver::new(move |cx| undeclared.open(cx)).unwrap_err().to_string();
    assert!(error.contains("`not_text`") && error.contains(".output::<DeadRecord>"), "{error}");
}

#[test]
fn tasks_share_the_files_and_a_copy_stays_with_its_task() {
    let logs = Logs::new();
    (0..40).for_each(|file| logs.append(&format!("{file}.log"), &format!("of file {file}\n")));
    let tasks: Vec<Vec<FileLine>> = (0..3)
        .map(|task| {
            let files =
                FilesIn::<FileLine>::new(logs.logs.path(), "*.log").state(logs.state.path());
            let mut spout =
                SpoutDriver::with(Setup::new().task(task, 3), move |cx| files.open(cx)).unwrap();
            let lines = spout.run().unwrap();
            spout.ack_all();
            spout.close();
            lines
        })
        .collect();
    assert!(tasks.iter().all(|lines| lines.len() >= 5), "each has some: {tasks:?}");
    let mut files: Vec<String> = tasks.concat().iter().map(|line| line.file.to_string()).collect();
    files.sort();
    files.dedup();
    assert_eq!(files.len(), 40, "each file has one task");
    let mut one = logs.spout(logs.options());
    assert!(more(&mut one).is_empty(), "fewer tasks take over what the others left");
}

#[test]
fn a_first_start_may_begin_at_the_ends_of_files() {
    let logs = Logs::new();
    logs.append("a.log", "old\nhalf");
    let mut spout = logs.spout(logs.options().start(FilesStart::End));
    assert!(more(&mut spout).is_empty());
    spout.close();
    drop(spout);
    let mut spout = logs.spout(logs.options().start(FilesStart::End));
    logs.append("a.log", " a line\nnew\n");
    logs.append("b.log", "later\n");
    let mut found = more(&mut spout);
    found.sort();
    assert_eq!(found, ["later", "new"]);
}

#[test]
fn files_that_begin_alike_are_begun_at_their_ends_and_a_new_one_is_read_while_it_grows() {
    let logs = Logs::new();
    for name in ["a.log", "b.log"] {
        logs.append(name, "#fields: a b\nold\n");
    }
    let mut spout = logs.spout(logs.options().start(FilesStart::End));
    assert_eq!(more(&mut spout), [""; 0], "what was there is old");
    logs.append("unread", "#fields: a b\nfinished\n");
    logs.compress("unread", "c.log.gz");
    assert_eq!(more(&mut spout), ["#fields: a b", "finished"]);
    let mut lines = Vec::new();
    for number in 0..6 {
        logs.append("d.log", if number == 0 { "#fields: a b\n" } else { "more\n" });
        spout.advance(SECOND);
        lines.extend(spout.run().unwrap());
    }
    assert!(lines.len() > 2, "it is not waited for until it stands still: {lines:?}");
}

#[test]
fn without_follow_the_spout_is_finished_when_all_was_read() {
    let logs = Logs::new();
    logs.append("a.log", "one\ntwo");
    let mut spout = logs.spout(logs.options().follow(false));
    assert_eq!(more(&mut spout), ["one", "two"]);
    assert_eq!(spout.call_next().unwrap().0, topology_api::Next::Finished);
}

#[test]
fn a_folder_that_is_not_there_is_told_by_the_name_of_the_option() {
    let logs = Logs::new();
    let nowhere = FilesIn::<Line>::new("/nonexistent/logs", "*").state(logs.state.path());
    let error = SpoutDriver::new(move |cx| nowhere.open(cx)).unwrap_err().to_string();
    assert!(error.contains("`folder`") && error.contains("/nonexistent/logs"), "{error}");
}
