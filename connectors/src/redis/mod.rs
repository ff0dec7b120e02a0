//! Redis: commands out, streams in, look-ups.
//!
//! [`Redis`] says where a server is. [`RedisCommands`] runs commands of tuples and acks them when the
//! server has answered; [`RedisStreams`] reads streams by consumer groups; [`RedisLookup`] joins tuples
//! with what the server knows, through a cache.
//!
//! Only `redis/client.rs` names the crate of the client.

mod cache;
mod client;
mod commands;
mod link;
mod lookup;
mod options;
mod streams;
mod verdicts;

pub use self::client::{Argument, Command, Refusal, Reply};
pub use self::commands::RedisCommands;
pub use self::lookup::{LookupOptions, RedisLookup};
pub use self::options::Redis;
pub use self::streams::{RedisStreams, StreamEntry, StreamOptions};
