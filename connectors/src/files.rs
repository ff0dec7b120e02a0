//! Growing files in, rolling files out.
//!
//! [`FilesIn`] follows the files of a folder as they grow, are rotated, emptied and compressed, and emits
//! their records; its positions outlive the process. What decides is pure and stands in files of its own:
//! which bytes are a record (`splitter`), up to where a file is processed (`offsets`), by what a file is
//! known (`print`); what touches the disk is thin around it.

mod content;
mod folder;
mod followed;
mod input;
mod offsets;
mod pattern;
mod positions;
mod print;
mod record;
mod replays;
mod splitter;
mod spout;

pub use input::{FilesIn, FilesStart, Multiline, NotText, TooLong};
pub use record::{DeadRecord, FileBytes, FileLine, FromRecord, Record};
pub use spout::{FilesSpout, RecordId};
