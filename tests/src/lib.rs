//! Words for tests of the whole system: a cluster of real processes, a private etcd, an audit.
//!
//! A test says what it claims in these words and nothing else: [`Cluster`] starts the `squall`
//! binary as a user would, [`Etcd`] is a store of its own, [`Audit`] reads what the `audit`
//! topology wrote. Everything listens on loopback, lives in a temporary folder, and ends with the
//! value that started it, by process id.

mod audit;
mod cluster;
mod etcd;
mod http;
mod process;
#[path = "../sim/mod.rs"]
pub mod sim;
mod wait;

pub use audit::{Audit, Number, Passage};
pub use cluster::{Cluster, Outcome, program, squall};
pub use etcd::Etcd;
pub use http::{get, post};
pub use nix::sys::signal::Signal;
pub use process::{Process, processes_below, rss_bytes, signal};
pub use wait::{DEADLINE, alone, until};
