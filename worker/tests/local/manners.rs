//! The ready-made components at work: closures, folds, merged partial results, and the spouts that
//! replay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use topology_api::prelude::*;
use topology_api::{
    Count, DeadLetter, Distinct, IterSpout, Max, Merged, Outcome, Partial, Receipt, Replays, Sum,
    channel,
};

use crate::vocabulary::{Audit, Number, fused_and_not, run, topology};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Numbers that came somewhere.
type Seen = Arc<Mutex<BTreeSet<u64>>>;

fn count_to(count: u64) -> IterSpout<impl Iterator<Item = Number> + Send + 'static> {
    IterSpout::new((0..count).map(|n| Number { n }))
}

#[derive(Clone, Debug, Tuple)]
struct Digit {
    digit: u64,
    n: u64,
}

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

#[test]
fn what_always_fails_becomes_a_dead_letter_and_the_rest_goes_on() {
    fused_and_not(|fusion| bury_round_numbers(fusion, false));
    bury_round_numbers(true, true);
}

/// Its spout runs on a thread of its own, or not.
fn bury_round_numbers(fusion: bool, blocking: bool) {
    let mut t = topology("dead-letters", fusion);
    let replays = Replays::default().attempts(3).pauses(MILLISECOND, 4 * MILLISECOND);
    let (numbers, dead) = t.replaying("numbers", replays, |_| count_to(1_000));
    let numbers = if blocking { numbers.blocking() } else { numbers }.stream();
    let (stored, buried) = (Seen::default(), Seen::default());
    let (store, bury) = (Arc::clone(&stored), Arc::clone(&buried));
    let mut calls = 0_u64;
    t.try_for_each("store", move |number: Number| {
        calls += 1;
        match number.n {
            n if n.is_multiple_of(100) => Err("a round number"),
            // Now and then: it comes again, and is stored then.
            _ if calls.is_multiple_of(10) => Err("another time"),
            n => {
                store.lock().unwrap().insert(n);
                Ok(())
            }
        }
    })
    .parallelism(2)
    .shuffle(&numbers);
    let seen_before = Seen::default();
    t.try_for_each("bury", move |letter: DeadLetter<Number>| {
        assert!(letter.attempts >= 3, "{letter:?}");
        let said =
            if letter.tuple.n.is_multiple_of(100) { "a round number" } else { "another time" };
        assert_eq!(letter.error.as_str(), said, "what its bolt said last: {letter:?}");
        let first = seen_before.lock().unwrap().insert(letter.tuple.n);
        if first {
            return Err("the grave is closed");
        }
        bury.lock().unwrap().insert(letter.tuple.n);
        Ok(())
    })
    .global(&dead);
    run(t);
    let (stored, buried) = (stored.lock().unwrap(), buried.lock().unwrap());
    assert!((0..1_000).step_by(100).all(|n| buried.contains(&n)), "{buried:?}");
    assert_eq!(stored.len() + buried.len(), 1_000, "stored or buried, none lost");
    assert!(stored.is_disjoint(&buried), "and none both: every letter failed three times");
}

#[test]
fn what_fails_since_something_is_away_comes_again_and_never_becomes_a_dead_letter() {
    fused_and_not(|fusion| {
        let mut t = topology("away", fusion);
        let replays = Replays::default().attempts(2).pauses(MILLISECOND, MILLISECOND);
        let (numbers, dead) = t.replaying("numbers", replays, |_| count_to(100));
        let away = Arc::new(AtomicU64::new(500));
        let stored = Seen::default();
        let store = Arc::clone(&stored);
        // Five times each, then it is back; by its own error once.
        t.try_for_each("store", move |number: Number| -> Result<(), topology_api::Error> {
            let before = away.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            if before.is_ok() {
                return Err(Unavailable::new("the store is away").into());
            }
            if store.lock().unwrap().insert(number.n) {
                return Err("one error of its own".into());
            }
            Ok(())
        })
        .shuffle(&numbers.stream());
        let buried = Seen::default();
        let bury = Arc::clone(&buried);
        t.for_each("bury", move |letter: DeadLetter<Number>| {
            bury.lock().unwrap().insert(letter.tuple.n);
        })
        .global(&dead);
        run(t);
        assert_eq!(stored.lock().unwrap().len(), 100, "none was lost");
        assert!(buried.lock().unwrap().is_empty(), "dead though not by their own fault");
    });
}

