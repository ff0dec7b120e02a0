//! A project of one's own: from `squall new` to a cluster, and again after each change.
//!
//! Projects are built by cargo beside the tests, with what these were built with, and without a look at
//! the registry: so it costs the crates of Squall that a topology links once more, and no download.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::{Cluster, Outcome, Process, get, until};

/// A project that `squall new` made.
struct Project {
    name: &'static str,
    folder: PathBuf,
}

impl Project {
    fn new(name: &'static str, within: &Path) -> Self {
        let made = tests::squall().args(["new", name]).current_dir(within).output();
        let made = Outcome::from(made.expect("squall starts"));
        assert_eq!(made.code, 0, "{made:?}");
        Self { name, folder: within.join(name) }
    }

    /// A command in its folder, which builds into the folder of the tests.
    fn command(&self, mut command: Command) -> Command {
        command.current_dir(&self.folder).env("CARGO_TARGET_DIR", target());
        command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TERM_COLOR", "never");
        // As the workspace has it, so that what comes from the registry is not built again.
        command.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
        command
    }

    /// Runs cargo to its end, which must be a good one.
    fn cargo(&self, arguments: &[&str]) -> Outcome {
        let mut cargo = self.command(Command::new("cargo"));
        let outcome = Outcome::from(cargo.args(arguments).output().expect("cargo starts"));
        assert_eq!(outcome.code, 0, "cargo {arguments:?}: {outcome:?}");
        outcome
    }

    /// Its program, once it is built.
    fn binary(&self) -> String {
        target().join("debug").join(self.name).to_str().expect("it is UTF-8").to_owned()
    }

    fn source(&self) -> PathBuf {
        self.folder.join("src/main.rs")
    }

    /// Changes its source.
    fn change(&self, from: &str, to: &str) {
        let source = std::fs::read_to_string(self.source()).expect("it was made");
        assert!(source.contains(from), "`{from}` is in the source");
        std::fs::write(self.source(), source.replace(from, to)).expect("it is ours");
    }
}

/// Where the tests are built.
fn target() -> PathBuf {
    let squall = tests::program("squall");
    let target = squall.parent().and_then(Path::parent).expect("it is target/PROFILE/squall");
    target.to_owned()
}

#[test]
fn a_new_project_is_built_tested_validated_and_runs_on_a_cluster_as_it_is() {
    let cluster = Cluster::start(1, 1);
    let project = Project::new("my-heat", &cluster.scratch("projects"));
    project.cargo(&["build"]);
    let tested = project.cargo(&["test"]);
    assert!(tested.stdout.contains("3 passed"), "{tested:?}");
    let run = project.cargo(&["run", "--quiet"]);
    assert!(run.stdout.contains("hottest"), "it runs in one process: {run:?}");
    let binary = project.binary();
    let valid = cluster.squall(&["validate", &binary, "-o", "json"]).json();
    assert_eq!(valid["name"], project.name, "{valid}");
    cluster.does(&["submit", &binary, "--wait"]);
    let status = cluster.until_finished(project.name);
    let results: Vec<&Value> = status["results"].as_array().into_iter().flatten().collect();
    assert!(!results.is_empty(), "{status:#}");
    let results = serde_json::to_string(&results).unwrap();
    assert!(results.contains("roof") && results.contains("38"), "{results}");
}

/// What the cluster of `squall dev` says of the topology.
fn status(http: &str, name: &str) -> Value {
    let answer = get(http, &format!("/api/v1/topologies/{name}"));
    answer.ok().and_then(|(_, text)| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Waits until `squall dev` has said something so many times.
fn until_said(dev: &Process, what: &str, times: usize) {
    until(&format!("it says `{what}` {times} times"), || dev.log().matches(what).count() == times);
}

#[test]
fn a_change_is_built_and_submitted_again_and_one_that_does_not_compile_leaves_what_runs_alone() {
    let _alone = tests::alone();
    let scratch = tempfile::tempdir().unwrap();
    let project = Project::new("watched", scratch.path());
    project.change("return Ok(Next::Finished)", "return Ok(Next::Idle)");
    // The tests' patience is not for compilers.
    project.cargo(&["build"]);
    let mut dev = project.command(tests::squall());
    let temporary = scratch.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    dev.env("TMPDIR", &temporary);
    dev.args([
        "dev",
        "--watch",
        "--slots",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
    ]);
    let mut dev = Process::start(dev, &scratch.path().join("dev.log"));
    let http = dev.line("  status   http://");
    let http = http.trim_end_matches("/api/v1/cluster").to_owned();
    until_said(&dev, "  running  watched", 1);
    until("it runs", || status(&http, "watched")["status"] == "active");
    let first = status(&http, "watched");

    project.change("fn heat(", "fn heat(this does not compile ");
    until_said(&dev, "cannot build the topology", 1);
    assert!(dev.log().contains("src/main.rs:"), "what cargo says is shown: {}", dev.log());
    until_said(&dev, "waiting for a change", 1);
    let still = status(&http, "watched");
    assert_eq!((&still["id"], &still["status"]), (&first["id"], &"active".into()), "{still:#}");

    project.change("this does not compile ", "");
    project.change("t.bolt(\"hottest\"", "t.bolt(\"highest\"");
    until_said(&dev, "  running  watched", 2);
    until("the changed one runs", || {
        let now = status(&http, "watched");
        now["components"][1]["name"] == "highest" && now["status"] == "active"
    });
    assert_ne!(status(&http, "watched")["id"], first["id"], "it was submitted again");
    assert_eq!(dev.interrupt(), Some(0), "{}", dev.log());
    assert_eq!(tests::processes_below(&temporary), [0_u32; 0], "nothing is left");
}
