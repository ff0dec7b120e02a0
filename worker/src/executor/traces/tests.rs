//! Traces of whole topologies in this process, and the bounds of what is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use daemon::Clock;
use proto::supervisor::span::Kind;
use proto::supervisor::{Span, Tap, Tapped, Trace};

use super::{FAILURES_MAX, SPANS_MAX, TRACES_MAX, TREE_SPANS_MAX, Tracer, Traces};
use crate::engine::sampling::rank;

fn trace(for_ms: u64) -> Trace {
    Trace { for_ms }
}

fn opened(root: u64) -> Span {
    Span { kind: Kind::Opened.into(), root, rank: rank(root), ..Span::default() }
}

fn failed(root: u64) -> Span {
    Span { kind: Kind::Ended.into(), verdict: "error".to_owned(), ..opened(root) }
}

#[test]
fn a_trace_ends_when_it_is_closed_and_by_itself_and_is_refused_beyond_its_number() {
    let clock = Clock::manual();
    let traces = Traces::new(clock.clone());
    let mut tracer = Tracer::new(Some(std::sync::Arc::clone(&traces)));
    let mut is_on = || {
        tracer.look();
        tracer.is_on()
    };
    assert!(!is_on() && !traces.is_any());
    traces.open(1, &trace(1_000));
    assert!(is_on());
    traces.close(1);
    assert!(!is_on(), "nobody looks any more");
    traces.open(2, &trace(1_000));
    clock.advance(Duration::from_millis(999));
    assert!(traces.fetch().iter().all(|said| !said.ended));
    clock.advance(Duration::from_millis(1));
    assert!(traces.fetch()[0].ended, "its time is over");
    assert!(!is_on() && traces.fetch().is_empty());
    traces.open(3, &trace(1_000));
    clock.advance(Duration::from_millis(1_000));
    traces.put(&mut vec![opened(1)]);
    assert!(!is_on(), "also if nobody fetches");
    assert!(traces.fetch()[0].spans.is_empty());
    for id in 0..=TRACES_MAX as u64 {
        traces.open(id, &trace(1_000));
    }
    let said = traces.fetch();
    let refused: Vec<&Tapped> = said.iter().filter(|said| !said.problem.is_empty()).collect();
    assert_eq!((refused.len(), refused[0].ended), (1, true), "{refused:?}");
    traces.close_all();
    assert!(!is_on() && !traces.is_any());
}

#[test]
fn what_does_not_fit_makes_the_sample_smaller_and_failures_are_kept_beyond_it() {
    let traces = Traces::new(Clock::system());
    traces.open(1, &trace(60_000));
    let mut spans: Vec<Span> = (1..=100_000).map(opened).collect();
    spans.extend((200_000..200_100).map(failed));
    traces.put(&mut spans);
    assert!(spans.is_empty());
    let said = traces.fetch().remove(0);
    let (failures, sampled): (Vec<&Span>, Vec<&Span>) =
        said.spans.iter().partition(|span| !span.verdict.is_empty());
    assert!(sampled.len() < SPANS_MAX && sampled.len() > SPANS_MAX / 8, "{}", sampled.len());
    assert!(sampled.iter().all(|span| span.rank >= said.rank_min));
    let expected = (1..=100_000).filter(|root| rank(*root) >= said.rank_min).count();
    assert_eq!(sampled.len(), expected, "all of the smaller sample, and nothing else");
    assert_eq!((failures.len(), said.left_out), (100, 0));
    traces.put(&mut (300_000..400_000).map(failed).collect());
    let said = traces.fetch().remove(0);
    assert!(said.spans.len() <= 2 * SPANS_MAX + FAILURES_MAX);
    assert_eq!(said.left_out as usize + said.spans.len(), 100_000, "what is left out is counted");
}

#[test]
fn one_tree_with_very_many_tuples_leaves_room_for_others() {
    let traces = Traces::new(Clock::system());
    traces.open(1, &trace(60_000));
    let many = u64::from(TREE_SPANS_MAX) * 10;
    let mut spans: Vec<Span> =
        (0..many).map(|edge| Span { edge, kind: Kind::Sent.into(), ..opened(5) }).collect();
    spans.push(opened(6));
    traces.put(&mut spans);
    let said = traces.fetch().remove(0);
    assert_eq!((said.rank_min, said.left_out), (0, many - u64::from(TREE_SPANS_MAX)));
    assert!(said.spans.iter().any(|span| span.root == 6));
}

mod whole {
    use std::collections::HashSet;
    use std::sync::Arc;

    use topology_api::prelude::*;
    use topology_api::{IterSpout, NoOutput, Topology};

    use super::*;
    use crate::engine::flow::Budget;
    use crate::executor::counters::Board;
    use crate::executor::inbox::{Desired, Message};
    use crate::executor::plan::Plan;
    use crate::executor::routes::Routes;
    use crate::executor::taps::Taps;
    use crate::local::{Loops, own_executors, own_table};

    #[derive(Clone, Debug, Tuple)]
    struct Number {
        n: u64,
    }

