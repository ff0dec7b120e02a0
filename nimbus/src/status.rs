//! The status: what runs where, how it does, and why it is as it is.
//!
//! `model` makes plain data of the engine's knowledge; the same documents are served as JSON over
//! HTTP (`rest`), to the CLI, and as metrics (`prometheus`).

mod cluster;
pub mod component;
mod connections;
mod documents;
pub mod events;
pub mod findings;
pub mod history;
mod letters;
pub mod model;
pub mod pace;
mod prometheus;
mod query;
mod rest;
mod topology;
mod turned;

pub use query::Query;

pub(crate) use connections::Connections;
pub(crate) use rest::{Document, Router, document};
