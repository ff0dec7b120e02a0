//! Sources and sinks of Squall topologies.
//!
//! Each system has a feature of its own, and none is in a default build: a topology pays for what it
//! uses. Every connector is a spout or a bolt like those that an author writes, on the public API
//! alone, so what it guarantees follows from at-least-once delivery and from when it acks.
//!
//! What all of them share stands here: how long to wait before the next try ([`Retry`]), what is known
//! of the way to a server ([`Circuit`]), where a password comes from ([`Secret`]), and how a wrong
//! option is told ([`WrongOption`]).

mod circuit;
#[cfg(feature = "files")]
pub mod files;
mod option;
mod retry;
mod secret;

pub use circuit::{Circuit, CircuitState};
pub use option::WrongOption;
pub use retry::Retry;
pub use secret::{Secret, SecretText};
