//! Sources and sinks of Squall topologies.
//!
//! Each system has a feature of its own, and none is in a default build: a topology pays for what it
//! uses. Every connector is a spout or a bolt like those that an author writes, on the public API
//! alone, so what it guarantees follows from at-least-once delivery and from when it acks.
//!
//! What all of them share stands here: how long to wait before the next try ([`Retry`]), what is known
//! of the way to a server ([`Circuit`]), where a password comes from ([`Secret`]), where a source listens
//! (`Listen`), and how a wrong option is told ([`WrongOption`]).

#[cfg(any(feature = "redis", feature = "http"))]
mod batches;
#[cfg(any(feature = "push", feature = "relay"))]
pub mod buffer;
mod circuit;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "http")]
pub mod http;
#[cfg(any(feature = "push", feature = "relay"))]
#[cfg_attr(
    not(feature = "push"),
    expect(dead_code, reason = "a relay needs less than what posts do")
)]
mod intake;
#[cfg(feature = "kafka")]
pub mod kafka;
mod option;
#[cfg(feature = "push")]
pub mod push;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "relay")]
pub mod relay;
mod retry;
mod secret;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "tls")]
pub use crate::tls::Tls;
pub use circuit::{Circuit, CircuitState};
#[cfg(any(feature = "push", feature = "relay"))]
pub use intake::listen::Listen;
pub use option::WrongOption;
pub use retry::Retry;
pub use secret::{Secret, SecretText};

/// The examples of `docs/connectors/redis.md`.
#[cfg(all(doctest, feature = "redis"))]
#[doc = include_str!("../../docs/connectors/redis.md")]
struct RedisPage;

/// The examples of `docs/connectors/http.md`.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../../docs/connectors/http.md")]
struct HttpPage;

/// The examples of `docs/connectors/kafka.md`.
#[cfg(all(doctest, feature = "kafka"))]
#[doc = include_str!("../../docs/connectors/kafka.md")]
struct KafkaPage;

/// The examples of `docs/connectors/push.md`.
#[cfg(all(doctest, feature = "push"))]
#[doc = include_str!("../../docs/connectors/push.md")]
struct PushPage;

/// The examples of `docs/connectors/buffer.md`.
#[cfg(all(doctest, any(feature = "push", feature = "relay")))]
#[doc = include_str!("../../docs/connectors/buffer.md")]
struct BufferPage;

/// The examples of `docs/connectors/relay.md`.
#[cfg(all(doctest, feature = "relay"))]
#[doc = include_str!("../../docs/connectors/relay.md")]
struct RelayPage;
