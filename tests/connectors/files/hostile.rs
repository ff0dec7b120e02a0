//! Files that nobody should have to read, and disks that nobody should have to write to.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use connectors::Retry;
use connectors::files::{FileFormat, FilesOut};
use tempfile::TempDir;
use tests::{Disk, Process, until};
use topology_api::Line;
use topology_api::testing::{BoltDriver, Setup};

use super::{arguments, piped, shell};

/// Most memory that the process may take, in bytes: a debug build, with both tasks and their logs.
const MEMORY_MAX: u64 = 300 * 1024 * 1024;

/// Starts the topology by hand, until all was read.
fn start(folder: &Path, more: &[&str]) -> Process {
    let mut command = Command::new(piped());
    command.args(arguments(folder)).arg("--once").args(more);
    Process::start(command, &folder.join("output"))
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    folder
}

#[test]
fn a_line_of_a_gibibyte_takes_no_memory_and_hides_no_other() {
    let folder = folder();
    let logs = folder.path().join("in");
    fs::write(logs.join("a.log"), "first\n").unwrap();
    let file = File::options().append(true).open(logs.join("a.log")).unwrap();
    file.set_len(1 << 30).unwrap();
    shell("echo >> a.log; echo last >> a.log", &logs);
    let mut run = start(folder.path(), &[]);
    let mut most = 0;
    until("all was read", || {
        most = most.max(run.rss_bytes());
        run.log().contains("cut-records") || run.log().contains("finished")
    });
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    assert!(most < MEMORY_MAX, "{most} bytes");
    let out = folder.path().join("out");
    assert_eq!(shell("cat part-* | tr -d '\\0' | sort | xargs", &out), "first last");
    assert_eq!(shell("cat part-* | tr -cd '\\0' | wc -c", &out), "100000", "the long one is cut");
}

#[test]
fn what_is_not_text_and_what_is_half_compressed_is_told_and_the_rest_is_read() {
    let folder = folder();
    let logs = folder.path().join("in");
    shell("head -c 300000 /dev/urandom > noise.log; seq 1000 > good.log", &logs);
    shell(
        "seq 5000 6000 | gzip > whole.log.gz; seq 99999 | gzip | head -c 1000 > half.log.gz",
        &logs,
    );
    shell(
        "printf 'good\\nb\\xffd\\n' > mixed.log; mkdir folder.log; ln -s nowhere dangling.log",
        &logs,
    );
    let mut run = start(folder.path(), &["--dead"]);
    assert_eq!(run.wait(), Some(0), "{}", run.log());
    assert!(run.log().contains("half.log.gz"), "it is told: {}", run.log());
    let out = folder.path().join("out");
    let good =
        "cat part-* | grep -axE '[0-9]{1,4}' | sort -un | awk '$1 <= 1000 || $1 >= 5000' | wc -l";
    assert_eq!(shell(good, &out), "2001", "every good line");
    assert_eq!(shell("cat dead/part-* | grep -c '\"bytes\":\"62ff64\"'", &out), "1", "as it was");
}

#[test]
fn a_wrong_option_ends_the_topology_before_anything_flows_and_is_named() {
    let folder = folder();
    fs::remove_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in"), "a file").unwrap();
    let mut run = start(folder.path(), &[]);
    assert_ne!(run.wait(), Some(0));
    assert!(run.log().contains("`folder`"), "{}", run.log());
    let mut command = Command::new(piped());
    command.args(["files", "--in=/tmp", "--out=/tmp/x"]);
    let mut run = Process::start(command, &folder.path().join("output"));
    assert_ne!(run.wait(), Some(0));
    assert!(run.log().contains("`state`"), "{}", run.log());
}

#[test]
fn a_full_disk_fails_tuples_until_there_is_room_and_leaves_no_half_record() {
    let told = Disk::story(|mut disk| {
        let folder = folder();
        let place = folder.path().join("in");
        disk.mount(&place, folder.path(), 2);
        let second = Duration::from_secs(1);
        let files = FilesOut::new(&place, FileFormat::text(|line: &Line| &line.text))
            .retry(Retry::new(second, second));
        let setup = Setup::new().tick_every(second);
        let mut store = BoltDriver::explicit(setup, move |cx| files.open(cx)).unwrap();
        let line = || Line { text: "x".repeat(5_000).into() };
        store.execute(line());
        store.advance(second);
        assert_eq!(store.acked().len(), 1);
        disk.fill();
        for _ in 0..10 {
            store.execute(line());
        }
        store.advance(second);
        assert_eq!((store.acked().len(), store.failed().len()), (0, 10), "{:?}", store.errors());
        assert_eq!(store.errors().len(), 1);
        assert!(store.errors()[0].contains("No space left"), "{:?}", store.errors());
        disk.make_room();
        store.advance(2 * second);
        for _ in 0..3 {
            store.execute(line());
        }
        store.advance(second);
        assert_eq!(store.acked().len(), 3, "it works again: {:?}", store.errors());
        store.close();
        assert_eq!(shell("cat *part-* .*part-* 2>/dev/null | wc -l || true", &place), "4");
        assert_eq!(shell("cat *part-* | awk 'length != 5000' | wc -l", &place), "0");
    });
    if let Err(why) = told {
        super::note(&format!("SKIPPED: this test needs mounts of its own, so root: {why}"));
    }
}
