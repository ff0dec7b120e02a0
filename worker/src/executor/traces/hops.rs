//! The tuples of sampled trees that a task has in hand or holds: each is executed in a call of its own,
//! so that it is timed for itself, while its neighbours go on in groups.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use proto::supervisor::Span;
use proto::supervisor::span::Kind;
use topology_api::runtime::UNANCHORED;

use super::notes::{ACKED, CONTINUED};
use super::{Tracer, rank};
use crate::engine::acking::{Edge, EdgeIds, Tracking};
use crate::executor::anchoring::Anchoring;
use crate::executor::calls::Pace;

/// How much is shown of what a component said.
const TEXT_BYTES_MAX: usize = 300;

/// Held tuples that are looked at, of one executor.
const HELD_MAX: usize = 1_024;

/// One tuple, by its place in its batch, in one of its trees.
#[derive(Clone, Debug)]
struct Hop {
    input: usize,
    span: Span,
}

/// The tuples of a batch that are looked at, in their order.
#[derive(Debug)]
pub struct Hops {
    hops: Vec<Hop>,
    /// Where the inputs of the batch are held, if they are.
    slots: Vec<u32>,
}

/// What became of tuples, and what the component said of that.
#[derive(Clone, Copy, Debug)]
pub struct Fate<'a> {
    /// Why it failed; none if it was processed.
    pub failed: Option<&'a str>,
    /// What the component said.
    pub text: &'a str,
    /// When that was.
    pub at: Instant,
}

impl Tracer {
    /// The tuples of a batch that are looked at, which came to its task at this time.
    #[cold]
    pub fn take(
        &mut self,
        task: u32,
        (tracking, slots): (&Tracking, &[u32]),
        since: Instant,
    ) -> Option<Box<Hops>> {
        let at_ns = self.ns(since);
        let mut hops = Vec::new();
        for input in 0..tracking.len() {
            for edge in tracking.of(input) {
                if let Some(rank) = self.rank_of(edge.root) {
                    let span = Span { at_ns, ..hop(task, *edge, rank) };
                    self.note(span.clone());
                    hops.push(Hop { input, span });
                }
            }
        }
        (!hops.is_empty()).then(|| Box::new(Hops { hops, slots: slots.to_vec() }))
    }

    /// The tuples of a batch that are looked at, which a task executes within the call that emitted
    /// them. They have no edges: an id is made up for each.
    #[cold]
    pub fn take_fused(
        &mut self,
        (source, target): (u32, u32),
        (anchors, parents): (&[u32], &[u64]),
        anchoring: &Anchoring<'_>,
        (ids, now): (&mut EdgeIds, Instant),
    ) -> Option<Box<Hops>> {
        let at_ns = self.ns(now);
        let mut hops = Vec::new();
        for (input, anchor) in anchors.iter().enumerate().filter(|(_, it)| **it != UNANCHORED) {
            let mut id = 0;
            anchoring.anchored_to(*anchor, |of| {
                let Some(rank) = self.rank_of(of.root) else { return };
                if id == 0 {
                    id = ids.next();
                }
                let edge = Edge { root: of.root, id };
                let parent = parents.get(input).copied().unwrap_or(of.id);
                self.sent(edge, parent, (source, target), now);
                hops.push(Hop {
                    input,
                    span: Span { at_ns, fused: true, ..hop(target, edge, rank) },
                });
            });
        }
        (!hops.is_empty()).then(|| Box::new(Hops { hops, slots: Vec::new() }))
    }

    /// Notes that an input failed, whether its tree is looked at or not.
    #[cold]
    pub fn failed(
        &mut self,
        task: u32,
        (edges, since): (&[Edge], Instant),
        (hops, input): (Option<&mut Hops>, usize),
        fate: Fate<'_>,
    ) {
        let seen = hops.map_or(0, |hops| hops.settle(input..input + 1, fate, self));
        if seen < edges.len() {
            let at_ns = self.ns(since);
            for edge in edges {
                if self.rank_of(edge.root).is_none() {
                    let span = Span { at_ns, ..hop(task, *edge, rank(edge.root)) };
                    self.settled(span, fate);
                }
            }
        }
    }

    fn settled(&mut self, mut span: Span, fate: Fate<'_>) {
        span.settled_ns = self.ns(fate.at);
        span.verdict = fate.failed.unwrap_or(ACKED).to_owned();
        span.text = cut(fate.text);
        self.note(span);
    }
}

