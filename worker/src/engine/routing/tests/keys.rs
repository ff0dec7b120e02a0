//! The groupings by key: which tasks a key meets, how even that is, and what a rescale changes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{ProptestConfig, any, proptest};

use super::{plenty, remote, spread};
use crate::engine::acking::splitmix64;
use crate::engine::routing::{Batch, GroupingKind, KeyGroups, Router};

pub(super) fn route(router: &mut Router, hashes: &[u64]) -> Vec<u32> {
    let batch = Batch { len: hashes.len(), hashes, ..Batch::default() };
    spread(router, batch, &plenty)
}

/// The largest share of a task, as a multiple of the mean.
pub(super) fn imbalance(tasks: u32, routed: impl IntoIterator<Item = u32>) -> f64 {
    let mut shares = vec![0_u64; tasks as usize];
    routed.into_iter().for_each(|task| shares[task as usize] += 1);
    let (most, all) = (shares.iter().max(), shares.iter().sum::<u64>());
    *most.expect("a task") as f64 * f64::from(tasks) / all as f64
}

/// The tasks that each key met.
pub(super) fn met(hashes: &[u64], routed: &[u32]) -> BTreeMap<u64, BTreeSet<u32>> {
    let mut met: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    for (hash, task) in hashes.iter().zip(routed) {
        met.entry(*hash).or_default().insert(*task);
    }
    met
}

#[test]
fn two_choices_balance_keys_of_which_none_is_too_hot_for_two_tasks() {
    // A tenth of all tuples has one key: one task of ten cannot take much more, two can.
    let mut random = 1;
    let hashes: Vec<u64> = (0..200_000)
        .map(|at| if at % 10 < 1 { 42 } else { splitmix64(&mut random) % 500 })
        .map(|key| splitmix64(&mut { key }))
        .collect();
    let of = |kind| imbalance(10, route(&mut Router::new(kind, &remote(10), 1), &hashes));
    let (fields, partial) = (of(GroupingKind::Fields), of(GroupingKind::PartialKey));
    assert!(fields > 1.5, "by fields, the task with the hot key has most: {fields}");
    assert!(partial < 1.02, "with two choices it is even: {partial}");
}

#[test]
fn a_task_that_had_a_hot_key_gets_its_share_when_that_is_gone() {
    let mut random = 3;
    let mut router = Router::new(GroupingKind::PartialKey, &remote(8), 1);
    let hot = vec![splitmix64(&mut random); 500_000];
    route(&mut router, &hot);
    let even = |random: &mut u64, count| (0..count).map(|_| splitmix64(random)).collect();
    let settling: Vec<u64> = even(&mut random, 200_000);
    route(&mut router, &settling);
    let after: Vec<u64> = even(&mut random, 10_000);
    let uneven = imbalance(8, route(&mut router, &after));
    assert!(uneven < 1.02, "the past is past: {uneven}");
}

proptest! {
    #[test]
    fn equal_keys_meet_the_same_task_whatever_batch_they_come_in(
        tasks in 1_u32..50,
        hashes in proptest::collection::vec(any::<u64>(), 1..200),
        cut in 1_usize..200,
    ) {
        let groups = KeyGroups::even(KeyGroups::count_for(tasks), tasks);
        let mut router = Router::new(GroupingKind::Fields, &remote(tasks as usize), 1);
        let mut other = Router::with_key_groups(GroupingKind::Fields, groups.clone());
        let mut routed = Vec::new();
        for hashes in hashes.chunks(cut) {
            let batch = Batch { len: hashes.len(), hashes, ..Batch::default() };
            routed.extend(spread(&mut router, batch, &|_| 0));
            let full = spread(&mut other, batch, &plenty);
            assert!(routed.ends_with(&full), "credit must not move a key");
        }
        let expected: Vec<u32> = hashes.iter().map(|&hash| groups.task(hash)).collect();
        assert_eq!(routed, expected, "the key groups decide");
    }

    #[test]
    fn every_sender_takes_a_key_to_the_same_two_tasks(
        tasks in 2_u32..50,
        keys in proptest::collection::vec(any::<u64>(), 1..20),
        orders in proptest::collection::vec(proptest::collection::vec(0_usize..20, 200), 3),
    ) {
        let mut all: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
        for order in orders {
            let hashes: Vec<u64> = order.into_iter().map(|at| keys[at % keys.len()]).collect();
            let mut sender = Router::new(GroupingKind::PartialKey, &remote(tasks as usize), 1);
            let routed = route(&mut sender, &hashes);
            let mut again = Router::new(GroupingKind::PartialKey, &remote(tasks as usize), 2);
            assert_eq!(route(&mut again, &hashes), routed, "the same tuples go the same ways");
            for (key, tasks) in met(&hashes, &routed) {
                all.entry(key).or_default().extend(tasks);
            }
        }
        assert!(all.values().all(|tasks| tasks.len() <= 2), "{all:?}");
    }

    #[test]
    fn a_key_has_two_different_tasks_if_there_are_two(tasks in 2_u32..200, hash: u64) {
        let mut router = Router::new(GroupingKind::PartialKey, &remote(tasks as usize), 1);
        let routed = route(&mut router, &[hash; 2]);
        assert_ne!(routed[0], routed[1], "the second tuple goes to the other one");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_rescale_moves_few_keys(before in 2_u32..40, more in 1_u32..10, seed: u64) {
        let old = KeyGroups::even(720, before);
        let new = old.rescaled(before + more);
        let moved = old.table().iter().zip(new.table()).filter(|(a, b)| a != b).count();
        let mut random = seed;
        let keys: Vec<u64> = (0..500).map(|_| splitmix64(&mut random)).collect();
        for (kind, choices) in [
            (GroupingKind::Fields, 1.0),
            (GroupingKind::PartialKey, 2.0),
            (GroupingKind::SpreadHotKeys, 2.0),
            (GroupingKind::ScatterHotKeys, 2.0),
        ] {
            let tasks = |groups: &KeyGroups, key: u64| {
                let mut router = Router::with_key_groups(kind, groups.clone());
                BTreeSet::from_iter(route(&mut router, &[key; 2]))
            };
            let changed = keys.iter().filter(|key| tasks(&old, **key) != tasks(&new, **key));
            let expected = choices * moved as f64 / 720.0;
            let changed = changed.count() as f64 / keys.len() as f64;
            // Where both choices fall on one task, the second is its neighbour, which may change.
            let limit = expected * 1.25 + 0.1;
            assert!(changed <= limit, "{kind:?}, {before} + {more}: {changed} for {expected}");
        }
    }
}
