//! What must hold of the whole: real processes, a real etcd, real kills.
//!
//! Each test starts a cluster of its own and has the machine to itself. They start the binaries
//! that lie beside them: `cargo build -p cli -p tests -p examples` first.

mod bad_binaries;
mod counts;
mod delivery;
mod detection;
mod ending;
mod examples;
mod failure;
mod fencing;
mod hostile;
mod input_files;
mod kills;
mod memory;
mod outages;
mod outputs;
mod trouble;
mod verbs;

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
