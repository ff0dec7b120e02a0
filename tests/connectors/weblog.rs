//! The whole pipeline of `examples/weblog`, which kills a worker, the broker and the collector on its way,
//! and holds every number against a batch count over the files.

use std::path::Path;
use std::process::Command;

use tests::{Outcome, alone, program};

/// Log lines a second: what binaries of the debug profile keep up with on a small machine.
const RATE: &str = "2000";

/// Seconds of traffic; a quarter of it lies between two kills.
const SECONDS: &str = "40";

/// The number in front of `what` in the line that the comparison ends with.
fn number(summary: &str, what: &str) -> u64 {
    let before = summary.split(what).next().filter(|before| before.len() < summary.len());
    let word = before.and_then(|before| before.split_whitespace().last());
    let number = word.and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no number before `{what}` in `{summary}`"))
}

#[test]
fn a_pipeline_whose_worker_broker_and_collector_are_killed_counts_every_line() {
    let _alone = alone();
    let squall = program("squall");
    assert!(program("weblog_check").is_file());
    let built = squall.parent().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/weblog/run");
    let mut command = Command::new(script);
    command.args(["--check", "--rate", RATE, "--seconds", SECONDS, "--built"]).arg(built);
    let ran = Outcome::from(command.output().unwrap());
    let told = format!("{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, 0, "{told}");

    for killed in ["a worker of the analysis", "the broker", "the worker of the collector"] {
        assert!(ran.stdout.contains(&format!("{killed} is killed")), "{killed}: {told}");
    }
    for planted in ["flood", "scan", "errors"] {
        assert!(ran.stdout.contains(&format!("found: \"{planted}\"")), "{planted}: {told}");
    }
    let summary = ran.stdout.lines().last().unwrap();
    assert_eq!(number(summary, " wrong;"), 0, "{told}");
    let (lines, twice) = (number(summary, " lines,"), number(summary, " counted twice"));
    assert!(number(summary, " numbers compared") > 1_000, "it compared too little: {told}");
    assert!(lines > 60_000, "there was too little traffic: {told}");
    // At least once: what was open at a kill is counted again, and no more than that.
    assert!(twice < lines / 2, "{twice} of {lines} were counted twice: {told}");
    super::files::note(summary);
}
