//! `SpaceSaving` against an exact count.

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::hot_keys::zipf;
use crate::engine::routing::SpaceSaving;

/// Some keys, more or less skewed, of which many share their low bits.
fn streams() -> impl Strategy<Value = Vec<u64>> {
    let keys = prop_oneof![Just(3_u64), Just(20), Just(200)];
    let low = keys.prop_flat_map(|keys| proptest::collection::vec(0..keys, 1..1_000));
    let colliding = any::<bool>();
    (low, colliding).prop_map(|(keys, colliding)| {
        let key = |key: u64| if colliding { (key << 56) | (key % 3) } else { key };
        keys.into_iter().map(key).collect()
    })
}

fn exact(keys: &[u64]) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    keys.iter().for_each(|key| *counts.entry(*key).or_default() += 1);
    counts
}

proptest! {
    #[test]
    fn counts_are_never_too_low_and_too_high_by_no_more_than_the_bound(
        keys in streams(),
        counters in 1_usize..40,
    ) {
        let mut seen = SpaceSaving::new(counters);
        for key in &keys {
            let slot = seen.offer(*key);
            let (found, ..) = seen.counted().nth(slot as usize).expect("a counter");
            assert_eq!(found, *key, "the slot is the key's");
        }
        let exact = exact(&keys);
        let total = keys.len() as u64;
        let bound = total / counters as u64;
        let counted: BTreeMap<u64, (u64, u64)> =
            seen.counted().map(|(key, count, error)| (key, (count, error))).collect();
        assert_eq!(counted.len(), exact.len().min(counters), "each counter has a key of its own");
        assert_eq!(seen.total(), total);
        assert_eq!(counted.values().map(|it| it.0).sum::<u64>(), total, "all tuples are counted");
        for (key, (count, error)) in &counted {
            let truth = exact[key];
            assert!(*count >= truth && count - error <= truth, "{key}: {count} - {error}, {truth}");
            assert!(*error <= bound, "an error of {error} is over {bound}");
        }
        for (key, truth) in exact.iter().filter(|(_, truth)| **truth > bound) {
            assert!(counted.contains_key(key), "{key} came {truth} times and has no counter");
        }
    }

    #[test]
    fn halving_keeps_the_bounds_of_halved_counts(
        parts in proptest::collection::vec(streams(), 1..5),
        counters in 1_usize..40,
    ) {
        let mut seen = SpaceSaving::new(counters);
        let mut exact: BTreeMap<u64, f64> = BTreeMap::new();
        for keys in &parts {
            for key in keys {
                seen.offer(*key);
                *exact.entry(*key).or_default() += 1.0;
            }
            seen.halve();
            exact.values_mut().for_each(|count| *count /= 2.0);
            for (key, count, error) in seen.counted() {
                let (truth, sure) = (exact[&key], (count - error) as f64);
                // Each halving rounds down by less than one.
                assert!(count as f64 + 1.0 > truth, "{key}: {count} for {truth}");
                assert!(sure <= truth, "{key}: {sure} is not sure, it is {truth}");
            }
            assert!(seen.counted().map(|it| it.1).sum::<u64>() <= seen.total());
        }
    }
}

#[test]
fn the_hottest_keys_of_a_long_skewed_stream_are_found() {
    let hashes = zipf(1.5, 10_000, 200_000, 3);
    let mut seen = SpaceSaving::new(64);
    for hash in &hashes {
        seen.offer(*hash);
    }
    let mut truth: Vec<(u64, u64)> = exact(&hashes).into_iter().map(|(k, n)| (n, k)).collect();
    truth.sort_unstable_by(|a, b| b.cmp(a));
    let mut found: Vec<(u64, u64)> = seen.counted().map(|(key, count, _)| (count, key)).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    let top = |of: &[(u64, u64)]| of[..8].iter().map(|it| it.1).collect::<Vec<_>>();
    assert_eq!(top(&found), top(&truth), "the eight hottest, in order");
}
