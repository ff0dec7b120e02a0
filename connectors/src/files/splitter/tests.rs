//! Records out of files that are read in pieces of any length.

use super::*;
use proptest::prelude::*;

/// What a file holds, read in pieces of these lengths: records and what was too long; found many at once
/// where that is possible, and one by one.
fn split(rule: &Rule, max: usize, bytes: &[u8], pieces: &[usize]) -> Vec<(u64, String)> {
    let at_once = split_by(true, rule, max, (bytes, pieces));
    assert_eq!(at_once, split_by(false, rule, max, (bytes, pieces)), "at once, and one by one");
    at_once
}

fn split_by(
    at_once: bool,
    rule: &Rule,
    max: usize,
    (bytes, pieces): (&[u8], &[usize]),
) -> Vec<(u64, String)> {
    let mut splitter = Splitter::new(rule.clone(), max);
    let (mut found, mut at) = (Vec::new(), 0);
    let mut pieces = pieces.iter().copied().chain(std::iter::repeat(1_000));
    loop {
        drain(&mut splitter, at_once, &mut found);
        assert_eq!(splitter.read_at(), at as u64, "it knows where it is");
        // As if the file had to wait for its next turn.
        splitter.turn_to(splitter.resume());
        at = usize::try_from(splitter.read_at()).unwrap();
        let piece = pieces.next().unwrap().clamp(1, 1_000) + max + 3;
        let piece = piece.min(bytes.len() - at);
        splitter.room()[..piece].copy_from_slice(&bytes[at..at + piece]);
        splitter.filled(piece);
        at += piece;
        if at == bytes.len() {
            drain(&mut splitter, at_once, &mut found);
            while let Some(it) = splitter.rest() {
                note(&splitter, it, &mut found);
            }
            assert!(splitter.unread().is_empty());
            return found;
        }
    }
}

fn drain(splitter: &mut Splitter, at_once: bool, found: &mut Vec<(u64, String)>) {
    loop {
        let lines = |start, bytes: &[u8], text: Option<&str>| {
            assert_eq!(text, str::from_utf8(bytes).ok(), "its text is looked at");
            found.push((start, String::from_utf8_lossy(bytes).into_owned()));
        };
        if at_once && splitter.lines(true, lines).is_some() {
            continue;
        }
        let Some(it) = splitter.next() else { return };
        note(splitter, it, found);
    }
}

fn note(splitter: &Splitter, it: Found, found: &mut Vec<(u64, String)>) {
    let text = |bytes| String::from_utf8_lossy(splitter.bytes(bytes)).into_owned();
    match it {
        Found::Record { start, bytes, .. } => found.push((start, text(bytes))),
        Found::TooLong { start, bytes } => found.push((start, text(bytes) + "~")),
        Found::Passed { .. } => {}
    }
}

fn texts(rule: &Rule, max: usize, bytes: &str) -> Vec<String> {
    let found = split(rule, max, bytes.as_bytes(), &[]);
    found.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn lines_are_records_without_their_ends() {
    assert_eq!(texts(&Rule::Line, 9, "a\r\n\nb\rc\nd"), ["a", "", "b\rc", "d"]);
}

#[test]
fn lines_of_any_length_are_found_whether_they_are_text_or_not() {
    let mut bytes = Vec::new();
    for number in 0..5_000_usize {
        // Some are longer than what is searched at once, and more than are taken at once are short.
        let length = if number % 700 == 0 { 70_000 } else { number * 7_919 % (1 + number / 20) };
        bytes.extend(std::iter::repeat_n(if number % 999 == 0 { 0xff } else { b'x' }, length));
        bytes.push(b'\n');
    }
    let lines = bytes.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
    let lines: Vec<String> = lines.map(|it| String::from_utf8_lossy(it).into_owned()).collect();
    let found = split(&Rule::Line, 100_000, &bytes, &[]);
    assert!(found.iter().map(|(_, text)| text).eq(&lines), "{} of {}", found.len(), lines.len());
}

#[test]
fn lines_that_belong_together_are_one_record() {
    let begins = Rule::Begins(Regex::new("^[0-9]").unwrap());
    let text = "1 oops\n  at a\r\n  at b\n2 fine\n3 oops\n  at c";
    let records = ["1 oops\n  at a\r\n  at b", "2 fine", "3 oops\n  at c"];
    assert_eq!(texts(&begins, 99, text), records);
    let continues = Rule::Continues(Regex::new("^ ").unwrap());
    assert_eq!(texts(&continues, 99, text), records);
}

#[test]
fn what_is_too_long_is_told_once_and_passed_over() {
    assert_eq!(
        texts(&Rule::Line, 3, "abcd\nabc\r\nabcdefghijklm\nx\n"),
        ["abc~", "abc", "abc~", "x"]
    );
    let begins = Rule::Begins(Regex::new("^[0-9]").unwrap());
    let text = "1\n a\n b\n c\n2\n3 very long\n x\n4\n";
    assert_eq!(texts(&begins, 6, text), ["1\n a\n ~", "2", "3 very~", "4"]);
}

#[test]
fn a_flush_gives_the_whole_lines_of_the_last_record() {
    let mut splitter = Splitter::new(Rule::Begins(Regex::new("^[0-9]").unwrap()), 99);
    splitter.room()[..9].copy_from_slice(b"1\n a\n b c");
    splitter.filled(9);
    assert_eq!(splitter.next(), None);
    let found = splitter.flush().unwrap();
    assert_eq!(found, Found::Record { start: 0, bytes: 0..4, next: 5 });
    assert_eq!((splitter.flush(), splitter.unread()), (None, &b" b c"[..]));
}

#[test]
fn a_line_without_an_end_takes_no_memory() {
    let mut splitter = Splitter::new(Rule::Line, 1_000);
    let mut told = 0;
    for _ in 0..4_096 {
        splitter.room().fill(b'x');
        splitter.filled(BLOCK_BYTES);
        told += std::iter::from_fn(|| splitter.next()).count();
    }
    assert_eq!((told, splitter.read_at()), (1, 1 << 30));
    assert!(splitter.buffer.len() <= 4 * BLOCK_BYTES, "{}", splitter.buffer.len());
}

proptest! {
    #[test]
    fn records_do_not_depend_on_how_a_file_is_read(
        text in "[ab1 \r\n]{0,200}", max in 1_usize..30,
        pieces in prop::collection::vec(1_usize..40, 0..40), rule in 0..3,
    ) {
        let rule = match rule {
            0 => Rule::Line,
            1 => Rule::Begins(Regex::new("^1").unwrap()),
            _ => Rule::Continues(Regex::new("^ ").unwrap()),
        };
        let whole = split(&rule, max, text.as_bytes(), &[]);
        prop_assert_eq!(split(&rule, max, text.as_bytes(), &pieces), whole.clone());
        if matches!(rule, Rule::Line) {
            let lines: Vec<String> = text.split_inclusive('\n').map(|line| {
                let line = line.strip_suffix('\n').map_or(line, |it| it.strip_suffix('\r').unwrap_or(it));
                if line.len() <= max { line.to_owned() } else { line[..max].to_owned() + "~" }
            }).collect();
            prop_assert_eq!(whole.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), lines);
        }
    }
}
