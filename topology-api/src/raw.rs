//! The one place with `unsafe`: how tuples and short texts are written.
//!
//! Measured with a spout and a bolt that do nothing: with `Vec::push` and a string type that keeps
//! its length in its last byte, nine tenths of the time went into reading back from the stack, in
//! other pieces, what had just been written there. What is here is written once, where it stays.
#![expect(
    unsafe_code,
    reason = "measured: see above; each use says why it is sound, and is tested"
)]

mod column;
mod words;

pub(crate) use column::{Column, push};
pub(crate) use words::Words;
