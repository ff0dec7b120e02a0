//! The word count that `squall demo` shows: its topology, its input, its live view.

mod input;
mod live;
mod outcome;
mod topology;
mod words;

pub(crate) use input::{default_files, readable};
pub(crate) use live::View;
pub(crate) use outcome::{Outcome, Progress};
pub(crate) use topology::{NAME, word_count};
