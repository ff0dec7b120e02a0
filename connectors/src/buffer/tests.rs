//! What a buffer keeps over crashes at any byte, and what it says of damage.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Waker;

use proptest::prelude::*;
use tempfile::TempDir;

use super::catalog::{Appender, Opened, open};
use super::recovery::list;
use super::{BufferError, BufferOptions, Durability, NotStored, Reader, Rows};

const SCHEMA: &str = "Line(text: text)";

fn options(folder: &TempDir) -> BufferOptions {
    // Tests end no machine, so nothing has to be forced to a disk.
    BufferOptions::new(folder.path())
        .segment_bytes(4 << 10)
        .bytes_max(64 << 10)
        .durability(Durability::Never)
}

fn opened(options: &BufferOptions, folder: &TempDir) -> (Appender, Reader, Opened) {
    open(options, folder.path(), SCHEMA).expect("it opens")
}

fn store(to: &Appender, records: &[&str]) -> Result<(), NotStored> {
    let mut rows = Rows::default();
    records.iter().for_each(|record| rows.push(|out| out.extend_from_slice(record.as_bytes())));
    to.append(Arc::new(rows))?.blocking_recv().expect("the writer answers")
}

fn rest(reader: &mut Reader) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    let take = |number, record: &[u8]| all.push((number, String::from_utf8_lossy(record).into()));
    reader.read(usize::MAX, Waker::noop(), take).expect("it can be read");
    all
}

fn texts(reader: &mut Reader) -> Vec<String> {
    rest(reader).into_iter().map(|(_, text)| text).collect()
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    list(folder).expect("the folder can be listed")
}

#[test]
fn what_is_not_done_with_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder);
    let (to, mut reader, found) = opened(&options, &folder);
    assert_eq!(found, Opened::default());
    store(&to, &["a", "b", "c", "d"]).unwrap();
    let read = rest(&mut reader);
    assert_eq!(read.len(), 4);
    reader.finish(read[0].0);
    reader.finish(read[2].0);
    drop(reader);
    assert_eq!(store(&to, &["e"]), Err(NotStored::Closed));
    let (to, mut reader, found) = opened(&options, &folder);
    assert_eq!(found.records, 3, "the low end is done with, and c is a hole");
    assert_eq!(texts(&mut reader), ["b", "d"]);
    store(&to, &["f"]).unwrap();
    assert_eq!(texts(&mut reader), ["f"]);
}

#[test]
fn a_full_buffer_says_so_until_segments_are_done_with() {
    let folder = tempfile::tempdir().unwrap();
    let (to, mut reader, _) = opened(&options(&folder), &folder);
    let record = "x".repeat(1_000);
    let stored = (0..).find(|_| store(&to, &[&record]) == Err(NotStored::Full)).unwrap();
    assert!((50..70).contains(&stored), "{stored} of 64 KiB");
    assert_eq!(store(&to, &[&"x".repeat(40_000)]), Err(NotStored::TooLarge));
    let read = rest(&mut reader);
    assert_eq!(read.len(), stored);
    let before = segments(folder.path()).len();
    read.iter().for_each(|(number, _)| reader.finish(*number));
    while segments(folder.path()).len() >= before {
        std::thread::yield_now();
    }
    while store(&to, &[&record]) == Err(NotStored::Full) {
        std::thread::yield_now();
    }
    assert_eq!(texts(&mut reader), [record]);
}

#[test]
fn a_folder_belongs_to_one_and_holds_one_type() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder);
    let (to, reader, _) = opened(&options, &folder);
    let error = open(&options, folder.path(), SCHEMA).err().unwrap();
    assert!(matches!(error, BufferError::Taken(_)), "{error}");
    store(&to, &["a"]).unwrap();
    drop(reader);
    let error = open(&options, folder.path(), "Word(word: text)").err().unwrap().to_string();
    assert!(error.contains("Line(text: text)") && error.contains("another folder"), "{error}");
}

