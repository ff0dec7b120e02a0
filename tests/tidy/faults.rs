//! Rules for `tests/faults.md`: every fault has its row, and every test that a row names exists.

use crate::documents::code_spans;
use crate::{files, has_word, read, report};

/// The last fault of the catalogue.
const FAULTS: usize = 48;

/// Whether a span is the name of a test: of several words, and nothing else.
fn names_a_test(span: &str) -> bool {
    let word = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    span.matches('_').count() >= 3 && span.chars().all(|it| word(it) || it == '_')
}

#[test]
fn every_fault_has_its_row_with_tests_that_exist() {
    let page = read("tests/faults.md").expect("there is a page of faults");
    let sources = files(&["rs"]);
    let exists = |name: &str| {
        let function = format!("fn {name}");
        sources.iter().any(|file| has_word(&file.text, &function))
    };
    let mut breaches = Vec::new();
    for number in 1..=FAULTS {
        let start = format!("| F{number} |");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with(&start)).collect();
        match rows[..] {
            [row] if row.contains("missing") || code_spans(row).into_iter().any(names_a_test) => {}
            [_] => breaches.push(format!("F{number} names no test and does not say why")),
            _ => breaches.push(format!("F{number} has {} rows", rows.len())),
        }
    }
    for name in code_spans(&page).into_iter().filter(|span| names_a_test(span)) {
        if !exists(name) {
            breaches.push(format!("`{name}`: no such test"));
        }
    }
    report("keep tests/faults.md to the tests there are", &breaches);
}

#[test]
fn names_of_tests_are_told_from_other_code() {
    assert!(names_a_test("a_worker_is_killed"));
    assert!(!names_a_test("tests/e2e") && !names_a_test("Drop") && !names_a_test("max_pending"));
}
