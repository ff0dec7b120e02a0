//! That merging is commutative and associative, that rows read back, how far estimates are off, and
//! what the bolt that gathers holds, anchors and acks.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::testing::BoltDriver;
use crate::{Line, LineFiles, Text};

/// Gathers in one go, and checks that parts give the same however they are cut and merged.
fn check<M: Merge + PartialEq + Debug>(items: &[u64], cuts: [usize; 2], add: impl Fn(&mut M, u64)) {
    let gather = |items: &[u64]| {
        let mut gathered = M::default();
        items.iter().for_each(|item| add(&mut gathered, *item));
        gathered
    };
    let all = gather(items);
    let [first, second] = cuts.map(|cut| cut % (items.len() + 1));
    let (first, second) = (first.min(second), first.max(second));
    let [a, b, c] = [&items[..first], &items[first..second], &items[second..]].map(gather);
    let merged = |one: &M, other: &M| {
        let mut one = one.clone();
        one.merge(other.clone());
        one
    };
    assert_eq!(merged(&merged(&a, &b), &c), all, "parts together are the whole");
    assert_eq!(merged(&a, &merged(&b, &c)), all, "associative");
    assert_eq!(merged(&merged(&c, &a), &b), all, "commutative");
    assert_eq!(merged(&M::default(), &all), all, "nothing changes nothing");

    let mut row = Vec::new();
    all.encode(&mut row);
    assert!(row.len() >= M::BYTES_MIN && all.weight() == row.len(), "the weight is right");
    assert_eq!(M::decode(&mut row.as_slice()).as_ref(), Ok(&all), "it reads back");
    let cut = cuts[0] % row.len();
    assert!(M::decode(&mut &row[..cut]).is_err(), "cut at {cut}");
}

