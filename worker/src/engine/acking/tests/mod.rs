//! The ledger by itself, and whole worlds of trees on plain data.

mod actors;
mod deaths;
mod edges;
mod ledger;
mod model;
mod trees;
mod world;
