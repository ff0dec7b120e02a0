//! Servers of others, started by `tests/servers/NAME` on free ports of loopback.

mod receiver;
mod redis;

pub use receiver::{Received, Receiver};
pub use redis::RedisServer;
