//! A durable buffer: records wait in files until they are done with, and survive the process.
//!
//! Who pushes something in gets an answer when it is safe, not when it was processed: the buffer takes
//! what the topology cannot take yet. What Flume calls a file channel. Records are appended to segments,
//! each with its length and its checksum; several that come together share one write and one `fsync`. A
//! segment goes when all of its records are done with. `engine` decides, the files around it are thin.

mod catalog;
mod engine;
mod options;
mod reader;
mod recovery;
mod reserve;
#[cfg(test)]
mod tests;
mod writer;

pub use self::options::{BufferError, BufferOptions, Durability, NotStored};

pub(crate) use self::catalog::{Appender, Opened, Rows};
pub(crate) use self::reader::Reader;

use topology_api::Tuple;

/// Opens the buffer of one task, with what it kept, for tuples of one type.
pub(crate) fn open<T: Tuple>(
    options: &BufferOptions,
    task: u32,
) -> Result<(Appender, Reader, Opened), BufferError> {
    let folder = options.folder.join(format!("task-{task}"));
    catalog::open(options, &folder, &T::schema().to_string())
}