#[test]
fn another_version_and_a_damaged_middle_are_told_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder);
    let (to, reader, _) = opened(&options, &folder);
    for n in 0..20 {
        store(&to, &[&format!("{n}-{}", "x".repeat(1_000))]).unwrap();
    }
    drop(reader);
    let paths = segments(folder.path());
    let whole = fs::read(&paths[1]).unwrap();
    let mut bytes = whole.clone();
    bytes[1_500] ^= 1;
    fs::write(&paths[1], &bytes).unwrap();
    let error = open(&options, folder.path(), SCHEMA).err().unwrap();
    let BufferError::Damaged { lost, .. } = error else { panic!("{error}") };
    assert!(error.to_string().contains("skip_damaged"), "{error}");
    let (_to, mut reader, found) = opened(&options.clone().skip_damaged(), &folder);
    assert_eq!(texts(&mut reader).len() as u64, 20 - lost, "the rest is there");
    assert!(found.notes[0].contains(&format!("{lost} records")), "{:?}", found.notes);
    drop(reader);
    bytes = whole;
    bytes[8] = 7;
    fs::write(&paths[1], &bytes).unwrap();
    let error = open(&options, folder.path(), SCHEMA).err().unwrap().to_string();
    assert!(error.contains("format 7"), "{error}");
    fs::remove_file(&paths[1]).unwrap();
    let error = open(&options, folder.path(), SCHEMA).err().unwrap();
    assert!(matches!(error, BufferError::Damaged { .. }), "one is missing: {error}");
}

#[test]
fn damaged_positions_cost_repetitions_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder);
    let (to, mut reader, _) = opened(&options, &folder);
    store(&to, &["a", "b"]).unwrap();
    rest(&mut reader).iter().for_each(|(number, _)| reader.finish(*number));
    store(&to, &["c"]).unwrap();
    drop(reader);
    fs::write(folder.path().join("positions"), "squall").unwrap();
    let (_to, mut reader, found) = opened(&options, &folder);
    assert!(found.notes[0].contains("emitted again"), "{:?}", found.notes);
    assert_eq!(texts(&mut reader), ["a", "b", "c"]);
}

/// Copies the files of a buffer that is in use, as they would be found after a crash.
fn crash(from: &Path, to: &Path, cut: f64, garbage: &[u8]) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "lock" {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
    let last = segments(to).pop().unwrap();
    let length = fs::metadata(&last).unwrap().len();
    let kept = (length as f64 * cut) as u64;
    OpenOptions::new().write(true).open(&last).unwrap().set_len(kept).unwrap();
    // A header is forced to the disk before anything follows it.
    let header = 40 + SCHEMA.len() as u64;
    if kept >= header {
        let mut bytes = fs::read(&last).unwrap();
        bytes.extend_from_slice(garbage);
        fs::write(&last, bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_crash_at_any_byte_loses_nothing_that_was_safe_then(
        before in proptest::collection::vec(1_usize..300, 0..60),
        later in proptest::collection::vec(1_usize..300, 1..30),
        done in proptest::collection::vec(0_usize..90, 0..60),
        cut in 0.0..1.0,
        garbage in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let (folder, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = options(&folder);
        let (to, mut reader, _) = opened(&options, &folder);
        let text = |n: usize, length: usize| format!("{n}:{}", "x".repeat(length));
        let mut n = 0;
        for length in before {
            store(&to, &[&text(n, length)]).unwrap();
            n += 1;
        }
        // Up to here all is forced to the disk; what follows is written, and may be torn anywhere.
        let last = segments(folder.path()).pop().unwrap();
        let safe_bytes = fs::metadata(&last).unwrap().len();
        let safe = n;
        for length in later {
            store(&to, &[&text(n, length)]).unwrap();
            n += 1;
        }
        let read = rest(&mut reader);
        let mut finished = BTreeSet::new();
        for at in done.into_iter().filter(|at| *at < safe) {
            reader.finish(read[at].0);
            finished.insert(at);
        }
        let end = segments(folder.path()).pop().unwrap();
        let cut = if end == last {
            let length = fs::metadata(&end).unwrap().len() as f64;
            let low = safe_bytes as f64 / length;
            low + (1.0 - low) * cut + f64::EPSILON
        } else {
            cut
        };
        crash(folder.path(), crashed.path(), cut, &garbage);
        let (to, mut again, _) = opened(&options, &crashed);
        let found: Vec<usize> = rest(&mut again)
            .iter()
            .map(|(_, text)| text.split_once(':').unwrap().0.parse().unwrap())
            .collect();
        let set: BTreeSet<usize> = found.iter().copied().collect();
        prop_assert_eq!(set.len(), found.len(), "each once");
        for number in (0..safe).filter(|number| !finished.contains(number)) {
            prop_assert!(set.contains(&number), "{} was safe", number);
        }
        store(&to, &["new:"]).unwrap();
        prop_assert_eq!(rest(&mut again).len(), 1, "it goes on");
    }
}
