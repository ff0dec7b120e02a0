//! One tree, of all that was noted of it.

use std::collections::{BTreeMap, BTreeSet};

use proto::supervisor::Span;
use proto::supervisor::span::Kind;

use super::gather::{Source, is_failure};
use super::times::{Clocks, Moment, microseconds};
use super::{Cast, Hop, HopState, Outcome, Tree};

/// Hops of one tree that are shown.
const HOPS_MAX: usize = 150;

/// A span, and which of the sources noted it.
pub(super) type Noted<'a> = (usize, &'a Span);

/// What was noted of one tuple.
#[derive(Debug, Default)]
struct Node<'a> {
    /// One for each tuple that it came of.
    sent: Vec<Noted<'a>>,
    /// What is known of it at its task.
    hop: Option<(usize, Span)>,
}

/// What was noted of one tree, sorted.
#[derive(Debug, Default)]
struct Parts<'a> {
    opened: Option<Noted<'a>>,
    ended: Option<Noted<'a>>,
    failed: Vec<Noted<'a>>,
    /// By the id of the tuple.
    nodes: BTreeMap<u64, Node<'a>>,
}

/// Joins what was noted of a tree.
pub(super) fn joined(
    (root, spans): (u64, &[(usize, Span)]),
    sources: &[Source],
    cast: &Cast,
) -> Tree {
    let parts = sorted(spans);
    let mut tree = begun((root, &parts), sources, cast);
    let clocks = Clocks::new(sources, beginning(&parts, sources));
    tree.began_ms = clocks.began_ms();
    let (order, cut) = order(&parts);
    tree.holes = holes(&parts, &tree, sources);
    tree.hops_left_out = order.len().saturating_sub(HOPS_MAX);
    let told = Told { parts: &parts, clocks, cast, over: tree.outcome != Outcome::Open };
    let mut numbers = BTreeMap::new();
    let mut moments = Vec::new();
    for (number, (edge, depth)) in order.iter().take(HOPS_MAX).enumerate() {
        let senders = parts.nodes[edge].sent.iter().map(|(_, sent)| sent.parent);
        let parents: BTreeSet<usize> =
            senders.filter_map(|parent| numbers.get(&parent).copied()).collect();
        let before = parents.first().map(|at: &usize| moments[*at]);
        let (hop, moment) = told.hop(*edge, before);
        let parents = parents.into_iter().collect();
        tree.hops.push(Hop { number, parents, depth: *depth, ..hop });
        numbers.insert(*edge, number);
        moments.push(moment);
    }
    if cut > 0 {
        tree.holes.push(format!("tuples whose sender was not seen: {cut}"));
    }
    let widest = tree.hops.iter().max_by(|one, other| one.width_us().total_cmp(&other.width_us()));
    tree.widest = widest.filter(|hop| hop.width_us() > 0.0).map(|hop| hop.number);
    tree.failed_at =
        tree.hops.iter().find(|hop| hop.state == HopState::Failed).map(|hop| hop.number);
    tree
}

fn sorted(spans: &[(usize, Span)]) -> Parts<'_> {
    let mut parts = Parts::default();
    for (source, span) in spans {
        match span.kind() {
            Kind::Opened => parts.opened = Some((*source, span)),
            Kind::Ended => parts.ended = Some((*source, span)),
            Kind::Failed => parts.failed.push((*source, span)),
            Kind::Sent => parts.nodes.entry(span.edge).or_default().sent.push((*source, span)),
            Kind::Hop => {
                let node = parts.nodes.entry(span.edge).or_default();
                node.hop = Some(match node.hop.take() {
                    // What one worker says of a tuple counts once, however often it says it.
                    Some((known, before)) if known == *source => (known, merged(before, span)),
                    Some(other) if !other.1.verdict.is_empty() => other,
                    _ => (*source, span.clone()),
                });
            }
            Kind::Unspecified => {}
        }
    }
    // 0 stands for the spout.
    parts.nodes.remove(&0);
    parts
}

fn merged(one: Span, other: &Span) -> Span {
    let first = |text: String, other: &String| if text.is_empty() { other.clone() } else { text };
    Span {
        at_ns: one.at_ns.max(other.at_ns),
        began_ns: one.began_ns.max(other.began_ns),
        ended_ns: one.ended_ns.max(other.ended_ns),
        settled_ns: one.settled_ns.max(other.settled_ns),
        verdict: first(one.verdict, &other.verdict),
        text: first(one.text, &other.text),
        fused: one.fused || other.fused,
        ..one
    }
}

