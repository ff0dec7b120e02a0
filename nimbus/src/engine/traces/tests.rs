//! Joining what workers noted: whole trees, parts of them, and anything at all.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proto::supervisor::span::Kind;
use proto::supervisor::{Span, Tapped};

use super::{Asked, Cast, Gathered, HopState, Outcome, Traces};

const ROOT: u64 = 77;
const MS: u64 = 1_000_000;

/// `lines` (task 0) at worker 0; `split` (1) and `count` (2, 3) at worker 1.
fn cast() -> Cast {
    let name = |name: &str| name.to_owned();
    let place = |host: &str| (format!("s-{host}"), name(host));
    Cast {
        components: vec![(name("lines"), 0..1), (name("split"), 1..2), (name("count"), 2..4)],
        executors: vec![(0..1, 0), (1..2, 1), (2..4, 1)],
        workers: [(0, place("a")), (1, place("b"))].into(),
    }
}

fn all() -> Asked {
    Asked { limit: 100, slowest: true, failed: false, component: String::new() }
}

fn span(kind: Kind, task: u32, at_ms: u64) -> Span {
    Span { kind: kind.into(), root: ROOT, rank: 3, task, at_ns: at_ms * MS, ..Span::default() }
}

fn sent(edge: u64, parent: u64, (task, to): (u32, u32), at_ms: u64) -> Span {
    Span { edge, parent, to, ..span(Kind::Sent, task, at_ms) }
}

fn hop(edge: u64, task: u32, [at, began, ended, settled]: [u64; 4], verdict: &str) -> Span {
    let (began_ns, ended_ns, settled_ns) = (began * MS, ended * MS, settled * MS);
    let verdict = verdict.to_owned();
    Span { edge, began_ns, ended_ns, settled_ns, verdict, ..span(Kind::Hop, task, at) }
}

/// One line of two words; the second word is slow, and held for a while.
fn word_count() -> Vec<(u32, Span)> {
    let ended = Span { began_ns: MS, verdict: "acked".to_owned(), ..span(Kind::Ended, 0, 60) };
    vec![
        (0, span(Kind::Opened, 0, 1)),
        (0, sent(10, 0, (0, 1), 1)),
        (1, hop(10, 1, [3, 0, 0, 0], "")),
        (1, sent(11, 10, (1, 2), 5)),
        (1, sent(12, 10, (1, 3), 5)),
        (1, hop(10, 1, [3, 4, 5, 5], "acked")),
        (1, hop(11, 2, [5, 6, 7, 7], "acked")),
        (1, hop(12, 3, [5, 10, 40, 50], "acked")),
        (0, ended),
    ]
}

fn gathered(spans: impl IntoIterator<Item = (u32, Span)>, epochs: [u64; 2]) -> Gathered {
    let mut gathered = Gathered::default();
    for (worker, span) in spans {
        let epoch_ns = epochs[worker as usize % 2];
        let (now_ns, spans) = (100 * MS, vec![span]);
        gathered.take(worker, Tapped { epoch_ns, now_ns, spans, ..Tapped::default() });
    }
    gathered
}

fn joined(spans: impl IntoIterator<Item = (u32, Span)>, epochs: [u64; 2]) -> Traces {
    gathered(spans, epochs).finish(&all(), &cast())
}

const EPOCH: u64 = 1_700_000_000_000 * MS;

#[test]
fn a_whole_tree_has_every_hop_where_it_was_and_no_hole() {
    let mut spans = word_count();
    spans.reverse();
    let traces = joined(spans, [EPOCH; 2]);
    let tree = &traces.trees[0];
    assert_eq!((tree.outcome, tree.took_us), (Outcome::Acked, Some(59_000.0)), "{tree:?}");
    assert_eq!((tree.component.as_str(), tree.host.as_str()), ("lines", "a"));
    assert!(tree.holes.is_empty(), "{:?}", tree.holes);
    let hops: Vec<_> =
        tree.hops.iter().map(|hop| (hop.component.as_str(), hop.task, hop.depth)).collect();
    assert_eq!(hops, [("split", 1, 0), ("count", 2, 1), ("count", 3, 1)]);
    let slow = &tree.hops[2];
    let times = [slow.way_us, slow.wait_us, slow.execute_us, slow.held_us];
    assert_eq!(times, [Some(0.0), Some(5_000.0), Some(30_000.0), Some(10_000.0)]);
    assert_eq!((slow.parents.as_slice(), slow.start_us, slow.worker), (&[0][..], 4_000.0, Some(1)));
    assert_eq!(tree.widest, Some(2), "it took longest");
    assert_eq!(tree.hops[0].way_us, Some(2_000.0), "between two workers");
}

