//! Servers of others, started by `tests/servers/NAME` on free ports of loopback.

mod redis;

pub use redis::RedisServer;