fn hop(task: u32, Edge { root, id }: Edge, rank: u32) -> Span {
    Span { kind: Kind::Hop.into(), root, edge: id, rank, task, ..Span::default() }
}

fn cut(text: &str) -> String {
    let end = (0..=text.len().min(TEXT_BYTES_MAX)).rev().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].to_owned()
}

impl Hops {
    /// A call begins for the inputs from `first` on. Tells how many of them it may be for, of as many
    /// as the pace allows.
    pub fn begin(
        &mut self,
        first: usize,
        pace: Pace,
        (now, tracer): (Instant, &mut Tracer),
    ) -> usize {
        let Some(next) = self.hops.iter().position(|hop| hop.input >= first) else {
            return pace.calls();
        };
        let distance = self.hops[next].input - first;
        if distance > 0 {
            return pace.calls().min(distance);
        }
        for hop in self.hops[next..].iter_mut().take_while(|hop| hop.input == first) {
            if hop.span.began_ns == 0 {
                hop.span.began_ns = tracer.ns(now);
                // Who looks should see what a long call is for while it lasts.
                if !pace.is_full() {
                    tracer.note(hop.span.clone());
                }
            }
        }
        1
    }

    /// The call has ended for these inputs.
    pub fn end(&mut self, done: Range<usize>, now: Instant, tracer: &Tracer) {
        for hop in self.hops.iter_mut().filter(|hop| done.contains(&hop.input)) {
            hop.span.ended_ns = tracer.ns(now);
        }
    }

    /// Notes what became of these inputs, and tells how many there were to note.
    pub fn settle(&mut self, inputs: Range<usize>, fate: Fate<'_>, tracer: &mut Tracer) -> usize {
        let settled = self.hops.extract_if(.., |hop| inputs.contains(&hop.input));
        settled.map(|hop| tracer.settled(hop.span, fate)).count()
    }

    /// The id that stands for an input of a fused batch; 0 if it is not looked at.
    #[must_use]
    pub fn edge_of(&self, input: u32) -> u64 {
        let at = self.hops.binary_search_by_key(&(input as usize), |hop| hop.input);
        at.map_or(0, |at| self.hops[at].span.edge)
    }

    /// What is left of a fused batch goes back into the task's own hand, with edges of its own.
    #[cold]
    pub fn go_on(
        mut self: Box<Self>,
        tracking: &Tracking,
        now: Instant,
        tracer: &mut Tracer,
    ) -> Option<Box<Self>> {
        for mut before in std::mem::take(&mut self.hops) {
            let (input, task) = (before.input, before.span.task);
            let edges = tracking.of(input).iter();
            let Some(edge) = edges.copied().find(|edge| edge.root == before.span.root) else {
                continue;
            };
            tracer.sent(edge, before.span.edge, (task, task), now);
            let span = Span { at_ns: tracer.ns(now), ..hop(task, edge, before.span.rank) };
            before.span.settled_ns = span.at_ns;
            CONTINUED.clone_into(&mut before.span.verdict);
            tracer.note(before.span);
            self.hops.push(Hop { input, span });
        }
        (!self.hops.is_empty()).then_some(self)
    }
}

/// The tuples that the tasks of an executor hold until they give a verdict, by task and slot, as far
/// as they are looked at.
#[derive(Debug, Default)]
pub struct HeldHops(HashMap<(usize, u32), Vec<Span>>);

impl HeldHops {
    /// Forgets all when nobody looks any more.
    #[inline]
    pub fn look(&mut self, tracer: &Tracer) {
        if !tracer.is_on() && !self.0.is_empty() {
            self.0.clear();
        }
    }

    /// The inputs whose calls have ended are held from now on.
    #[cold]
    pub fn hold(&mut self, cell: usize, hops: &mut Hops, tracer: &mut Tracer) {
        for Hop { input, span } in hops.hops.extract_if(.., |hop| hop.span.ended_ns != 0) {
            tracer.note(span.clone());
            if let Some(slot) = hops.slots.get(input).filter(|_| self.0.len() < HELD_MAX) {
                self.0.entry((cell, *slot)).or_default().push(span);
            }
        }
    }

    /// Notes what became of what was held in a slot, and whether it was looked at.
    #[cold]
    pub fn settle(&mut self, held: (usize, u32), fate: Fate<'_>, tracer: &mut Tracer) -> bool {
        let spans = self.0.remove(&held).unwrap_or_default();
        let any = !spans.is_empty();
        spans.into_iter().for_each(|span| tracer.settled(span, fate));
        any
    }
}
