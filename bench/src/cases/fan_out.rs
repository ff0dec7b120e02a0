//! Fan-out: each constant goes to all of eight bolts.

use topology_api::prelude::*;

use super::constant::{self, Datum};
use super::{Case, numbers};
use crate::bolts::{Null, Passed};
use crate::tally::Tally;

/// Tasks that get each tuple.
const SINKS: u32 = 8;

/// Declares it.
pub(super) fn declare(t: &mut TopologyBuilder, case: &Case) {
    let data = constant::spout(t, case);
    let own = case.clone();
    let sink = t.bolt("sink", move |cx| Null::<Datum>::new(Passed::new(&own, cx)));
    sink.parallelism(SINKS).all(&data);
}

/// All numbers, once at each sink.
pub(super) fn expected(emitted: &[u64]) -> Tally {
    let mut tally = Tally::default();
    tally.join(numbers(emitted), u64::from(SINKS));
    tally
}
