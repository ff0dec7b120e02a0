//! Servers of others: each comes from `tests/servers/NAME`, runs in the foreground on free ports of loopback
//! as a child of the test, and is killed by its id with the value that started it.

mod kafka;
mod receiver;
mod redis;

pub use kafka::{Kafka, kcat};
pub use receiver::{Received, Receiver};
pub use redis::RedisServer;