#[test]
fn a_topology_is_fed_from_threads_and_tells_them_what_became_of_it() {
    fused_and_not(|fusion| {
        let mut t = topology("fed", fusion);
        let (feeder, spout) = channel(16);
        let numbers = t.spout("numbers", move |_| spout.clone()).parallelism(2).stream();
        let even = |number: &Number| number.n.is_multiple_of(2);
        let check = move |number: Number| if even(&number) { Ok(()) } else { Err("odd") };
        t.try_for_each("check", check).parallelism(2).shuffle(&numbers);
        let senders: Vec<_> = (0..4_u64)
            .map(|sender| {
                let feeder = feeder.clone();
                let send = move |n| feeder.send_with_receipt(Number { n: sender + n }).unwrap();
                std::thread::spawn(move || {
                    let receipts: Vec<_> = (0..100).map(send).collect();
                    receipts.into_iter().map(Receipt::wait).collect::<Vec<_>>()
                })
            })
            .collect();
        drop(feeder);
        run(t);
        for (sender, outcomes) in senders.into_iter().enumerate() {
            let (evens, odds): (Vec<_>, Vec<_>) =
                (sender..).zip(outcomes.join().unwrap()).partition(|(n, _)| n.is_multiple_of(2));
            assert!(evens.iter().all(|(_, outcome)| *outcome == Outcome::Acked), "{evens:?}");
            assert!(odds.iter().all(|(_, o)| *o == Outcome::Failed("error")), "{odds:?}");
        }
    });
}

/// What is gathered of numbers by their last digit.
type Gathered = (Count, Sum<u64>, Max<u64>, Distinct);

#[test]
fn spread_keys_are_gathered_in_parts_and_put_together() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("merge", fusion);
        let numbers = audit.spout(&mut t, 20_000);
        let digits = t.map("digit", |Number { n }: Number| Digit { digit: n * n % 10, n });
        let digits = digits.parallelism(2).shuffle(&numbers).stream();
        let add = |(count, sum, max, distinct): &mut Gathered, digit: &Digit| {
            count.add(1);
            sum.add(digit.n);
            max.add(digit.n);
            distinct.add(&(digit.n / 100));
        };
        let parts = t.partial("gather", |digit: &Digit| &digit.digit, add);
        let parts = parts.parallelism(3).shuffle(&digits).stream();
        let merged = t.merged("merge", &parts).parallelism(2).stream();
        let results: Arc<Mutex<BTreeMap<u64, Gathered>>> = Arc::default();
        let told = Arc::clone(&results);
        t.for_each("tell", move |merged: Merged<u64, Gathered>| {
            told.lock().unwrap().insert(merged.key, merged.value);
        })
        .global(&merged);
        run(t);
        audit.assert_each_acked_once(20_000);
        let results = results.lock().unwrap();
        let digits: Vec<u64> = results.keys().copied().collect();
        assert_eq!(digits, [0, 1, 4, 5, 6, 9], "the last digits of squares");
        for (digit, (count, sum, max, distinct)) in results.iter() {
            let numbers = || (0..20_000_u64).filter(|n| n * n % 10 == *digit);
            assert_eq!(count.0, numbers().count() as u64, "each number once");
            assert_eq!((sum.0, max.0), (numbers().sum(), numbers().max()));
            let hundreds = distinct.estimate();
            assert!((190..=210).contains(&hundreds), "{hundreds} is about 200");
        }
    });
}

#[test]
fn a_partial_result_that_fails_brings_all_its_inputs_back() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("merge-replays", fusion);
        let numbers = audit.spout(&mut t, 5_000);
        let add = |count: &mut Count, _: &Number| count.add(1);
        let parts = t.partial("gather", |number: &Number| &number.n, add);
        let parts = parts.parallelism(2).shuffle(&numbers).stream();
        let seen = Seen::default();
        let told = Arc::clone(&seen);
        t.try_for_each("flaky", move |part: Partial<u64, Count>| {
            let first = told.lock().unwrap().insert(part.key);
            if first && part.key.is_multiple_of(7) { Err("the first time") } else { Ok(()) }
        })
        .parallelism(2)
        .shuffle(&parts);
        run(t);
        audit.assert_each_acked_once(5_000);
        let failed: BTreeSet<u64> = audit.failed.lock().unwrap().iter().map(|(n, _)| *n).collect();
        assert!(failed.iter().copied().eq((0..5_000).step_by(7)), "these, and no others");
    });
}
