//! Mesh: every spout executor sends to every bolt executor, by a key that is spread evenly.

use topology_api::prelude::*;

use super::{Case, Numbered, Stamped};
use crate::bolts::{Null, Passed};
use crate::meter::TICK;
use crate::source::{Feed, Source};

/// A number, which is the key as well.
#[derive(Clone, Debug, Tuple)]
struct Reading {
    number: u64,
    sent_ns: u64,
}

impl Stamped for Reading {
    fn sent_ns(&self) -> u64 {
        self.sent_ns
    }
}

impl Numbered for Reading {
    fn number(&self) -> u64 {
        self.number
    }
}

struct Readings;

impl Feed for Readings {
    type Tuple = Reading;

    #[inline]
    fn make(&mut self, number: u64, sent_ns: u64) -> Reading {
        Reading { number, sent_ns }
    }
}

/// Declares it.
pub(super) fn declare(t: &mut TopologyBuilder, case: &Case) {
    let own = case.clone();
    let spout = t.spout("spout", move |cx| Source::new(&own, Readings, cx));
    let readings = spout.parallelism(case.parallelism()).tick_every(TICK).stream();
    let own = case.clone();
    let sink = t.bolt("sink", move |cx| Null::<Reading>::new(Passed::new(&own, cx)));
    sink.parallelism(case.parallelism()).fields(&readings, |reading| &reading.number);
}
