//! The runtime that a topology binary links: the life of a tuple, with the module that plays each
//! part.
//!
//! A binary hands its topology to [`main`] (`entry`). Run by hand it runs here and now (`local`);
//! started by a supervisor it is a worker (`remote`), told what to run over a Unix socket
//! (`control`; while the supervisor is away it reports to nimbus, `direct`). A spout's executor asks the spout for tuples and opens a tree for each
//! ([`executor`], [`engine::acking`]); groupings choose the target tasks ([`engine::routing`]);
//! batches go to mailboxes, or in numbered frames under credit to other workers ([`transport`],
//! [`engine::links`], [`engine::flow`]); bolts' executors call `execute` and settle with the
//! ledger that opened the tree.

mod async_io;
mod control;
mod direct;
mod door;
pub mod engine;
mod entry;
pub mod executor;
mod launch;
mod letters;
mod levels;
mod local;
mod log;
mod metrics;
mod remote;
mod report;
pub mod transport;
mod waiting;

pub use entry::main;
pub use local::{Finished, run_here};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The code of the README, compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The code of the page on delivery.
#[cfg(doctest)]
#[doc = include_str!("../../docs/delivery.md")]
struct Delivery;

/// The code of the page on groupings.
#[cfg(doctest)]
#[doc = include_str!("../../docs/groupings.md")]
struct Groupings;

/// The code of the page on writing a topology.
#[cfg(doctest)]
#[doc = include_str!("../../docs/writing-a-topology.md")]
struct WritingATopology;
