//! Rolling files, on a disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use topology_api::testing::{BoltDriver, Setup};
use topology_api::{Line, NoOutput, Text, Tuple};

use crate::Retry;
use crate::files::{FileFormat, FilesOut, Leftover, Safe, TimeFolders};

const TICK: Duration = Duration::from_millis(100);

type Store = BoltDriver<Line, NoOutput>;

fn lines(folder: &Path) -> FilesOut<Line> {
    FilesOut::new(folder, FileFormat::text(|line: &Line| &line.text))
}

fn store(files: FilesOut<Line>) -> Store {
    let setup = Setup::new().component("store").tick_every(TICK);
    BoltDriver::explicit(setup, move |cx| files.open(cx)).unwrap()
}

fn put(store: &mut Store, range: std::ops::Range<u32>) {
    for number in range {
        store.execute(Line { text: number.to_string().into() });
    }
}

/// The files below a folder, hidden ones too, with what is in them.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let below = files(&entry.path()).into_iter();
            found.extend(below.map(|(file, text)| (format!("{name}/{file}"), text)));
        } else {
            found.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
    found
}

fn texts(folder: &Path) -> Vec<String> {
    let visible = |name: &String| !name.rsplit('/').next().unwrap().starts_with('.');
    files(folder).into_iter().filter(|(name, _)| visible(name)).map(|(_, text)| text).collect()
}

#[test]
fn files_are_complete_by_records_bytes_and_age_and_hidden_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut by_records = store(lines(folder.path()).max_records(2));
    put(&mut by_records, 0..5);
    assert_eq!(texts(folder.path()), ["0\n1\n", "2\n3\n"]);
    assert_eq!(by_records.acked().len(), 4, "what is complete is acked");
    by_records.advance(TICK);
    assert_eq!(by_records.acked().len(), 1, "and what was flushed");
    assert_eq!((texts(folder.path()).len(), files(folder.path()).len()), (2, 3), "one is hidden");
    by_records.close();
    assert_eq!(texts(folder.path()).len(), 3);

    let folder = tempfile::tempdir().unwrap();
    let mut by_bytes = store(lines(folder.path()).max_bytes(4).max_age(10 * TICK));
    put(&mut by_bytes, 0..3);
    put(&mut by_bytes, 123_456..123_457);
    assert_eq!(texts(folder.path()), ["0\n1\n", "2\n", "123456\n"]);
    put(&mut by_bytes, 7..8);
    by_bytes.advance(9 * TICK);
    assert_eq!(texts(folder.path()).len(), 3);
    by_bytes.advance(TICK);
    assert_eq!(texts(folder.path()).last().unwrap(), "7\n", "it is old enough");
    assert_eq!(by_bytes.counter("files-completed"), 4);
}

