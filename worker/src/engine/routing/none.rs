//! The none grouping: any task, in the sender's thread if it can be.
//!
//! A shuffle that leaves its thread only when no task there has room. Storm plans the same for its
//! none grouping and shuffles until then.

use super::{Shuffle, Targets};

pub(super) fn new(targets: &Targets, seed: u64) -> Shuffle {
    Shuffle::new(targets, seed).staying()
}