/// What is known of the tree as a whole.
fn begun((root, parts): (u64, &Parts<'_>), sources: &[Source], cast: &Cast) -> Tree {
    let mut tree = Tree { id: format!("{root:016x}"), ..Tree::default() };
    if let Some((source, span)) = parts.opened.or(parts.ended) {
        let worker = sources[source].worker;
        (tree.task, tree.worker) = (Some(span.task), Some(worker));
        cast.component_of(span.task).clone_into(&mut tree.component);
        (tree.supervisor, tree.host) = cast.workers.get(&worker).cloned().unwrap_or_default();
    }
    let fails = parts.nodes.values().filter_map(|node| node.hop.as_ref()).map(|(_, span)| span);
    let fails = fails.chain(parts.failed.iter().map(|(_, span)| *span)).find(|it| is_failure(it));
    match (parts.ended, fails) {
        (Some((source, span)), _) => {
            let began = parts.opened.filter(|(from, _)| *from == source).map(|(_, it)| it.at_ns);
            let took = span.at_ns.saturating_sub(began.unwrap_or(span.began_ns));
            tree.took_us = Some(microseconds(i128::from(took)));
            if is_failure(span) {
                (tree.outcome, tree.reason) = (Outcome::Failed, Some(span.verdict.clone()));
            } else {
                tree.outcome = Outcome::Acked;
            }
        }
        // Its spout has not heard of it yet.
        (None, Some(span)) => {
            (tree.outcome, tree.reason) = (Outcome::Failed, Some(span.verdict.clone()));
        }
        (None, None) => {}
    }
    if let (None, Some((source, span))) = (tree.took_us, parts.opened) {
        let so_far = sources[source].now_ns.saturating_sub(span.at_ns);
        tree.took_us = Some(microseconds(i128::from(so_far)));
    }
    tree
}

/// When the tree began, as far as it is known.
fn beginning(parts: &Parts<'_>, sources: &[Source]) -> i128 {
    let at = |source: usize, ns: u64| i128::from(sources[source].epoch_ns) + i128::from(ns);
    if let Some((source, span)) = parts.opened {
        return at(source, span.at_ns);
    }
    if let Some((source, span)) = parts.ended {
        return at(source, span.began_ns);
    }
    let sent =
        parts.nodes.values().flat_map(|node| &node.sent).map(|(from, it)| at(*from, it.at_ns));
    let hops = parts.nodes.values().filter_map(|node| node.hop.as_ref());
    let came = hops.map(|(source, span)| at(*source, span.at_ns));
    let failed = parts.failed.iter().map(|(source, span)| at(*source, span.at_ns));
    sent.chain(came).chain(failed).min().unwrap_or(0)
}

/// The tuples, each behind one it came of, with how many hops lie before it; and how many there are
/// of which nobody knows what they came of.
fn order(parts: &Parts<'_>) -> (Vec<(u64, usize)>, usize) {
    let mut children = BTreeMap::<u64, Vec<u64>>::new();
    let mut tops = Vec::new();
    let mut cut = BTreeSet::new();
    for (edge, node) in &parts.nodes {
        let known = |parent: u64| parent == 0 || parts.nodes.contains_key(&parent);
        let parents = || node.sent.iter().map(|(_, sent)| sent.parent);
        match parents().find(|parent| *parent != 0 && known(*parent)) {
            Some(parent) => children.entry(parent).or_default().push(*edge),
            None => tops.push(*edge),
        }
        if !parents().any(known) {
            cut.insert(*edge);
        }
    }
    let when = |edge: &u64| {
        let node = &parts.nodes[edge];
        let sent = node.sent.first().map(|(_, sent)| sent.at_ns);
        sent.or(node.hop.as_ref().map(|(_, span)| span.at_ns))
    };
    tops.sort_by_key(when);
    let (mut order, mut visited) = (Vec::new(), BTreeSet::new());
    // What is reached from no top goes round in a circle, which no tree does: it is cut somewhere.
    for top in tops.into_iter().chain(parts.nodes.keys().copied()) {
        if visited.contains(&top) {
            continue;
        }
        if !parts.nodes[&top].sent.iter().any(|(_, sent)| sent.parent == 0) {
            cut.insert(top);
        }
        let mut open = vec![(top, 0)];
        while let Some((edge, depth)) = open.pop() {
            if !visited.insert(edge) {
                continue;
            }
            order.push((edge, depth));
            let mut next = children.get(&edge).cloned().unwrap_or_default();
            next.sort_by_key(when);
            open.extend(next.into_iter().rev().map(|edge| (edge, depth + 1)));
        }
    }
    (order, cut.len())
}

/// What of the tree was not seen.
fn holes(parts: &Parts<'_>, tree: &Tree, sources: &[Source]) -> Vec<String> {
    let mut holes = Vec::new();
    if parts.opened.is_none() {
        holes.push("how it began was not seen: it is older than the trace".to_owned());
    }
    if tree.outcome == Outcome::Open {
        return holes;
    }
    let unseen = parts.nodes.values().filter(|node| node.hop.is_none()).count();
    if unseen > 0 {
        holes.push(format!("tuples that were sent and not seen to arrive: {unseen}"));
    }
    let fails = |node: &Node<'_>| node.hop.as_ref().is_some_and(|(_, span)| is_failure(span));
    if tree.outcome == Outcome::Failed && !parts.nodes.values().any(fails) {
        let places = parts.failed.iter().map(|(source, span)| {
            format!("`{}` at worker {}", span.verdict, sources[*source].worker)
        });
        let places: BTreeSet<String> = places.collect();
        let places: Vec<String> = places.into_iter().collect();
        holes.push(match places.is_empty() {
            true => "no task was seen to fail it".to_owned(),
            false => format!("no task failed it: it was failed as {}", places.join(", ")),
        });
    }
    let no_end =
        |node: &&Node<'_>| node.hop.as_ref().is_some_and(|(_, span)| span.verdict.is_empty());
    let no_end = parts.nodes.values().filter(no_end).count();
    if no_end > 0 && tree.outcome == Outcome::Acked {
        holes.push(format!("tuples whose end was not seen: {no_end}"));
    }
    holes
}

/// Tells of tuples, one after another.
struct Told<'a> {
    parts: &'a Parts<'a>,
    clocks: Clocks<'a>,
    cast: &'a Cast,
    /// The tree has its verdict.
    over: bool,
}

