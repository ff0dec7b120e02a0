//! Growing files in, rolling files out.
//!
//! [`FilesIn`] follows the files of a folder as they grow, are rotated, emptied and compressed, and emits
//! their records; its positions outlive the process. What decides is pure and stands in files of its own:
//! which bytes are a record (`splitter`), up to where a file is processed (`offsets`), by what a file is
//! known (`print`); what touches the disk is thin around it.
//!
//! [`FilesOut`] writes tuples to files that are hidden until they are complete, and acks tuples when they
//! are as safe as they have to be. When a file is complete (`rolling`) and where it stands (`partition`)
//! is decided by pure code, too.

mod content;
mod folder;
mod followed;
mod format;
mod input;
mod leftover;
mod offsets;
mod output;
mod part;
mod partition;
mod pattern;
mod positions;
mod print;
mod record;
mod replays;
mod rolling;
mod sink;
mod splitter;
mod spout;

pub use format::FileFormat;
pub use input::{FilesIn, FilesStart, Multiline, NotText, TooLong};
pub use leftover::Leftover;
pub use output::{FilesOut, Safe};
pub use partition::TimeFolders;
pub use record::{DeadRecord, FileBytes, FileLine, FromRecord, Record};
pub use sink::FilesSink;
pub use spout::{FilesSpout, RecordId};

#[cfg(doctest)]
#[doc = include_str!("../../docs/connectors/files.md")]
struct Page;
