//! The letters of a topology through any history, and files that were cut off anywhere.

use proptest::prelude::*;

use super::*;

const ROOM: u64 = 1 << 20;

fn letter(worker: u32, (revision, restarts): (u64, u64), ticket: u64) -> DeadLetter {
    DeadLetter {
        component: "orders".to_owned(),
        reason: "error".to_owned(),
        attempts: 10,
        text: "{\"n\":1}".to_owned(),
        row: vec![7; 100],
        worker,
        epoch: Some(Epoch { revision, restarts }.into()),
        ticket,
        ..DeadLetter::default()
    }
}

fn append(kept: Keep) -> Vec<u8> {
    match kept {
        Keep::Append(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// What is told of letters, without where they stand.
fn gist(letters: &Letters) -> (Vec<DeadLetter>, u64, u64, BTreeMap<u32, Heard>) {
    let all = letters.behind(0).map(|letter| DeadLetter { replaying: false, ..letter });
    (all.collect(), letters.newest, letters.weight, letters.heard.clone())
}

#[derive(Clone, Debug)]
enum Step {
    Keep { worker: u32, restarts: u64, ticket: u64, bytes: usize },
    Discard(u64),
    Replay(u64),
    Renew(u64),
    Anew,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 1..12_u64;
    let step = prop_oneof![
        4 => (0..3_u32, 0..3_u64, 0..6_u64, 0..3_000_usize).prop_map(
            |(worker, restarts, ticket, bytes)| Step::Keep { worker, restarts, ticket, bytes }
        ),
        1 => number.clone().prop_map(Step::Discard),
        1 => number.clone().prop_map(Step::Replay),
        1 => number.prop_map(Step::Renew),
        1 => Just(Step::Anew),
    ];
    prop::collection::vec(step, 1..40)
}

/// The file written anew.
fn anew(letters: &Letters, file: &[u8]) -> Vec<u8> {
    let mut fresh = letters.beginning();
    for number in letters.numbers() {
        let place = letters.place(number).unwrap();
        let at = usize::try_from(place.offset).unwrap();
        let whole = letters.whole(number, &file[at..at + place.bytes]).unwrap();
        fresh.extend(Letters::record(whole));
    }
    fresh
}

proptest! {
    #[test]
    fn a_file_that_was_cut_anywhere_reads_as_what_came_before(steps in steps(), cut in 0.0..1.0) {
        const MAX: u64 = 12 << 10;
        let (mut letters, mut file) = (Letters::default(), Vec::new());
        let mut before = vec![(0, gist(&letters))];
        for step in steps {
            match step {
                Step::Keep { worker, restarts, ticket, bytes } => {
                    let mut letter = letter(worker, (5, restarts), ticket);
                    letter.row = vec![1; bytes];
                    if let Keep::Append(more) = letters.keep(letter, MAX) {
                        file.extend(more);
                    }
                }
                Step::Discard(number) => {
                    if let Ok(more) = letters.discard(number) {
                        file.extend(more);
                    }
                }
                Step::Replay(number) => {
                    if letters.begin_replay(number).is_ok() {
                        prop_assert!(letters.discard(number).is_err(), "it is under way");
                        prop_assert!(letters.begin_replay(number).is_err(), "once at a time");
                        file.extend(letters.replayed(number).unwrap_or_default());
                    }
                }
                Step::Renew(number) => {
                    let reason = "panic".to_owned();
                    let (attempts, last_failed_ms) = (3, 99);
                    let error = String::new();
                    let renewed = LetterRenewed { number, reason, error, attempts, last_failed_ms };
                    file.extend(letters.renew(renewed).unwrap_or_default());
                }
                Step::Anew => {
                    file = anew(&letters, &file);
                    let told = gist(&letters);
                    letters = Letters::read(&file).0;
                    prop_assert_eq!(gist(&letters), told, "a file written anew says the same");
                    before.clear();
                }
            }
            prop_assert!(letters.weight <= MAX, "the bound is kept");
            prop_assert_eq!(letters.file_bytes(), file.len() as u64);
            before.push((file.len(), gist(&letters)));
        }
        let begun = before[0].0;
        let at = begun + ((file.len() - begun) as f64 * cut) as usize;
        let (again, whole) = Letters::read(&file[..at]);
        let expected = before.iter().rev().find(|(bytes, _)| *bytes <= at).unwrap();
        prop_assert_eq!(whole, expected.0, "the torn record is left out");
        prop_assert_eq!(gist(&again), expected.1.clone());
    }

    #[test]
    fn a_file_of_anything_is_read_without_a_panic(file in prop::collection::vec(any::<u8>(), 0..400)) {
        let (letters, whole) = Letters::read(&file);
        prop_assert!(whole <= file.len() && letters.count() <= file.len());
    }
}

#[test]
fn a_flipped_bit_ends_what_is_read() {
    let mut letters = Letters::default();
    let mut file = append(letters.keep(letter(0, (5, 0), 1), ROOM));
    let first = file.len();
    file.extend(append(letters.keep(letter(0, (5, 0), 2), ROOM)));
    for at in first..file.len() {
        file[at] ^= 4;
        assert_eq!(Letters::read(&file).0.count(), 1, "the bit at {at}");
        file[at] ^= 4;
    }
}

#[test]
fn what_is_handed_over_again_is_kept_once_also_when_it_is_gone_since() {
    let mut letters = Letters::default();
    let mut file = append(letters.keep(letter(0, (5, 0), 1), ROOM));
    assert_eq!(letters.keep(letter(0, (5, 0), 1), ROOM), Keep::Known);
    file.extend(letters.discard(1).unwrap());
    file = anew(&letters, &file);
    let (mut letters, _) = Letters::read(&file);
    assert_eq!(letters.keep(letter(0, (5, 0), 1), ROOM), Keep::Known, "after a restart too");
    append(letters.keep(letter(0, (5, 1), 1), ROOM));
    assert_eq!(letters.behind(0).next().unwrap().number, 2, "no number is given twice");
}

#[test]
fn an_incarnation_that_was_replaced_is_refused() {
    let mut letters = Letters::default();
    append(letters.keep(letter(3, (5, 1), 1), ROOM));
    assert_eq!(letters.keep(letter(3, (5, 0), 2), ROOM), Keep::Retired);
    assert_eq!(letters.keep(letter(3, (4, 9), 2), ROOM), Keep::Retired);
    append(letters.keep(letter(4, (4, 9), 2), ROOM));
    append(letters.keep(letter(3, (6, 0), 1), ROOM));
}

#[test]
fn after_the_store_went_back_lower_epochs_are_taken() {
    let mut letters = Letters::default();
    let mut file = append(letters.keep(letter(3, (50, 1), 1), ROOM));
    file.extend(letters.forget_epochs());
    let (mut letters, _) = Letters::read(&file);
    append(letters.keep(letter(3, (5, 0), 1), ROOM));
    assert_eq!(letters.numbers().collect::<Vec<_>>(), [1, 2], "what was kept stays");
}

#[test]
fn where_there_is_no_room_letters_are_refused_until_some_are_dropped() {
    let mut letters = Letters::default();
    let max = 3 * weight(&letter(0, (5, 0), 1));
    for ticket in 1..=3 {
        append(letters.keep(letter(0, (5, 0), ticket), max));
    }
    for _ in 0..2 {
        assert_eq!(letters.keep(letter(0, (5, 0), 4), max), Keep::Full);
    }
    let told = letters.report("t");
    assert_eq!((told.refused, told.bytes), (2, max));
    assert_eq!(told.by_component["orders"], 3);
    letters.discard(2).unwrap();
    append(letters.keep(letter(0, (5, 0), 4), max));
    assert_eq!(letters.numbers().collect::<Vec<_>>(), [1, 3, 4]);
}

#[test]
fn history_is_written_off_when_it_is_most_of_the_file() {
    let mut letters = Letters::default();
    let mut ticket = 0;
    while !letters.is_mostly_history() {
        ticket += 1;
        append(letters.keep(letter(0, (5, 0), ticket), u64::MAX));
        if ticket > 10 {
            letters.discard(ticket - 10).unwrap();
        }
        assert!(letters.file_bytes() < 3 << 20, "it grows without an end");
    }
    assert!(ticket > 1_000, "not at every step");
}
