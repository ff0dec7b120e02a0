//! Flow control: how much a worker may hold, and how much it may send to a task of another.

pub mod budget;
pub mod credit;

pub use budget::{Account, Budget, Shares, charge};
pub use credit::{Amount, Gate, WINDOW, Window, Windows};

#[cfg(test)]
mod tests;
