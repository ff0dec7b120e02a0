//! The real servers of others: each comes from `tests/servers/NAME`, runs in the foreground as a child
//! of the test, and is killed by its id with the value that started it.

mod kafka;

pub use self::kafka::{Kafka, kcat};