impl Told<'_> {
    /// What is to be told of a tuple; `before` is what its times are held against. Gives the same for
    /// those that come of it.
    fn hop(&self, edge: u64, before: Option<Moment>) -> (Hop, Moment) {
        let node = &self.parts.nodes[&edge];
        let sent = node.sent.first();
        let mut hop = Hop::default();
        let sender = sent.map(|(source, sent)| self.clocks.sent(*source, sent.at_ns, before));
        let moment = match (&node.hop, sender) {
            (Some((source, span)), sender) => {
                let arrived = self.clocks.arrived(*source, span.at_ns, sender);
                self.seen(&mut hop, (*source, span));
                hop.way_us = sender.map(|sent| microseconds(arrived.wall - sent.wall));
                hop.clocks_apart_us = arrived.apart.map(microseconds);
                hop.start_us = self.clocks.since_begin(sender.unwrap_or(arrived));
                arrived
            }
            (None, Some(sender)) => {
                hop.start_us = self.clocks.since_begin(sender);
                if !self.over {
                    hop.state = HopState::Waiting;
                    hop.way_us = Some(microseconds(self.clocks.since(sender)));
                }
                sender
            }
            (None, None) => self.clocks.begin(),
        };
        let task = node.hop.as_ref().map(|(_, span)| span.task);
        hop.task = task.or(sent.map(|(_, sent)| sent.to)).unwrap_or(0);
        self.cast.component_of(hop.task).clone_into(&mut hop.component);
        let at = node.hop.as_ref().map(|(source, _)| self.clocks.worker(*source));
        hop.worker = at.or_else(|| self.cast.worker_of(hop.task));
        if let Some((supervisor, host)) = hop.worker.and_then(|it| self.cast.workers.get(&it)) {
            (hop.supervisor, hop.host) = (supervisor.clone(), host.clone());
        }
        (hop, moment)
    }

    /// What is known of a tuple at its task.
    fn seen(&self, hop: &mut Hop, (source, span): (usize, &Span)) {
        let now_ns = self.clocks.now_ns(source);
        let between = |from: u64, to: u64| {
            let to = if to == 0 && !self.over { now_ns } else { to };
            (from != 0 && to != 0).then(|| microseconds(i128::from(to.saturating_sub(from))))
        };
        // What was put back was begun with then, if it had not been before.
        let put_back = if span.verdict == "continued" { span.settled_ns } else { 0 };
        let first = |at: u64| if at == 0 { put_back } else { at };
        hop.wait_us = between(span.at_ns, first(span.began_ns));
        if span.began_ns != 0 {
            hop.execute_us = between(span.began_ns, first(span.ended_ns));
        }
        if span.ended_ns != 0 {
            hop.held_us = between(span.ended_ns, span.settled_ns);
        }
        hop.fused = span.fused;
        hop.state = match (span.verdict.as_str(), self.over) {
            ("acked", _) => HopState::Acked,
            ("continued", _) => HopState::Continued,
            ("", true) => HopState::Unseen,
            ("", false) if span.ended_ns != 0 => HopState::Held,
            ("", false) if span.began_ns != 0 => HopState::Executing,
            ("", false) => HopState::Waiting,
            (reason, _) => {
                hop.reason = Some(reason.to_owned());
                hop.text = Some(span.text.clone()).filter(|text| !text.is_empty());
                HopState::Failed
            }
        };
    }
}
