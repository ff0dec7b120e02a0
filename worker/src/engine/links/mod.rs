//! Links between workers: which frames arrived, which are still owed, which are lost.

pub mod handshake;
pub mod sequence;

pub use handshake::{Hello, Identity, Refusal};
pub use sequence::{ReceiveLink, SendLink};

#[cfg(test)]
mod tests;