    struct Twice;

    impl Bolt for Twice {
        type Input = Number;
        type Output = Number;

        fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
            out.emit(number.clone());
            out.emit(number);
            Ok(())
        }
    }

    /// Numbers that fail, the first time they come.
    const TROUBLE: u64 = 1_000_000;

    #[derive(Default)]
    struct Sink(HashSet<u64>);

    impl Bolt for Sink {
        type Input = Number;
        type Output = NoOutput;

        fn execute(&mut self, number: Number, _: &mut Output<NoOutput>) -> BoltResult {
            let first = self.0.insert(number.n);
            if number.n >= TROUBLE && number.n.is_multiple_of(20) && first {
                Err("cannot take it".into())
            } else {
                Ok(())
            }
        }
    }

    /// Keeps one number, and joins it with the next.
    #[derive(Default)]
    struct Pairs(Option<Input<Number>>);

    impl ExplicitBolt for Pairs {
        type Input = Number;
        type Output = Number;

        fn execute(&mut self, input: Input<Number>, out: &mut Output<Number>) -> BoltResult {
            match self.0.take() {
                None => self.0 = Some(input),
                Some(first) => {
                    out.emit_anchored([&first, &input], Number { n: 0 });
                    first.ack();
                    input.ack();
                }
            }
            Ok(())
        }
    }

    fn builder(fusion: bool, numbers: std::ops::Range<u64>) -> (TopologyBuilder, Stream<Number>) {
        let mut t = TopologyBuilder::new("traced");
        t.config("fusion", if fusion { "true" } else { "false" }).unwrap();
        let spout = move |_: &Context| IterSpout::new(numbers.clone().map(|n| Number { n }));
        let numbers = t.spout("numbers", spout).stream();
        (t, numbers)
    }

    /// Runs a topology of 10 000 numbers with a trace from its first tuple on.
    fn run(fusion: bool, pairs: bool) -> BTreeMap<u64, Vec<Span>> {
        let (mut t, numbers) = builder(fusion, 0..10_000);
        let passed = if pairs {
            t.explicit_bolt("pairs", |_| Ok(Pairs::default())).shuffle(&numbers).stream()
        } else {
            t.bolt("twice", |_| Twice).shuffle(&numbers).stream()
        };
        t.bolt("sink", |_| Sink::default()).shuffle(&passed);
        sampled(&noted(t.build().unwrap()).0)
    }

    /// All that is noted of a topology while it runs, and how much was left out.
    fn noted(topology: Topology) -> (Vec<Tapped>, u64) {
        let clock = Clock::system();
        let board = Arc::new(Board::new(clock.clone()));
        let executors = own_executors(&topology);
        let table = own_table(&topology, &executors);
        let budget = Arc::new(Budget::new(topology.config().worker_memory(), 1));
        let taps = Arc::new(Taps::new(&topology, 0, clock.clone()));
        taps.open(&Tap { id: 1, trace: Some(trace(60_000)), ..Tap::default() });
        assert!(taps.is_watched() && !taps.is_any(), "no tuple is looked at");
        let shared = (1, Arc::clone(&board), budget);
        let mut plan = Plan::new(topology, Args::default(), 0, executors, shared);
        plan.taps = Some(Arc::clone(&taps));
        let loops = Loops::start(plan, None, &clock).unwrap();
        let seating = Arc::clone(&loops.plan.seating);
        let routes = Arc::new(Routes::new(table, BTreeMap::new(), seating));
        loops.tell(|| Message::Routes(Arc::clone(&routes)));
        loops.tell(|| Message::Desired(Desired::Active));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut said = Vec::new();
        runtime.block_on(async {
            let mut fetch = tokio::time::interval(Duration::from_millis(5));
            let ended = crate::local::until(&board, |it| it.is_ended());
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    () = &mut ended => break,
                    _ = fetch.tick() => said.extend(taps.fetch()),
                }
            }
        });
        loops.stop();
        said.extend(taps.fetch());
        let left_out = said.iter().map(|it| it.left_out).sum();
        (said, left_out)
    }

    /// The trees that were sampled all the time: others are told of in part, if they failed.
    fn sampled(said: &[Tapped]) -> BTreeMap<u64, Vec<Span>> {
        let rank_min = said.iter().map(|it| it.rank_min).max().unwrap_or(0);
        let mut trees: BTreeMap<u64, Vec<Span>> = BTreeMap::new();
        for span in said.iter().flat_map(|it| &it.spans).filter(|span| span.rank >= rank_min) {
            trees.entry(span.root).or_default().push(span.clone());
        }
        assert!(trees.len() > 3, "some were sampled: {}", trees.len());
        trees
    }

    /// Of each tree that failed, sampled or not, it is known where and why.
    fn assert_known(said: &[Tapped], left_out: u64) {
        let all: Vec<&Span> = said.iter().flat_map(|it| &it.spans).collect();
        let ended = all.iter().filter(|it| it.kind() == Kind::Ended && it.verdict != "acked");
        let failed: BTreeSet<u64> = ended.map(|it| it.root).collect();
        let known = all.iter().filter(|it| it.kind() == Kind::Hop && it.text == "cannot take it");
        let known: BTreeSet<u64> = known.map(|it| it.root).collect();
        let unknown = failed.difference(&known).count() as u64;
        assert!(failed.len() > 100 && unknown <= left_out, "{unknown} of {}", failed.len());
    }

    /// What is known of a tree: who was sent what, and what became of it.
    fn of(spans: &[Span], kind: Kind) -> Vec<&Span> {
        spans.iter().filter(|span| span.kind() == kind).collect()
    }

    /// Every tuple that was sent came to its task, was executed and has its verdict; times do not go
    /// back; and there is a way from the spout to each.
    fn assert_whole(spans: &[Span]) {
        let [opened, ended] = [of(spans, Kind::Opened), of(spans, Kind::Ended)];
        assert_eq!((opened.len(), ended.len()), (1, 1), "{spans:?}");
        let settled: BTreeMap<u64, &Span> = of(spans, Kind::Hop)
            .into_iter()
            .filter(|hop| !hop.verdict.is_empty())
            .map(|hop| (hop.edge, hop))
            .collect();
        let sent = of(spans, Kind::Sent);
        let known: BTreeSet<u64> = sent.iter().map(|sent| sent.edge).chain([0]).collect();
        for sent in &sent {
            let hop = settled
                .get(&sent.edge)
                .unwrap_or_else(|| panic!("{sent:?} came nowhere: {spans:?}"));
            assert_eq!(hop.task, sent.to);
            assert!(known.contains(&sent.parent), "{sent:?} came of nothing known: {spans:?}");
            let times = [opened[0].at_ns, sent.at_ns, hop.at_ns];
            assert!(times.is_sorted() && hop.at_ns <= ended[0].at_ns, "{sent:?} {hop:?}");
            if hop.verdict != "continued" {
                let times = [hop.at_ns, hop.began_ns, hop.ended_ns, hop.settled_ns];
                assert!(times.is_sorted(), "{hop:?}");
            }
        }
        assert_eq!(settled.len(), sent.iter().map(|sent| sent.edge).collect::<BTreeSet<_>>().len());
    }

    /// Whether any sampled tuple of a run was executed in the call that emitted it, and each is told of.
    fn any_fused(fusion: bool) -> bool {
        let trees = run(fusion, false);
        for spans in trees.values() {
            assert_whole(spans);
            let hops = of(spans, Kind::Hop);
            let tasks =
                |task| hops.iter().filter(|hop| hop.task == task && hop.verdict == "acked").count();
            assert_eq!((tasks(1), tasks(2)), (1, 2), "one call of `twice`, two of `sink`");
        }
        trees.values().flatten().any(|span| span.fused)
    }

    #[test]
    fn every_hop_of_a_sampled_tree_is_noted_fused_and_not() {
        assert!(!any_fused(false), "nothing is fused where fusion is off");
        // A bolt whose loop was interrupted counts as slow for a while, and is not fused.
        let seen = (0..50).any(|_| any_fused(true));
        assert!(seen, "batches are executed in the call that emitted them");
    }

    #[test]
    fn a_tuple_that_fails_says_where_and_why_fused_and_not() {
        for fusion in [true, false] {
            let (mut t, numbers) = builder(fusion, TROUBLE..TROUBLE + 20_000);
            t.bolt("sink", |_| Sink::default()).shuffle(&numbers);
            let (all, left_out) = noted(t.build().unwrap());
            let trees = sampled(&all);
            assert_known(&all, left_out);
            let failed = |spans: &&Vec<Span>| {
                of(spans, Kind::Ended).first().is_some_and(|ended| ended.verdict != "acked")
            };
            assert!(trees.values().filter(failed).count() > 0, "some fail");
            for spans in trees.values().filter(failed) {
                let ended = of(spans, Kind::Ended);
                let failed = of(spans, Kind::Hop).into_iter().find(|hop| hop.verdict == "error");
                let failed = failed.unwrap_or_else(|| panic!("it failed somewhere: {spans:?}"));
                assert_eq!((failed.task, failed.text.as_str()), (1, "cannot take it"));
                assert_eq!(ended[0].verdict, "error", "the spout hears of it");
            }
        }
    }

    #[test]
    fn what_a_bolt_keeps_is_held_and_what_it_joins_came_of_both() {
        let trees = run(true, true);
        for spans in trees.values() {
            assert_whole(spans);
        }
        let joined: Vec<&Span> = trees
            .values()
            .flatten()
            .filter(|span| span.kind() == Kind::Sent && span.to == 2)
            .collect();
        assert!(!joined.is_empty() && joined.iter().all(|sent| sent.parent != 0), "{joined:?}");
        let held = trees
            .values()
            .flatten()
            .filter(|span| span.settled_ns > span.ended_ns && span.ended_ns > 0);
        assert!(held.count() > 0, "the first of each pair is kept for a while");
    }
}
