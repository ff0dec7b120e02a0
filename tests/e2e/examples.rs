//! The examples as a reader runs them: by hand, each a process of its own, with and without
//! mistakes.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::{Outcome, Process, program};

/// Runs an example to its end, at the root of the repository.
fn run(example: &str, arguments: &[&str]) -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate lies in the root");
    let output = Command::new(program(example)).args(arguments).current_dir(root).output();
    let output = output.expect("an example starts");
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_file_that_cannot_be_read_ends_a_run_by_hand_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, directory) = (folder.path().join("missing"), folder.path());
    for (file, reason) in
        [(missing.as_path(), "No such file"), (directory, "it is a folder; name its files")]
    {
        let outcome = run("word_count", &[file.to_str().unwrap()]);
        assert_eq!(outcome.code, 70, "{outcome:?}");
        let last = outcome.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: lines cannot start: cannot open "), "{last}");
        assert!(last.contains(file.to_str().unwrap()) && last.contains(reason), "{last}");
    }
}

#[test]
fn what_components_counted_is_shown_at_the_end_of_a_run_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("binary");
    std::fs::write(&file, b"good\n\xff\xfe\n\x80").unwrap();
    let outcome = run("word_count", &[file.to_str().unwrap()]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("\nlines: invalid-utf8=2\n"), "{outcome:?}");
}

/// The result that a component left, as a run by hand prints it.
fn result_of(outcome: &str, component: &str) -> Value {
    let start = format!("result of {component} (task ");
    let line = outcome.lines().find_map(|line| line.strip_prefix(&start));
    let json = line.and_then(|line| line.split_once("): ")).map(|(_, json)| json);
    let json = json.unwrap_or_else(|| panic!("{component} left no result:\n{outcome}"));
    serde_json::from_str(json).expect("results are JSON")
}

#[test]
fn each_command_of_the_list_of_examples_runs_in_a_fresh_clone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate lies in the root");
    let list = std::fs::read_to_string(root.join("examples/README.md")).unwrap();
    let mut ran = 0;
    for command in list.split("`cargo run --release -p examples --bin ").skip(1) {
        let words: Vec<&str> = command.split('`').next().unwrap().split_whitespace().collect();
        let (example, arguments) = words.split_first().unwrap();
        let arguments = arguments.strip_prefix(&["--"]).unwrap_or(arguments);
        let outcome = run(example, arguments);
        assert_eq!(outcome.code, 0, "{words:?}: {outcome:?}");
        assert!(outcome.stdout.contains("\nresult of "), "{words:?}: {outcome:?}");
        ran += 1;
    }
    assert_eq!(ran, 9, "an example without a command, or one without this test");
}

#[test]
fn the_samples_come_to_what_their_lines_say() {
    let top = run("top_users", &["examples/data/visits.txt"]).stdout;
    assert_eq!(result_of(&top, "rank"), json!([["ann", 11], ["eve", 10], ["bob", 7]]));
    assert!(top.contains("\nparse: bad-lines=1\n"), "{top}");

    let orders = run("orders", &["examples/data/orders.csv"]).stdout;
    let days = json!({ "2026-03-01": 13_650, "2026-03-02": 2_110, "2026-03-03": 500 });
    assert_eq!(result_of(&orders, "report"), days);
    assert!(orders.contains("\ndays: late-orders=1\nparse: bad-lines=1\n"), "{orders}");

    let log = run("access_log", &["examples/data/access.log"]).stdout;
    assert!(log.contains("2026-03-01 09:00 / views=4 visitors=3\n"), "{log}");
    assert_eq!(result_of(&log, "report")[0], json!(["192.0.2.10", 4]));
}

#[test]
fn replayed_numbers_are_all_acked_and_their_replays_are_seen() {
    let outcome = run("replay", &["2000"]).stdout;
    let (numbers, tally) = (result_of(&outcome, "numbers"), result_of(&outcome, "tally"));
    assert_eq!((&numbers["emitted"], &numbers["acked"]), (&json!(2_000), &json!(2_000)));
    assert_eq!(tally["different"], 2_000, "nothing is lost");
    let replays = numbers["replays"].as_u64().expect("a count");
    assert!(replays > 0, "one in ten fails: {outcome}");
    assert_eq!(tally["seen"].as_u64(), Some(2_000 + replays), "each replay comes by");
}

#[test]
fn a_growing_log_is_followed_until_the_run_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let mut file = File::create(&log).unwrap();
    let mut command = Command::new(program("access_log"));
    command.arg("--follow").arg(&log);
    let mut example = Process::start(command, &folder.path().join("output"));
    let mut view = |times: &[&str]| {
        for time in times {
            let request = "\"GET / HTTP/1.1\" 200 1 \"-\" \"-\"";
            writeln!(file, "192.0.2.1 - - [01/Mar/2026:09:{time} +0000] {request}").unwrap();
        }
    };
    view(&["00:10", "01:00", "02:00"]);
    assert_eq!(example.line("2026-03-01 09:00 /"), "views=1 visitors=1");
    view(&["03:00", "04:00"]);
    assert_eq!(example.line("2026-03-01 09:02 /"), "views=1 visitors=1");
    assert_eq!(example.terminate(), Some(130), "{}", example.log());
    let output = example.log();
    assert!(output.contains("access-log was stopped after "), "{output}");
    assert_eq!(result_of(&output, "report"), json!([["192.0.2.1", 5]]), "{output}");
}

#[test]
fn an_example_without_its_input_says_what_to_name() {
    for example in ["word_count", "top_users", "orders", "access_log"] {
        let outcome = run(example, &[]);
        assert_eq!(outcome.code, 65, "{example}: {outcome:?}");
        assert!(outcome.stderr.contains("no input: name "), "{example}: {}", outcome.stderr);
    }
    let outcome = run("replay", &["many"]);
    assert_eq!(outcome.code, 65, "{outcome:?}");
    assert!(outcome.stderr.contains("\"many\" is not how many"), "{}", outcome.stderr);
}
