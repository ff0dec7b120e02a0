//! The status: what runs where, how it does, and why it is as it is.
//!
//! `model` makes plain data of the engine's knowledge; the same documents are served as JSON over
//! HTTP (`rest`), to the CLI, and as metrics (`prometheus`).

mod cluster;
pub mod component;
pub mod configuration;
mod connections;
mod dashboard;
mod documents;
pub mod events;
pub mod findings;
pub mod history;
mod letters;
mod log_level;
pub mod model;
mod own;
pub mod pace;
mod prometheus;
mod query;
mod rest;
#[cfg(test)]
mod size;
mod topology;
mod turned;

pub use model::{Topology, Worker};
pub use query::Query;

pub(crate) use connections::Connections;
#[cfg(feature = "otel")]
pub(crate) use rest::all_metrics;
pub(crate) use rest::{Document, Router, document, look};
