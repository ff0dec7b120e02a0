//! Ids, anchors and held inputs: what goes into a checksum.

use proptest::prelude::{Strategy, proptest};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use crate::engine::acking::{
    Anchors, Edge, EdgeIds, GENERATION_MAX, Held, NO_STAMP, RootId, executor_of, incarnation_order,
};

/// Some inputs, each with any number of roots; roots meet in several inputs.
fn inputs() -> impl Strategy<Value = Vec<Vec<Edge>>> {
    let input = proptest::collection::btree_map(1_u64..8, 1_u64..1_000, 0..4);
    let edges = |roots: BTreeMap<u64, u64>| {
        roots.into_iter().map(|(root, id)| Edge { root, id }).collect::<Vec<_>>()
    };
    proptest::collection::vec(input.prop_map(edges), 1..12)
}

#[test]
fn no_root_has_the_id_zero() {
    assert_eq!(RootId::new(0, 0, 0, 1).bits(), 1, "the lowest id");
    let highest = RootId::new((1 << 14) - 1, 63, (1 << 20) - 1, GENERATION_MAX);
    assert_eq!(highest.bits(), u64::MAX, "the parts fill 64 bits");
    assert_eq!(RootId::from_bits(0), None, "0 stands for untracked");
    assert_eq!(RootId::from_bits(1 << 24), None, "no generation is 0");
    assert_eq!(highest.to_string(), "16383.63/1048575.16777215", "as people read it");
}

#[test]
fn incarnations_go_round_at_64() {
    for held in 0..64 {
        assert_eq!(incarnation_order(held, held), Ordering::Equal, "{held} is itself");
        for ahead in 1..64 {
            let expected = if ahead < 32 { Ordering::Greater } else { Ordering::Less };
            let named = (held + ahead) % 64;
            assert_eq!(incarnation_order(held, named), expected, "{named} seen from {held}");
        }
    }
}

#[test]
fn edge_ids_are_never_zero_and_do_not_come_twice() {
    // The counter whose successor is 0, which splitmix64 maps to 0.
    let mut ids = EdgeIds::new(0_u64.wrapping_sub(0x9e37_79b9_7f4a_7c15));
    let seen: HashSet<u64> = (0..100_000).map(|_| ids.next()).collect();
    assert_eq!(seen.len(), 100_000, "an id came twice");
    assert!(!seen.contains(&0), "an edge with id 0 holds nothing open");
}

#[test]
fn few_edge_ids_do_not_cancel() {
    let mut ids = EdgeIds::new(7);
    let ids: Vec<u64> = (0..500).map(|_| ids.next()).collect();
    let known: HashSet<u64> = ids.iter().copied().collect();
    // Three ids that cancel are a pair whose XOR is an id.
    for (at, first) in ids.iter().enumerate() {
        for second in &ids[at + 1..] {
            assert!(!known.contains(&(first ^ second)), "{first:#x} and {second:#x} make an id");
        }
    }
}

#[test]
fn one_id_for_both_branches_of_a_diamond_would_cancel() {
    let (left, right) = ([Edge { root: 1, id: 10 }], [Edge { root: 1, id: 20 }]);
    let mut anchors = Anchors::new();
    anchors.add(&left, 5);
    anchors.add(&right, 5);
    assert_eq!(anchors.edges(), [Edge { root: 1, id: 0 }], "this copy holds nothing open");
    anchors.clear();
    anchors.add(&left, 5);
    anchors.add(&right, 6);
    assert_eq!(anchors.edges(), [Edge { root: 1, id: 3 }], "one id an anchor does");
}

