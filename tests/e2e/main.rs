//! What must hold of the whole: real processes, a real etcd, real kills.
//!
//! Each test starts a cluster of its own and has the machine to itself. They start the binaries
//! that lie beside them: `cargo build -p cli -p tests -p examples` first.

mod bad_binaries;
mod chaos;
mod counts;
mod dead_letters;
mod delivery;
mod detection;
mod disks;
mod ending;
mod examples;
mod failure;
mod faults;
mod fencing;
mod high_availability;
mod hostile;
mod input_files;
mod insight;
mod kills;
mod limits;
mod look;
mod memory;
mod metrics;
mod moves;
#[cfg(feature = "otel")]
mod otel;
mod outages;
mod outputs;
mod projects;
mod rest;
mod store_trouble;
mod tls;
mod tools;
mod traces;
mod trouble;
mod verbs;

use tests::ledger::{History, broken};
use tests::{Audit, Cluster, program, until};

/// Bytes of the record of a good thousand tuples.
const LOAD_BYTES: u64 = 20_000;

/// The path of a program, as an argument.
fn path(name: &str) -> String {
    program(name).to_str().expect("the path of the workspace is UTF-8").to_owned()
}

/// Submits an `audit` topology under a name, waits until its workers run, and returns its record.
fn submit_audit(cluster: &Cluster, name: &str, flags: &[&str], arguments: &[&str]) -> Audit {
    let audit = Audit::of(cluster.scratch(name));
    let (binary, folder) = (path("audit"), audit.argument());
    let submit = ["submit", &binary, "--name", name, "--wait"];
    cluster.does(&[&submit[..], flags, &["--", &folder], arguments].concat());
    audit
}

/// Waits until sinks have executed a good thousand tuples more.
#[track_caller]
fn until_flowing(audit: &Audit, what: &str) {
    let before = audit.written();
    until(what, || audit.written() >= before + LOAD_BYTES);
}

/// Says what was measured, to whoever runs the tests with `--nocapture`.
fn note(text: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Submits the topology that writes ledgers under the name `ledger`, so many numbers a second from
/// two spouts, and returns them.
fn submit_ledger(cluster: &Cluster, rate: u64, flags: &[&str]) -> History {
    let folder = cluster.scratch("ledger");
    let (binary, written) = (path("audit"), format!("--folder={}", folder.display()));
    let submit = ["submit", &binary, "--name", "ledger", "--wait"];
    let rate = format!("--rate={rate}");
    let tasks = ["--spouts=2", "--relays=3", "--sinks=3"];
    cluster.does(&[&submit[..], flags, &["--", &written, &rate], &tasks].concat());
    History::of(folder)
}

/// Waits until sinks have executed so many tuples more.
#[track_caller]
fn until_executed(history: &mut History, more: usize, what: &str) {
    let before = history.executed().len();
    until(what, || history.refresh().is_ok() && history.executed().len() >= before + more);
}

/// Lets the spouts of a ledger end, and asserts that every promise was kept.
fn end_ledger(cluster: &Cluster, history: &mut History, what: &str) {
    history.let_end().expect("the folder of the test can be written to");
    cluster.until_finished("ledger");
    history.refresh().expect("ledgers can be read");
    let broken = broken(history, true);
    assert!(broken.is_empty(), "{what}: {broken:#?}");
    assert_eq!(history.open(), 0, "{what}: not everything was acked");
}
