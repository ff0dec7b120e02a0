//! Letters in real files: over the death of who writes them, and on a disk that takes no more.

use std::fs;

use proto::store::Epoch;
use proto::supervisor::{DeadLetter, LetterRenewed};

use super::*;

const ROOM: u64 = 64 << 20;

fn letter(ticket: u64, bytes: usize) -> DeadLetter {
    DeadLetter {
        component: "orders".to_owned(),
        reason: "error".to_owned(),
        attempts: 3,
        text: "{\"n\":1}".to_owned(),
        row: vec![7; bytes],
        epoch: Some(Epoch { revision: 5, restarts: 0 }),
        ticket,
        ..DeadLetter::default()
    }
}

fn keep(files: &mut Files, ticket: u64, bytes: usize) {
    let kept = files.keep("t", letter(ticket, bytes), ROOM).unwrap();
    assert!(matches!(kept, Keep::Append(_)), "{kept:?}");
    assert_eq!(files.sync(), Failed::new());
}

fn numbers(files: &Files) -> Vec<u64> {
    files.page("t", 0, 100).letters.iter().map(|letter| letter.number).collect()
}

#[test]
fn letters_outlive_who_wrote_them_and_a_torn_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let mut files = Files::open(path.clone());
    for ticket in 1..=3 {
        keep(&mut files, ticket, 50);
    }
    assert_eq!(files.discard("t", &[2, 9]).refused.keys().copied().collect::<Vec<_>>(), [9]);
    let (reason, attempts) = ("panic".to_owned(), 4);
    let error = "no such user".to_owned();
    files.renew("t", LetterRenewed { number: 3, reason, error, attempts, last_failed_ms: 77 });
    assert_eq!(files.sync(), Failed::new());
    drop(files);

    let whole = fs::read(path.join("t")).unwrap();
    fs::write(path.join("t"), [&whole[..], b"torn"].concat()).unwrap();
    let mut files = Files::open(path.clone());
    assert_eq!(numbers(&files), [1, 3]);
    assert_eq!(fs::read(path.join("t")).unwrap(), whole, "what was torn is gone");
    let third = files.whole("t", 3).unwrap();
    assert_eq!((third.reason.as_str(), third.attempts, third.last_failed_ms), ("panic", 7, 77));
    assert_eq!(third.error, "no such user");
    assert_eq!(third.row, [7; 50]);
    let again = files.keep("t", letter(3, 50), ROOM).unwrap();
    assert_eq!(again, Keep::Known, "it was handed over before");
    keep(&mut files, 4, 50);
    assert_eq!(numbers(&files), [1, 3, 4]);
}

#[test]
fn a_file_of_history_is_written_anew_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let mut files = Files::open(path.clone());
    let mut longest = 0;
    for ticket in 1..=40 {
        keep(&mut files, ticket, 100 << 10);
        if ticket > 2 {
            files.discard("t", &[ticket - 1]);
        }
        if ticket == 39 {
            files.letters("t").unwrap().begin_replay(1).unwrap();
        }
        assert_eq!(files.sync(), Failed::new());
        longest = longest.max(fs::metadata(path.join("t")).unwrap().len());
    }
    assert!(longest < 2 << 20, "{longest} bytes, of which two letters are alive");
    assert_eq!(numbers(&files), [1, 40]);
    assert!(files.page("t", 0, 1).letters[0].replaying, "the mark stays");
    assert_eq!(files.whole("t", 1).unwrap().row.len(), 100 << 10);
    drop(files);
    let files = Files::open(path);
    assert_eq!(numbers(&files), [1, 40]);
    assert!(!files.page("t", 0, 1).letters[0].replaying, "nobody waits for it any more");
}

#[test]
fn what_the_disk_does_not_take_is_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let mut files = Files::open(path.clone());
    keep(&mut files, 1, 50);
    // A file that cannot be written stands in for a disk that takes no more.
    let log = files.logs.get_mut("t").unwrap();
    let whole = std::mem::replace(&mut log.file, File::open("/dev/full").unwrap());
    files.keep("t", letter(2, 50), ROOM).unwrap();
    let failed = files.sync();
    assert!(failed["t"].contains("letters/t"), "{failed:?}");
    drop(whole);
    keep(&mut files, 2, 50);
    assert_eq!(numbers(&files), [1, 2], "it is kept when it is handed over again");
}

#[test]
fn the_letters_of_a_topology_that_is_gone_are_removed_and_no_name_leads_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let mut files = Files::open(path.clone());
    keep(&mut files, 1, 50);
    files.remove("t").unwrap();
    assert!(!path.join("t").exists() && files.reports().is_empty());
    files.remove("t").unwrap();
    files.keep("../t", letter(1, 50), ROOM).unwrap_err();
    assert!(!folder.path().join("t").exists());
}