#[test]
fn a_failed_tuple_shows_where_and_why_also_of_a_tree_that_is_not_sampled() {
    let failed = Span { text: "no such word".to_owned(), ..hop(11, 2, [5, 6, 7, 7], "error") };
    let ended = Span { verdict: "error".to_owned(), began_ns: MS, ..span(Kind::Ended, 0, 9) };
    let mut gathered = gathered([(1, failed), (0, ended)], [EPOCH; 2]);
    let strict = Tapped { epoch_ns: EPOCH, rank_min: 9, ..Tapped::default() };
    gathered.take(1, strict);
    let traces = gathered.finish(&Asked { failed: true, ..all() }, &cast());
    assert_eq!((traces.seen, traces.failed, traces.one_in), (1, 1, 512));
    let tree = &traces.trees[0];
    assert_eq!((tree.outcome, tree.reason.as_deref()), (Outcome::Failed, Some("error")));
    let hop = &tree.hops[tree.failed_at.expect("it is known where")];
    assert_eq!((hop.component.as_str(), hop.task, hop.state), ("count", 2, HopState::Failed));
    assert_eq!(hop.text.as_deref(), Some("no such word"));
    assert!(tree.holes.len() == 1 && tree.holes[0].contains("sample"), "{:?}", tree.holes);
}

#[test]
fn what_no_task_failed_names_the_worker_that_did() {
    let lost = Span { verdict: "link-lost".to_owned(), ..span(Kind::Failed, 0, 8) };
    let ended = Span { verdict: "link-lost".to_owned(), ..span(Kind::Ended, 0, 9) };
    let spans = [(0, span(Kind::Opened, 0, 1)), (0, sent(10, 0, (0, 1), 1)), (0, lost), (0, ended)];
    let tree = &joined(spans, [EPOCH; 2]).trees[0];
    assert_eq!((tree.hops[0].state, tree.failed_at), (HopState::Unseen, None));
    let holes = tree.holes.join("; ");
    assert!(holes.contains("`link-lost` at worker 0"), "{holes}");
    assert!(holes.contains("tuples that were sent and not seen to arrive: 1"), "{holes}");
}

#[test]
fn an_open_tree_shows_what_it_waits_for_and_for_how_long() {
    let spans: Vec<_> = word_count().into_iter().take(5).collect();
    let tree = &joined(spans.clone(), [EPOCH; 2]).trees[0];
    assert_eq!((tree.outcome, tree.took_us), (Outcome::Open, Some(99_000.0)), "so far");
    assert_eq!((tree.hops[0].state, tree.hops[0].wait_us), (HopState::Waiting, Some(97_000.0)));
    assert_eq!(tree.hops[1].way_us, Some(95_000.0), "it is not known to have arrived");
    let states = |span: Span| {
        let spans = spans.iter().cloned().chain([(1, span)]);
        joined(spans, [EPOCH; 2]).trees[0].hops[0].state
    };
    assert_eq!(states(hop(10, 1, [3, 4, 0, 0], "")), HopState::Executing);
    assert_eq!(states(hop(10, 1, [3, 4, 5, 0], "")), HopState::Held);
    let spans = spans.iter().cloned().chain([(1, hop(10, 1, [3, 0, 0, 20], "continued"))]);
    let put_back = &joined(spans, [EPOCH; 2]).trees[0].hops[0];
    assert_eq!((put_back.state, put_back.wait_us), (HopState::Continued, Some(17_000.0)));
}

#[test]
fn clocks_that_differ_are_told_of_and_nothing_arrives_before_it_was_sent() {
    // The clock of worker 1 is 30 ms behind.
    let tree = &joined(word_count(), [EPOCH, EPOCH - 30 * MS]).trees[0];
    let split = &tree.hops[0];
    assert_eq!(split.clocks_apart_us, Some(28_000.0), "at least: the way takes time too");
    assert_eq!((split.way_us, split.wait_us, split.start_us), (Some(0.0), Some(1_000.0), 0.0));
    let slow = &tree.hops[2];
    assert_eq!(slow.clocks_apart_us, None, "one worker has one clock");
    assert_eq!((slow.start_us, slow.way_us), (2_000.0, Some(0.0)), "it moves with its sender");
}

