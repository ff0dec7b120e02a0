//! The access log of a web shop: its lines, what they come to, and traffic to try it with.
//!
//! Everything in here is pure, so what a topology counts as lines come can be held against a count of the
//! same lines at the end.

pub mod chance;
pub mod entry;
pub mod tally;
pub mod time;
pub mod traffic;
