//! The ready-made components at work: closures, folds, merged partial results, and the spouts that
//! replay.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use topology_api::prelude::*;

use crate::vocabulary::{Audit, Number, fused_and_not, run, topology};

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Tally {
    rest: u64,
    count: u64,
}

#[test]
fn closures_ack_and_fail_what_they_take() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("closures", fusion);
        let numbers = audit.spout(&mut t, 10_000);
        let doubled = t.flat_map("double", |number: Number| [number.clone(), number]);
        let doubled = doubled.parallelism(2).shuffle(&numbers).stream();
        let even = t.filter("even", |number: &Number| number.n.is_multiple_of(2)).shuffle(&doubled);
        let even = even.stream();
        let counts: Arc<Mutex<BTreeMap<u64, u64>>> = Arc::default();
        let told = Arc::clone(&counts);
        let thirds = t.map("third", |number: Number| Number { n: number.n % 3 }).shuffle(&even);
        let step = |count: &mut u64, number: Number| {
            *count += 1;
            Tally { rest: number.n, count: *count }
        };
        let folded = t.fold("fold", thirds.stream().by(|number| &number.n), || 0, step);
        let tallies = folded.parallelism(2).stream();
        let tell = move |tally: Tally| {
            told.lock().unwrap().insert(tally.rest, tally.count);
        };
        t.for_each("tell", tell).global(&tallies);
        run(t);
        audit.assert_each_acked_once(10_000);
        // Of the even numbers below 10 000, a third each; every one came twice.
        let expected = BTreeMap::from([(0, 3_334), (1, 3_332), (2, 3_334)]);
        assert_eq!(*counts.lock().unwrap(), expected);
    });
}
