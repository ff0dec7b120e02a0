//! Word counts equal the plain count of the same files, however many processes share the work.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tests::{Cluster, Outcome, alone};

use crate::path;

/// Lines of the input.
const LINES: u64 = 4_000;

/// Pieces that hold ten words in all: a ranking of ten is the whole count.
const PIECES: [&str; 16] = [
    "the",
    "The",
    "storm,",
    "\"squall\"",
    "rain.",
    "wind",
    "WIND!",
    "(cloud)",
    "été",
    "ÉTÉ",
    "sea",
    "well-known",
    "don't",
    "[sea]",
    "---",
    "storm",
];

/// Writes a file of words and returns its plain count, as the result of the topology writes it.
fn write(file: &Path) -> Value {
    let mut text = String::new();
    let mut chance = 1_u64;
    for line in 0..LINES {
        for _ in 0..line % 12 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let piece = PIECES[usize::try_from(chance >> 60).expect("four bits")];
            text.push_str(piece);
            text.push(' ');
        }
        text.push('\n');
    }
    std::fs::write(file, &text).expect("the folder of the test can be written to");
    plain_count(&text)
}

/// Counts the words of a text, by the rules of the README.
fn plain_count(text: &str) -> Value {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for piece in text.split_whitespace() {
        let word = piece.trim_matches(|it: char| !it.is_alphanumeric()).to_lowercase();
        if !word.is_empty() {
            *counts.entry(word).or_default() += 1;
        }
    }
    let words: u64 = counts.values().sum();
    let distinct = counts.len();
    let mut top: Vec<(String, u64)> = counts.into_iter().collect();
    top.sort_by_key(|(word, count)| (std::cmp::Reverse(*count), word.clone()));
    top.truncate(10);
    json!({ "words": words, "distinct": distinct, "top": top })
}

/// The result that the task of a component left.
fn result_of(status: &Value, component: &str) -> Value {
    let results = status["results"].as_array().expect("a status has results");
    let result = results.iter().find(|it| it["component"] == component);
    result.map(|it| it["value"].clone()).unwrap_or_default()
}

#[test]
fn word_counts_on_1_2_and_4_workers_over_etcd_equal_the_plain_count() {
    let cluster = Cluster::start(2, 2);
    let file = cluster.scratch("input").join("words.txt");
    let plain = write(&file);
    assert_eq!(plain["distinct"], 10, "the ranking would not hold every word");
    for (workers, fusion) in [(1, true), (1, false), (2, true), (4, true), (4, false)] {
        let name = format!("wc-{workers}-{fusion}");
        let (count, fusion) = (workers.to_string(), format!("fusion={fusion}"));
        cluster.does(&[
            "submit",
            &path("squall"),
            "--name",
            &name,
            "--workers",
            &count,
            "-c",
            &fusion,
            "--",
            file.to_str().unwrap(),
        ]);
        let status = cluster.until_finished(&name);
        assert_eq!(result_of(&status, "top"), plain, "{name}: the counts differ");
        let lines = &status["components"][0];
        assert_eq!(lines["name"], "lines");
        assert_eq!(lines["acked"], LINES, "{name}: not every line was acked once");
        assert_eq!(lines["failed_total"], 0, "{name}: nothing should fail: {lines}");
        cluster.does(&["kill", &name, "--wait"]);
    }
}

#[test]
fn the_word_count_of_the_examples_runs_on_two_workers() {
    let cluster = Cluster::start(1, 2);
    let file = cluster.scratch("input").join("words.txt");
    std::fs::write(&file, "to be or not to be\n".repeat(1_000)).unwrap();
    let file = file.to_str().unwrap();
    cluster.does(&["submit", &path("word_count"), "--workers", "2", "--", file]);
    let status = cluster.until_finished("word-count");
    let mut counts = BTreeMap::new();
    for result in status["results"].as_array().unwrap() {
        let top: Vec<(String, u64)> = serde_json::from_value(result["value"].clone()).unwrap();
        counts.extend(top);
    }
    let expected = [("be", 2_000), ("not", 1_000), ("or", 1_000), ("to", 2_000)];
    assert_eq!(counts, expected.map(|(word, count)| (word.to_owned(), count)).into());
}

#[test]
fn the_demo_on_its_embedded_store_equals_the_plain_count() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("words.txt");
    let plain = write(&file);
    let outcome = Outcome::of(&["demo", "--json", file.to_str().unwrap()]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let counted = outcome.json();
    assert_eq!(counted["lines"], LINES, "{counted}");
    assert_eq!(counted["acked"], LINES, "{counted}");
    assert_eq!(counted["failed"], 0, "{counted}");
    for part in ["words", "distinct", "top"] {
        assert_eq!(counted[part], plain[part], "{part} differ: {counted}");
    }
}
