//! Words for tests of the whole system: a cluster of real processes, a private etcd, an audit.
//!
//! A test says what it claims in these words and nothing else: [`Cluster`] starts the `squall`
//! binary as a user would, [`Etcd`] is a store of its own, [`Audit`] reads what the `audit`
//! topology wrote, [`ledger`] is a topology that writes down when everything happened.
//! [`SecureCluster`] has TLS, on the machines of a [`Network`]; a [`Disk`] can be full or read-only. Everything listens on loopback or in
//! namespaces of its own, lives in a temporary folder, and ends with the
//! value that started it, by process id.

mod audit;
mod cluster;
mod command;
mod disk;
mod etcd;
mod folder;
mod http;
pub mod ledger;
mod network;
mod process;
mod proxy;
mod secure;
#[cfg(feature = "servers")]
pub mod servers;
mod several;
#[path = "../sim/mod.rs"]
pub mod sim;
mod wait;

pub use audit::{Audit, Number, Passage};
pub use cluster::Cluster;
pub use command::{Outcome, program, squall};
pub use disk::Disk;
pub use etcd::Etcd;
pub use http::{exchange, exchange_over_tls, get, get_over_tls, post, read_until};
pub use network::{Machine, Network};
pub use nix::sys::signal::Signal;
pub use process::{Process, processes_below, rss_bytes, signal};
pub use proxy::{Proxy, Way, Weather};
pub use secure::SecureCluster;
#[cfg(feature = "servers")]
pub use servers::{Kafka, kcat};
pub use several::{Several, Shape};
pub use wait::{DEADLINE, alone, until};
