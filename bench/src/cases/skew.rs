//! Skew: few keys are very frequent, and each is counted by the one task that has it.

use topology_api::key_hash;
use topology_api::prelude::*;

use super::{Case, Keyed, Stamped, rounds};
use crate::bolts::{Count, Passed};
use crate::meter::TICK;
use crate::python_random::PythonRandom;
use crate::source::{Feed, Source};
use crate::tally::Tally;

/// Tasks that count.
const COUNTERS: u32 = 4;

/// Different keys: the k-th is k^1.5 times less frequent than the first, which has 38 %.
const KEYS: usize = 10_000;
const EXPONENT: f64 = 1.5;

/// Keys that are drawn before they come again.
const DRAWN: usize = 1 << 16;

const SEED: u32 = 15;

/// A key.
#[derive(Clone, Debug, Tuple)]
struct Hit {
    key: u64,
    sent_ns: u64,
}

impl Stamped for Hit {
    fn sent_ns(&self) -> u64 {
        self.sent_ns
    }
}

impl Keyed for Hit {
    type Key = u64;

    #[inline]
    fn into_key(self) -> u64 {
        self.key
    }
}

/// Gives the drawn keys round and round.
struct Hits {
    keys: Vec<u64>,
    at: usize,
}

impl Feed for Hits {
    type Tuple = Hit;

    #[inline]
    fn make(&mut self, _: u64, sent_ns: u64) -> Hit {
        let key = self.keys[self.at];
        self.at = (self.at + 1) % DRAWN;
        Hit { key, sent_ns }
    }
}

/// Draws keys, always the same ones.
fn drawn() -> Vec<u64> {
    let mut random = PythonRandom::new(SEED);
    let mut sum = 0.0;
    let sums: Vec<f64> = (1_u32..)
        .take(KEYS)
        .map(|rank| {
            sum += f64::from(rank).powf(-EXPONENT);
            sum
        })
        .collect();
    let mut draw = || {
        let place = random.fraction() * sum;
        sums.partition_point(|up_to| *up_to < place) as u64
    };
    (0..DRAWN).map(|_| draw()).collect()
}

/// Declares it.
pub(super) fn declare(t: &mut TopologyBuilder, case: &Case) {
    let own = case.clone();
    let spout = t.spout("spout", move |cx| Source::new(&own, Hits { keys: drawn(), at: 0 }, cx));
    let hits = spout.parallelism(case.parallelism()).tick_every(TICK).stream();
    let own = case.clone();
    let sink = t.bolt("sink", move |cx| Count::<Hit>::new(Passed::new(&own, cx)));
    sink.parallelism(COUNTERS).fields(&hits, |hit| &hit.key);
}

/// The keys that were emitted.
pub(super) fn expected(emitted: &[u64]) -> Tally {
    let mut tally = Tally::default();
    for (key, times) in drawn().iter().zip(rounds(DRAWN, emitted)) {
        tally.add_times(key_hash(key), times);
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_is_as_frequent_as_it_should_be() {
        let first = drawn().iter().filter(|key| **key == 0).count();
        // 1 / zeta(1.5) = 0.383.
        assert!((first * 1_000 / DRAWN).abs_diff(383) < 10, "{first} of {DRAWN}");
    }
}
