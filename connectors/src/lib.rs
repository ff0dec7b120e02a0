//! Sources and sinks of Squall topologies.
//!
//! Each system has a feature of its own, and none is in a default build: a topology pays for what it
//! uses. Every connector is a spout or a bolt like those that an author writes, on the public API
//! alone, so what it guarantees follows from at-least-once delivery and from when it acks.
//!
//! What all of them share stands here: how long to wait before the next try ([`Retry`]), what is known
//! of the way to a server ([`Circuit`]), where a password comes from ([`Secret`]), and how a wrong
//! option is told ([`WrongOption`]).

#[cfg(any(feature = "redis", feature = "http"))]
mod batches;
mod circuit;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "files")]
pub mod files;
mod option;
#[cfg(feature = "redis")]
mod redis;
mod retry;
mod secret;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "redis")]
pub use crate::redis::{
    Argument, Command, LookupOptions, Redis, RedisCommands, RedisLookup, RedisStreams, Refusal,
    Reply, StreamEntry, StreamOptions,
};
#[cfg(feature = "tls")]
pub use crate::tls::Tls;
pub use circuit::{Circuit, CircuitState};
#[cfg(feature = "http")]
pub use http::{Http, HttpOut, Request};
pub use option::WrongOption;
pub use retry::Retry;
pub use secret::{Secret, SecretText};

#[cfg(all(doctest, feature = "redis"))]
#[doc = include_str!("../../docs/connectors/redis.md")]
struct RedisPage;

#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../../docs/connectors/http.md")]
struct HttpPage;
/// The pages of the connectors, as their examples are compiled.
#[cfg(all(doctest, feature = "kafka"))]
#[doc = include_str!("../../docs/connectors/kafka.md")]
struct KafkaPage;
