//! Flow control between workers: how much one may send to a task of another.

pub mod credit;

pub use credit::{Amount, Gate, WINDOW, Window, Windows};

#[cfg(test)]
mod tests;