proptest! {
    #[test]
    fn merging_is_commutative_and_associative(
        items in proptest::collection::vec(prop_oneof![0..50_u64, any::<u64>()], 0..1_500),
        cuts in any::<[usize; 2]>(),
    ) {
        check::<Count>(&items, cuts, |count, _| count.add(1));
        check::<Sum<u64>>(&items, cuts, |sum, item| sum.add(item));
        check::<Sum<i64>>(&items, cuts, |sum, item| sum.add(item.cast_signed()));
        check::<Min<u64>>(&items, cuts, |min, item| min.add(item));
        check::<Max<Text>>(&items, cuts, |max, item| max.add(item.to_string().into()));
        check::<Distinct>(&items, cuts, |distinct, item| distinct.add(&item));
        check::<Top<Text, 7>>(&items, cuts, |top, item| {
            top.add(&(item % 30).to_string().into(), item / 30);
        });
        check::<(Count, Max<u64>, Distinct)>(&items, cuts, |(count, max, distinct), item| {
            count.add(1);
            max.add(item);
            distinct.add(&item);
        });
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(
        row in proptest::collection::vec(any::<u8>(), 0..6_000),
    ) {
        if let Ok(distinct) = Distinct::decode(&mut row.as_slice()) {
            prop_assert!(distinct.estimate() < u64::MAX);
        }
        drop(Top::<Text, 3>::decode(&mut row.as_slice()));
        drop(<(Count, Max<Text>)>::decode(&mut row.as_slice()));
    }

    #[test]
    fn the_top_is_that_of_the_highest_score_of_each_item(
        scores in proptest::collection::vec((0..40_u64, 0..30_u64), 0..300),
    ) {
        let (mut top, mut highest) = (Top::<u64, 5>::default(), BTreeMap::new());
        for (item, score) in scores {
            top.add(&item, score);
            let known: &mut u64 = highest.entry(item).or_default();
            *known = score.max(*known);
        }
        let mut expected: Vec<(u64, u64)> = highest.into_iter().collect();
        expected.sort_by_key(|(item, score)| (std::cmp::Reverse(*score), *item));
        expected.truncate(5);
        prop_assert_eq!(top.items(), expected);
    }
}

#[test]
fn estimates_are_off_by_the_error_that_is_promised() {
    let mut squares = 0.0;
    let mut worst: f64 = 0.0;
    let mut count = 0.0;
    for seed in 0..40_u64 {
        let mut distinct = Distinct::default();
        for n in 1..=100_000_u64 {
            distinct.add(&(seed, n));
            if [1, 10, 100, 500, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000].contains(&n) {
                // Of few, one that shares its register with another is a large part.
                let off = (distinct.estimate() as f64 - n as f64).abs();
                let error = (off - 1.0).max(0.0) / n as f64;
                squares += error * error;
                worst = worst.max(error);
                count += 1.0;
            }
        }
    }
    let typical = f64::sqrt(squares / count);
    assert!(typical < 0.018, "the typical error is {typical}");
    assert!(worst < 0.065, "the worst error is {worst}: four standard errors");
}

#[test]
fn an_estimate_never_changes_between_versions() {
    let mut distinct = Distinct::default();
    (0..10_000_u64).for_each(|n| distinct.add(&n));
    assert_eq!(distinct.estimate(), 10_017);
    (0..500_u64).for_each(|n| distinct.add(n.to_string().as_str()));
    assert_eq!(distinct.estimate(), 10_557);
}

type Counted = Partial<Text, Count>;

fn topology(max_pending: &str) -> crate::Topology {
    let mut t = TopologyBuilder::new("gather");
    t.config("max_pending", max_pending).expect("a setting");
    let lines = t.spout("lines", |cx| LineFiles::open(Vec::new(), cx)).stream();
    let gathered =
        t.partial("gather", |line: &Line| &line.text, |count: &mut Count, _: &Line| count.add(1));
    let gathered = gathered.shuffle(&lines).stream();
    t.merged("together", &gathered).parallelism(3);
    t.build().expect("all is connected")
}

fn gather(max_pending: &str) -> BoltDriver<Line, Counted> {
    BoltDriver::of(&topology(max_pending), "gather").expect("a bolt")
}

fn line(text: &str) -> Line {
    Line { text: text.into() }
}

#[test]
fn inputs_are_held_until_their_partial_result_is_emitted_anchored_to_them() {
    let mut gather = gather("10000");
    for text in ["a", "b", "a"] {
        gather.execute(line(text));
    }
    assert!(gather.emissions().is_empty(), "not yet");
    assert_eq!(gather.held(), [0, 1, 2]);
    gather.advance(Duration::from_millis(100));
    let mut emissions = gather.emissions();
    emissions.sort_by(|one, other| one.tuple.key.cmp(&other.tuple.key));
    assert_eq!(emissions[0].tuple, Partial { key: "a".into(), value: Count(2) });
    assert_eq!(emissions[0].anchors, [0, 2]);
    assert_eq!(emissions[1].anchors, [1]);
    assert_eq!(gather.acked().into_iter().collect::<HashSet<_>>(), HashSet::from([0, 1, 2]));
    gather.execute(line("a"));
    gather.tick();
    assert_eq!(gather.emitted()[0].value, Count(1), "what is emitted begins anew");
}

#[test]
fn a_quarter_of_max_pending_is_held_at_most() {
    let mut gather = gather("40");
    for n in 0..9_u64 {
        gather.execute(line(&n.to_string()));
    }
    assert!(gather.emitted().is_empty());
    gather.execute(line("9"));
    assert_eq!(gather.emitted().len(), 10, "the tenth of forty");
    assert!(gather.held().is_empty());
}

#[test]
fn a_partial_result_has_no_more_anchors_than_a_tuple_may_have() {
    let mut gather = gather("1000000");
    for _ in 0..3_000 {
        gather.execute(line("hot"));
    }
    gather.tick();
    let emissions = gather.emissions();
    let anchors: Vec<usize> = emissions.iter().map(|emission| emission.anchors.len()).collect();
    assert_eq!(anchors, [1_024, 1_024, 952]);
    assert!(
        emissions.iter().all(|emission| emission.tuple.value.0 == emission.anchors.len() as u64)
    );
    assert_eq!(gather.acked().len(), 3_000);
}

#[test]
fn what_does_not_fit_into_a_call_is_emitted_later() {
    let mut t = TopologyBuilder::new("large");
    t.config("max_pending", "16").and_then(|t| t.config("output.budget", "64KiB")).expect("known");
    let lines = t.spout("lines", |cx| LineFiles::open(Vec::new(), cx)).stream();
    let longest = |max: &mut Max<Text>, line: &Line| max.add(line.text.repeat(30_000).into());
    t.partial("gather", |line: &Line| &line.text, longest).shuffle(&lines);
    let topology = t.build().expect("all is connected");
    let mut gather = BoltDriver::<Line, Partial<Text, Max<Text>>>::of(&topology, "gather");
    let gather = gather.as_mut().expect("a bolt");
    for text in ["a", "b", "c", "d"] {
        gather.execute(line(text));
    }
    assert_eq!(gather.emissions().len(), 2, "as many as the budget has room for");
    assert_eq!((gather.held().len(), gather.acked().len()), (2, 2), "and none is acked before");
    gather.tick();
    assert_eq!((gather.emissions().len(), gather.acked().len()), (2, 2));
    assert!(gather.errors().is_empty());
}

#[test]
fn partial_results_meet_by_their_key() {
    let topology = topology("100");
    let input = &topology.describe().components[2].inputs[0];
    assert_eq!((input.component.as_str(), input.grouping.as_str()), ("gather", "fields"));
    let mut together = BoltDriver::<Counted, Merged<Text, Count>>::of(&topology, "together");
    let together = together.as_mut().expect("a bolt");
    for (key, count) in [("a", 2), ("b", 1), ("a", 3)] {
        together.execute(Partial { key: key.into(), value: Count(count) });
    }
    let last = together.emitted().pop();
    assert_eq!(last, Some(Merged { key: "a".into(), value: Count(5) }));
}
