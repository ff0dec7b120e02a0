//! Ledgers: what spouts and sinks of a topology write down, with times, and what it comes to.
//!
//! [`declare`] is the topology, [`History`] reads its files as they grow, [`broken`] holds them
//! against the invariants of `tests/faults.md`. Every figure about a fault is taken from these files
//! and from nothing that a daemon says of itself.

mod check;
mod history;
mod record;
mod topology;

pub use check::{Broken, broken};
pub use history::{History, Task};
pub use record::{Attempt, Executed, Step, Told, now_ns};
pub use topology::declare;
