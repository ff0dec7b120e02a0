//! The groupings for skewed keys: balance where two choices are not enough, and at what price.

use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};

use super::keys::{imbalance, met, route};
use super::remote;
use crate::engine::acking::splitmix64;
use crate::engine::routing::{GroupingKind, Router};

const SPREAD: GroupingKind = GroupingKind::SpreadHotKeys;
const SCATTER: GroupingKind = GroupingKind::ScatterHotKeys;

/// Hashes of keys of which the one of rank `r` has a share in proportion to `1 / r^exponent`.
pub(super) fn zipf(exponent: f64, keys: u32, tuples: usize, seed: u64) -> Vec<u64> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += f64::from(rank).powf(-exponent);
            sum
        })
        .collect();
    let mut random = seed;
    let mut draw = || {
        let at = (splitmix64(&mut random) >> 11) as f64 / (1_u64 << 53) as f64 * sum;
        sums.partition_point(|sum| *sum <= at) as u64
    };
    (0..tuples).map(|_| splitmix64(&mut (draw() ^ seed))).collect()
}

#[test]
fn skewed_keys_are_balanced_where_two_choices_are_not_enough() {
    for (exponent, tasks) in [(1.0, 50_u32), (1.5, 8), (1.5, 50), (2.0, 16), (2.0, 100)] {
        let hashes = zipf(exponent, 10_000, 150_000, 5);
        let of = |kind| {
            let mut router = Router::new(kind, &remote(tasks as usize), 1);
            let batches = hashes.chunks(128).map(|batch| route(&mut router, batch));
            let routed: Vec<u32> = batches.flatten().collect();
            let met = met(&hashes, &routed);
            let copies = met.values().map(|tasks| tasks.len()).sum::<usize>();
            (imbalance(tasks, routed), copies as f64 / met.len() as f64)
        };
        let (partial, spread, scatter) = (of(GroupingKind::PartialKey), of(SPREAD), of(SCATTER));
        let told = format!("{exponent}, {tasks} tasks: {partial:?}, {spread:?}, {scatter:?}");
        assert!(spread.0 < 1.1 && scatter.0 < 1.1, "balanced: {told}");
        assert!(spread.1 <= scatter.1 + 0.01, "spread has fewer copies to merge: {told}");
        assert!(scatter.1 < 2.0 + 0.01 * f64::from(tasks), "few keys are hot: {told}");
    }
}

#[test]
fn a_key_that_becomes_hot_is_spread_soon_and_one_that_was_is_not() {
    let mut router = Router::new(SPREAD, &remote(8), 1);
    let (old, new) = (11_u64 << 50, 13_u64 << 40);
    let mut random = 9;
    let mut stream = |hot: u64, tuples| -> Vec<u64> {
        (0..tuples).map(|at| if at % 2 == 0 { hot } else { splitmix64(&mut random) }).collect()
    };
    let first = stream(old, 100_000);
    route(&mut router, &first);
    let change = stream(new, 20_000);
    let mut routed = Vec::new();
    change.chunks(128).for_each(|batch| routed.extend(route(&mut router, batch)));
    let tasks = met(&change[10_000..], &routed[10_000..])[&new].len();
    assert!(tasks > 4, "half of all tuples want four tasks of eight at least: {tasks}");
    let mut cold = stream(new, 40_000);
    route(&mut router, &cold);
    cold = stream(old, 64);
    cold.iter_mut().skip(1).step_by(2).for_each(|hash| *hash = new);
    let routed = route(&mut router, &cold);
    assert!(met(&cold, &routed)[&old].len() <= 2, "what is cold again has two tasks");
}

#[test]
fn a_short_stream_is_not_taken_for_skewed() {
    for kind in [SPREAD, SCATTER] {
        let mut router = Router::new(kind, &remote(20), 1);
        let hashes = [7 << 33; 30];
        let routed = route(&mut router, &hashes);
        assert!(met(&hashes, &routed)[&hashes[0]].len() <= 2, "{kind:?}: {routed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_the_skew_no_task_has_much_more_than_its_share(
        exponent in 0.0_f64..3.0,
        tasks in 2_u32..40,
        kind in prop_oneof![Just(SPREAD), Just(SCATTER)],
        seed: u64,
    ) {
        let hashes = zipf(exponent, 5_000, 30_000, seed);
        let mut router = Router::new(kind, &remote(tasks as usize), 1);
        let routed: Vec<u32> =
            hashes.chunks(100).flat_map(|batch| route(&mut router, batch)).collect();
        // The first tuples teach which keys are hot.
        let uneven = imbalance(tasks, routed[10_000..].iter().copied());
        assert!(uneven < 1.3, "{kind:?}, {exponent}, {tasks} tasks: {uneven}");
    }

    #[test]
    fn the_same_tuples_go_the_same_ways_however_they_are_cut(
        kind in prop_oneof![Just(SPREAD), Just(SCATTER)],
        exponent in (0..3).prop_map(f64::from),
        tasks in 1_u32..30,
        seed: u64,
    ) {
        let hashes = zipf(exponent, 300, 3_000, 1);
        let mut twins = [seed, !seed].map(|seed| Router::new(kind, &remote(tasks as usize), seed));
        let [one, other] = [1, 128].map(|cut| {
            let router = &mut twins[usize::from(cut == 1)];
            hashes.chunks(cut).flat_map(|batch| route(router, batch)).collect::<Vec<u32>>()
        });
        assert_eq!(one, other, "neither seed nor batches decide");
    }
}
