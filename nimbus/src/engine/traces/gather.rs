//! What the workers noted, as it comes in, within bounds: if there is too much, fewer trees are kept.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use proto::supervisor::span::Kind;
use proto::supervisor::{Span, Tapped};

use super::join::joined;
use super::{Cast, Outcome, Traces, Tree};

/// What is kept at once: some ten megabytes.
const SPANS_MAX: usize = 40_000;

/// Hops of all trees that are shown: the document stays below a mebibyte.
const HOPS_MAX: usize = 1_200;

/// What is missing of a tree that is not sampled.
const NOT_SAMPLED: &str = "it is not one of the sample: only where and why it failed was noted";

/// Which trees somebody wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How many.
    pub limit: usize,
    /// The slowest first, of all that there are.
    pub slowest: bool,
    /// Only those that failed.
    pub failed: bool,
    /// Only those of this spout; empty: of all.
    pub component: String,
}

/// A worker that notes, and its clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    pub(super) worker: u32,
    /// When its times count from, by its wall clock.
    pub(super) epoch_ns: u64,
    /// When it said something last, counted from there.
    pub(super) now_ns: u64,
    rank_min: u32,
}

/// What the workers noted so far.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    sources: Vec<Source>,
    /// By tree: who noted it, and what.
    trees: BTreeMap<u64, Vec<(usize, Span)>>,
    /// Trees that were seen to begin.
    opened: BTreeSet<u64>,
    /// Trees that ended: the spout's task, and whether it failed.
    ended: BTreeMap<u64, (u32, bool)>,
    /// Trees that are kept whatever their rank, because they failed.
    failing: BTreeSet<u64>,
    count: usize,
    rank_min: u32,
    left_out: u64,
}

impl Gathered {
    /// Takes what a worker noted.
    pub fn take(&mut self, worker: u32, tapped: Tapped) {
        let Tapped { epoch_ns, now_ns, rank_min, left_out, spans, .. } = tapped;
        self.left_out = self.left_out.saturating_add(left_out);
        // One that has said nothing yet has no clock either.
        if epoch_ns == 0 {
            return;
        }
        let known = |it: &Source| it.worker == worker && it.epoch_ns == epoch_ns;
        let at = self.sources.iter().position(known).unwrap_or_else(|| {
            self.sources.push(Source { worker, epoch_ns, ..Source::default() });
            self.sources.len() - 1
        });
        self.sources[at].now_ns = now_ns;
        self.sources[at].rank_min = rank_min;
        self.rank_min = self.rank_min.max(rank_min.min(64));
        spans.into_iter().for_each(|span| self.put(at, span));
    }

    fn put(&mut self, source: usize, span: Span) {
        let failing = is_failure(&span);
        let wanted = failing || span.rank >= self.rank_min || self.failing.contains(&span.root);
        if !wanted {
            return;
        }
        if failing {
            self.failing.insert(span.root);
        }
        match span.kind() {
            Kind::Opened => drop(self.opened.insert(span.root)),
            Kind::Ended => drop(self.ended.insert(span.root, (span.task, failing))),
            _ => {}
        }
        self.trees.entry(span.root).or_default().push((source, span));
        self.count += 1;
        while self.count > SPANS_MAX {
            self.thin_out();
        }
    }

    /// Keeps half of the trees, or where most failed, one of those less.
    fn thin_out(&mut self) {
        if self.failing.len() * 2 <= self.trees.len() {
            self.rank_min += 1;
            return self.forget_others();
        }
        if let Some(root) = self.failing.pop_first() {
            let spans = self.trees.remove(&root).map_or(0, |spans| spans.len());
            self.count -= spans;
            self.left_out = self.left_out.saturating_add(spans as u64);
            self.ended.remove(&root);
            self.opened.remove(&root);
        }
    }

    /// Forgets trees that not all look at.
    fn forget_others(&mut self) {
        let (rank_min, failing) = (self.rank_min, &self.failing);
        self.trees.retain(|root, spans| failing.contains(root) || rank_of(spans) >= rank_min);
        self.ended.retain(|root, _| self.trees.contains_key(root));
        self.opened.retain(|root| self.trees.contains_key(root));
        self.count = self.trees.values().map(Vec::len).sum();
    }

    /// How many trees have ended that somebody wants to see: failed ones, and such as began since.
    #[must_use]
    pub fn ended(&self, asked: &Asked, cast: &Cast) -> usize {
        let wanted = |(root, (task, failed)): &(&u64, &(u32, bool))| {
            let wanted = *failed || (!asked.failed && self.opened.contains(root));
            wanted && is_of(cast.component_of(*task), asked)
        };
        self.ended.iter().filter(wanted).count()
    }

    /// Joins what there is into trees, and chooses those that somebody wants to see.
    #[must_use]
    pub fn finish(mut self, asked: &Asked, cast: &Cast) -> Traces {
        self.forget_others();
        let trees = self.trees.iter().filter(|(root, _)| **root != 0);
        let trees = trees.map(|(root, spans)| {
            let mut tree = joined((*root, spans), &self.sources, cast);
            if rank_of(spans) < self.rank_min {
                tree.holes.retain(|hole| hole.starts_with("no task"));
                tree.holes.insert(0, NOT_SAMPLED.to_owned());
            }
            tree
        });
        let mut trees: Vec<Tree> = trees.filter(|tree| is_of(&tree.component, asked)).collect();
        let is_failed = |tree: &Tree| tree.outcome == Outcome::Failed;
        let (seen, failed) = (trees.len(), trees.iter().filter(|tree| is_failed(tree)).count());
        trees.retain(|tree| is_failed(tree) || !asked.failed);
        if asked.slowest {
            let took = |tree: &Tree| tree.took_us.unwrap_or(0.0);
            trees.sort_by(|one, other| took(other).total_cmp(&took(one)));
        } else {
            // What is whole says more.
            let key = |tree: &Tree| (tree.outcome == Outcome::Open, !tree.holes.is_empty());
            trees.sort_by_key(|tree| (key(tree), Reverse(tree.began_ms)));
        }
        trees.truncate(asked.limit);
        let mut room = HOPS_MAX;
        for tree in &mut trees {
            let fit = room.min(tree.hops.len());
            tree.hops_left_out += tree.hops.len() - fit;
            tree.hops.truncate(fit);
            tree.widest = tree.widest.filter(|at| *at < fit);
            tree.failed_at = tree.failed_at.filter(|at| *at < fit);
            room -= fit;
        }
        let one_in = 1_u64.checked_shl(self.rank_min).unwrap_or(u64::MAX);
        Traces { trees, seen, failed, one_in, left_out: self.left_out, ..Traces::default() }
    }
}

/// The rank of a tree, of which these were noted.
fn rank_of(spans: &[(usize, Span)]) -> u32 {
    spans.iter().map(|(_, span)| span.rank).max().unwrap_or(0)
}

fn is_of(component: &str, asked: &Asked) -> bool {
    asked.component.is_empty() || asked.component == component
}

/// Whether it says that a tree failed.
pub(super) fn is_failure(span: &Span) -> bool {
    match span.kind() {
        Kind::Failed => true,
        Kind::Hop | Kind::Ended => !matches!(span.verdict.as_str(), "" | "acked" | "continued"),
        Kind::Unspecified | Kind::Opened | Kind::Sent => false,
    }
}