#[test]
fn tuples_are_held_until_they_are_as_safe_as_they_have_to_be() {
    for (safe, after_tick) in [(Safe::Written, 3), (Safe::Synced, 3), (Safe::Complete, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let mut held = store(lines(folder.path()).safe(safe));
        put(&mut held, 0..3);
        assert_eq!(held.held().len(), 3, "{safe:?}");
        held.advance(TICK);
        assert_eq!(held.acked().len(), after_tick, "{safe:?}");
        held.finish();
        assert_eq!(held.acked().len(), 3 - after_tick, "{safe:?}");
        assert_eq!(texts(folder.path()), ["0\n1\n2\n"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut many = store(lines(folder.path()).flush_records(2));
    put(&mut many, 0..5);
    assert_eq!(many.acked().len(), 4, "enough of them do not wait");
}

#[derive(Clone, Debug, Tuple)]
struct Visit {
    country: Text,
    second: u64,
}

#[test]
fn folders_are_made_by_time_and_key_and_few_files_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let out = FilesOut::new(folder.path(), FileFormat::JsonLines)
        .by_time_of(TimeFolders::Hour, |visit: &Visit| {
            UNIX_EPOCH + Duration::from_secs(visit.second)
        })
        .by_key("country", |visit: &Visit| &visit.country)
        .max_open_files(2);
    let setup = Setup::new().tick_every(TICK);
    let mut visits = BoltDriver::explicit(setup, move |cx| out.open(cx)).unwrap();
    for (country, second) in [("de", 0), ("../../etc", 0), ("fr", 3_600), ("de", 0)] {
        visits.execute(Visit { country: country.into(), second });
    }
    let hidden = files(folder.path()).into_keys().filter(|name| name.contains("/.")).count();
    assert_eq!(hidden, 2, "{:?}", files(folder.path()));
    visits.close();
    let found = files(folder.path());
    let folders: Vec<&str> = found.keys().map(|name| name.rsplit_once('/').unwrap().0).collect();
    assert_eq!(
        folders,
        [
            "1970-01-01/00/country=..%2F..%2Fetc",
            "1970-01-01/00/country=de",
            "1970-01-01/00/country=de",
            "1970-01-01/01/country=fr",
        ]
    );
    assert!(found.values().any(|text| text == "{\"country\":\"fr\",\"second\":3600}\n"));
    assert_eq!(visits.acked().len(), 4);
}

#[test]
fn what_a_crash_left_over_is_completed_or_put_aside_and_told() {
    for (leftover, ending) in [(Leftover::Complete, ".txt"), (Leftover::Aside, ".aside")] {
        let folder = tempfile::tempdir().unwrap();
        let hidden = folder.path().join("2026-03-01/.part-test-store-0-abc-000001.txt.part");
        fs::create_dir(hidden.parent().unwrap()).unwrap();
        fs::write(&hidden, "one\ntwo\nthr").unwrap();
        let other = folder.path().join(".part-test-other-0-abc-000001.txt.part");
        fs::write(&other, "of another component\n").unwrap();
        let again = store(lines(folder.path()).leftover(leftover));
        assert_eq!(again.counter("leftover-files"), 1);
        assert!(again.errors()[0].contains("abc-000001"), "{:?}", again.errors());
        assert!(other.exists() && !hidden.exists());
        let found = files(folder.path());
        let (name, text) = found.iter().find(|(name, _)| name.contains("2026")).unwrap();
        assert!(name.ends_with(ending), "{name}");
        let whole = if leftover == Leftover::Complete { "one\ntwo\n" } else { "one\ntwo\nthr" };
        assert_eq!(text, whole);
    }
}

#[test]
fn a_file_that_another_life_still_writes_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = store(lines(folder.path()));
    put(&mut first, 0..1);
    first.advance(TICK);
    let mut second = store(lines(folder.path()));
    put(&mut second, 1..2);
    assert_eq!(second.counter("leftover-files"), 0);
    first.close();
    second.close();
    let mut all = texts(folder.path());
    all.sort();
    assert_eq!(all, ["0\n", "1\n"]);
}

#[test]
fn a_folder_that_goes_bad_fails_tuples_and_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("out");
    let retry = Retry::new(TICK, TICK);
    let mut bad = store(lines(&place).max_records(1).retry(retry));
    put(&mut bad, 0..1);
    fs::rename(&place, folder.path().join("away")).unwrap();
    fs::write(&place, "a file is in the way").unwrap();
    put(&mut bad, 1..6);
    assert_eq!((bad.acked().len(), bad.failed().len(), bad.errors().len()), (1, 5, 1));
    assert!(bad.errors()[0].contains("out"), "{:?}", bad.errors());
    fs::remove_file(&place).unwrap();
    bad.advance(2 * TICK);
    put(&mut bad, 6..8);
    assert_eq!(bad.acked().len(), 2, "it works again");
}

#[test]
fn every_wrong_option_is_told_by_its_name() {
    let good = || lines(Path::new("/tmp/x"));
    assert_eq!(good().check(), Ok(()));
    for (wrong, option) in [
        (lines(Path::new("")), "folder"),
        (good().name("a/b"), "name"),
        (good().name(""), "name"),
        (good().by_key("../x", |line: &Line| &line.text), "by_key"),
        (good().max_bytes(0), "max_bytes"),
        (good().max_records(0), "max_records"),
        (good().max_age(Duration::ZERO), "max_age"),
        (good().flush_every(Duration::ZERO), "flush_every"),
        (good().flush_records(0), "flush_records"),
        (good().max_open_files(0), "max_open_files"),
        (good().retry(Retry::default().attempts(0)), "retry"),
    ] {
        assert_eq!(wrong.check().unwrap_err().option(), option);
    }
    let error = BoltDriver::explicit(Setup::new(), |cx| lines(Path::new("/proc/x")).open(cx));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`folder`") && error.contains("/proc/x"), "{error}");
}