#[test]
fn the_slowest_come_first_and_a_spout_has_its_own() {
    let ended = |root: u64, took: u64, task: u32| {
        let (began_ns, verdict) = (MS, "acked".to_owned());
        (0, Span { root, began_ns, verdict, ..span(Kind::Ended, task, 1 + took) })
    };
    let spans = || (1..=20).map(|root| ended(root, root * 7 % 20, 0)).chain([ended(21, 50, 1)]);
    let took = |asked: &Asked| {
        let traces = gathered(spans(), [EPOCH; 2]).finish(asked, &cast());
        traces
            .trees
            .iter()
            .map(|tree| tree.took_us.unwrap_or(-1.0) as u64 / 1_000)
            .collect::<Vec<_>>()
    };
    assert_eq!(took(&Asked { limit: 3, ..all() }), [50, 19, 18]);
    let lines = Asked { component: "lines".to_owned(), limit: 2, ..all() };
    assert_eq!(took(&lines), [19, 18]);
    let older = gathered(spans(), [EPOCH; 2]);
    assert_eq!(older.ended(&all(), &cast()), 0, "they are older than the trace");
    let opened = |root: u64| (0, Span { root, ..span(Kind::Opened, 0, 1) });
    let gathered = gathered(spans().chain((1..=21).map(opened)), [EPOCH; 2]);
    assert_eq!((gathered.ended(&lines, &cast()), gathered.ended(&all(), &cast())), (20, 21));
    assert_eq!(gathered.ended(&Asked { failed: true, ..all() }, &cast()), 0);
}

#[test]
fn what_does_not_fit_is_thinned_out_by_whole_trees() {
    let mut gathered = Gathered::default();
    for root in 1..=60_000_u64 {
        let rank = root.trailing_zeros();
        let whole = word_count().into_iter().map(|(_, span)| Span { root, rank, ..span });
        let spans = whole.take(2).collect();
        gathered.take(0, Tapped { epoch_ns: EPOCH, spans, ..Tapped::default() });
    }
    let traces = gathered.finish(&all(), &cast());
    assert!(traces.one_in >= 4 && traces.seen > 1_000, "{} {}", traces.one_in, traces.seen);
    let lines = serde_json::to_string(&traces).expect("plain data");
    assert!(lines.len() < 1 << 20, "{} bytes", lines.len());
}

fn anything() -> impl Strategy<Value = Span> {
    let id = || prop_oneof![4 => 0_u64..6, 1 => any::<u64>()];
    let time = || prop_oneof![1 => Just(0_u64), 4 => 0..100 * MS, 1 => any::<u64>()];
    let verdict = prop_oneof![Just(""), Just("acked"), Just("error"), Just("continued")];
    let ids = (0_i32..7, id(), id(), id(), 0_u32..5, 0_u32..5, 0_u32..70);
    (ids, time(), time(), time(), time(), verdict).prop_map(
        |(
            (kind, root, edge, parent, task, to, rank),
            at_ns,
            began_ns,
            ended_ns,
            settled_ns,
            verdict,
        )| Span {
            kind,
            root,
            edge,
            parent,
            task,
            to,
            rank,
            at_ns,
            began_ns,
            ended_ns,
            settled_ns,
            verdict: verdict.to_owned(),
            ..Span::default()
        },
    )
}

/// What must hold of any tree.
fn assert_sound(traces: &Traces) {
    for tree in &traces.trees {
        for (number, hop) in tree.hops.iter().enumerate() {
            assert_eq!(hop.number, number);
            assert!(hop.parents.iter().all(|parent| *parent < number), "{tree:?}");
            let times = [hop.way_us, hop.wait_us, hop.execute_us, hop.held_us, Some(hop.start_us)];
            assert!(times.into_iter().flatten().all(|time| time >= 0.0), "{hop:?}");
        }
        let numbers = tree.widest.into_iter().chain(tree.failed_at);
        assert!(numbers.into_iter().all(|number| number < tree.hops.len()), "{tree:?}");
    }
}

proptest! {
    #[test]
    fn anything_in_any_order_gives_trees_and_no_panic(
        spans in vec((0_u32..4, anything()), 0..60),
        epochs in (any::<u64>(), any::<u64>()),
    ) {
        assert_sound(&joined(spans, [epochs.0, epochs.1]));
    }

    #[test]
    fn a_part_of_a_tree_is_that_tree_with_what_is_missing_named(
        kept in vec(any::<bool>(), 9),
        order in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let whole = word_count();
        let spans = order.iter().filter(|at| kept[**at]).map(|at| whole[*at].clone());
        let traces = joined(spans, [EPOCH; 2]);
        assert_sound(&traces);
        let Some(tree) = traces.trees.first() else { return Ok(()) };
        let full = &joined(whole.clone(), [EPOCH; 2]).trees[0];
        let same = |task: u32| full.hops.iter().find(|hop| hop.task == task).map(|hop| hop.component.as_str());
        assert!(tree.hops.iter().all(|hop| same(hop.task) == Some(hop.component.as_str())), "{tree:?}");
        // Of each tuple, either all is known of the way to it and of its end, or a hole is named.
        let known = |at: &[usize]| at.iter().all(|at| kept[*at]);
        let complete = known(&[0, 1, 3, 4, 5, 6, 7, 8]);
        assert!(complete || !tree.holes.is_empty() || tree.outcome == Outcome::Open || tree.hops.len() < 3, "{tree:?}");
        assert!(!complete || tree.holes.is_empty(), "{tree:?}");
    }
}
