//! The topologies that are measured, one a file, connected as the peers connect theirs.
//!
//! They use the public API, default settings and the default allocator only. Each knows what its
//! sinks must have seen when its spouts have emitted so many tuples.

mod constant;
mod fan_out;
mod mesh;
mod payload;
mod skew;
mod words;

use topology_api::ConfigError;
use topology_api::prelude::*;

use crate::bolts::{Keyed, Numbered, Stamped};
use crate::options::{Asked, Case, parse_words};
use crate::problem::Problem;
use crate::tally::Tally;

pub(crate) use self::constant::{Constants, Datum};
pub(crate) use self::payload::Payloads;
pub(crate) use self::words::{Sentences, WordsOnly, expected as expected_words, words_of};

/// Reads the topology's arguments and declares it.
pub(crate) fn declare(args: &Args) -> Result<Topology, BuildError> {
    let refused = |why: String| BuildError::new("bench", why);
    match parse_words(args.iter().map(str::to_owned)) {
        Ok(Asked::Do(command)) => {
            let case = command.case().ok_or_else(|| refused("this is no case".to_owned()))?;
            build(&case)
        }
        Ok(Asked::Show(text)) => Err(refused(text)),
        Err(problem) => Err(refused(problem.why)),
    }
}

/// Declares the topology of a case.
pub(crate) fn build(case: &Case) -> Result<Topology, BuildError> {
    let mut t = TopologyBuilder::new(case.name());
    let refused = |error: ConfigError| BuildError::new(case.name(), error.to_string());
    if !case.run().tracks() {
        t.config("acking", "false").map_err(refused)?;
    }
    for (key, value) in &case.run().set {
        t.config(key, value).map_err(refused)?;
    }
    match case {
        Case::ConstNull(_) => constant::null(&mut t, case),
        Case::ConstIdNull(_) => constant::id_null(&mut t, case),
        Case::WordCount { .. } => words::declare(&mut t, case),
        Case::FanOut(_) => fan_out::declare(&mut t, case),
        Case::Skew(_) => skew::declare(&mut t, case),
        Case::Payload { bytes, .. } => payload::declare(&mut t, case, *bytes),
        Case::Mesh(_) => mesh::declare(&mut t, case),
    }
    t.build()
}

/// What the sinks together have to have seen when the spout's tasks emitted so many tuples each.
pub(crate) fn expected(case: &Case, emitted: &[u64]) -> Result<Tally, Problem> {
    match case {
        Case::WordCount { text, .. } => words::expected(text.as_deref(), emitted),
        Case::Skew(_) => Ok(skew::expected(emitted)),
        Case::FanOut(_) => Ok(fan_out::expected(emitted)),
        Case::ConstNull(_) | Case::ConstIdNull(_) | Case::Payload { .. } | Case::Mesh(_) => {
            Ok(numbers(emitted))
        }
    }
}

/// All numbers once.
fn numbers(emitted: &[u64]) -> Tally {
    let mut tally = Tally::default();
    let step = emitted.len() as u64;
    for (index, count) in (0..).zip(emitted) {
        tally.add_every(index, step, *count);
    }
    tally
}

/// What the spout's tasks see when each goes through `length` things round and round, from the
/// first on: how often each was there.
fn rounds(length: usize, emitted: &[u64]) -> impl Iterator<Item = u64> {
    let length = length as u64;
    (0..length).map(move |at| {
        emitted.iter().map(|count| count / length + u64::from(at < count % length)).sum()
    })
}