#[test]
fn slots_of_held_inputs_are_used_again() {
    let mut held = Held::new();
    let edge = Edge { root: 3, id: 9 };
    let (first, second) = (held.hold(&[edge]), held.hold(&[]));
    assert_eq!((held.len(), held.edges(first), held.edges(second)), (2, &[edge][..], &[][..]));
    held.add_output(first, 4);
    held.note_stamp(first, 70);
    held.note_stamp(first, 60);
    held.note_stamp(first, 80);
    assert_eq!((held.stamp(first), held.stamp(second)), (60, NO_STAMP), "the lowest counts");
    held.fail(first, |root| assert_eq!(root, 3, "its root fails"));
    let third = held.hold(&[edge, Edge { root: 4, id: 8 }]);
    assert_eq!(third, first, "the slot is free again");
    assert_eq!(held.stamp(third), NO_STAMP, "nothing is left of the input before");
    let mut told = Vec::new();
    held.settle(third, |root, edges| told.push((root, edges)));
    assert_eq!(told, [(3, 9), (4, 8)], "no outputs: the edges alone");
    held.settle(second, |_, _| panic!("an untracked input tells no one"));
    assert!(held.is_empty(), "every input has its verdict");
}

#[test]
fn an_abandoned_input_fails_once_and_keeps_its_slot_until_its_guard_reports() {
    let mut held = Held::new();
    let slot = held.hold(&[Edge { root: 3, id: 9 }]);
    let mut failed = Vec::new();
    held.abandon_all(|root| failed.push(root));
    held.abandon_all(|root| failed.push(root));
    assert_eq!((failed, held.len()), (vec![3], 0), "it failed once");
    let other = held.hold(&[Edge { root: 5, id: 1 }]);
    assert_ne!(other, slot, "the guard of the first may still report");
    held.settle(slot, |_, _| panic!("its root was told already"));
    assert_eq!(held.hold(&[]), slot, "now the slot is free");
    assert_eq!(held.len(), 2, "the two that came later");
}

proptest! {
    #[test]
    fn a_root_id_keeps_its_parts(
        executor in 0_u16..1 << 14,
        incarnation in 0_u8..64,
        slot in 0_u32..1 << 20,
        generation in 1..=GENERATION_MAX,
    ) {
        let root = RootId::new(executor, incarnation, slot, generation);
        assert_eq!((root.executor(), root.incarnation()), (executor, incarnation), "upper parts");
        assert_eq!((root.slot(), root.generation()), (slot, generation), "lower parts");
        assert_eq!(executor_of(root.bits()), executor, "where its contributions go");
        assert_eq!(RootId::from_bits(root.bits()), Some(root), "it survives the way");
    }

    #[test]
    fn what_inputs_owe_and_what_their_outputs_carry_cancel_for_every_root(
        inputs in inputs(),
        copies in proptest::collection::vec(proptest::collection::vec(0_usize..12, 1..6), 0..6),
    ) {
        let mut held = Held::new();
        let mut ids = EdgeIds::new(1);
        let mut anchors = Anchors::new();
        let slots: Vec<u32> = inputs.iter().map(|edges| held.hold(edges)).collect();
        let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
        for anchored_to in &copies {
            anchors.clear();
            for &input in anchored_to {
                let slot = slots[input % slots.len()];
                let id = ids.next();
                anchors.add(held.edges(slot), id);
                held.add_output(slot, id);
            }
            let roots: Vec<u64> = anchors.edges().iter().map(|edge| edge.root).collect();
            assert!(roots.windows(2).all(|pair| pair[0] < pair[1]), "a root stands twice: {roots:?}");
            for edge in anchors.edges() {
                assert_ne!(edge.id, 0, "a copy of root {} would hold nothing open", edge.root);
                *sums.entry(edge.root).or_default() ^= edge.id;
            }
        }
        for edge in inputs.iter().flatten() {
            *sums.entry(edge.root).or_default() ^= edge.id;
        }
        for slot in slots {
            held.settle(slot, |root, edges| *sums.entry(root).or_default() ^= edges);
        }
        assert!(sums.values().all(|&sum| sum == 0), "every id stands in it twice: {sums:?}");
    }
}
