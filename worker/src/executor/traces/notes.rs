//! What is noted of tuples apart from what a task does with them: where trees begin and end, who sent
//! what to whom, and trees that failed on their way.

use std::time::{Duration, Instant};

use proto::supervisor::Span;
use proto::supervisor::span::Kind;

use super::{Tracer, is_failure, rank};
use crate::engine::acking::{Edge, Outcome, RootId, Verdict};

/// The verdict of what was processed.
pub(super) const ACKED: &str = "acked";

/// Stands for a verdict where a task put a tuple back in its own queue.
pub(super) const CONTINUED: &str = "continued";

impl Tracer {
    /// Notes which trees a spout's task has just opened.
    #[cold]
    pub fn opened(&mut self, task: u32, roots: &[u64], at: Instant) {
        let at_ns = self.ns(at);
        for root in roots {
            if let Some(rank) = RootId::from_bits(*root).and_then(|_| self.rank_of(*root)) {
                let kind = Kind::Opened.into();
                self.note(Span { kind, root: *root, rank, task, at_ns, ..Span::default() });
            }
        }
    }

    /// Notes the verdict of a tree, which has been open for some time.
    #[cold]
    pub fn ended(&mut self, root: RootId, verdict: &Verdict, (now, open): (Instant, Duration)) {
        let root = root.bits();
        let word = match verdict.outcome {
            Outcome::Acked => ACKED,
            Outcome::Failed(reason) => reason.name(),
        };
        if self.rank_of(root).is_none() && verdict.outcome == Outcome::Acked {
            return;
        }
        let at_ns = self.ns(now);
        let open = u64::try_from(open.as_nanos()).unwrap_or(u64::MAX);
        self.note(Span {
            kind: Kind::Ended.into(),
            root,
            rank: rank(root),
            task: verdict.task,
            at_ns,
            // A tree may be older than what times count from.
            began_ns: at_ns.saturating_sub(open).max(1),
            verdict: word.to_owned(),
            ..Span::default()
        });
    }

    /// Notes that a tuple was emitted for a task, if its tree is looked at.
    pub fn sent(&mut self, edge: Edge, parent: u64, (task, to): (u32, u32), at: Instant) {
        let Some(rank) = self.rank_of(edge.root) else { return };
        let (kind, at_ns) = (Kind::Sent.into(), self.ns(at));
        let Edge { root, id } = edge;
        self.note(Span { kind, root, edge: id, parent, rank, task, to, at_ns, ..Span::default() });
    }

    /// Notes that a tree was failed by this loop.
    #[cold]
    pub fn failed_tree(&mut self, root: u64, reason: &str, at: Instant) {
        // The task that failed its input has just said so.
        if self.spans.last().is_some_and(|last| last.root == root && is_failure(last)) {
            return;
        }
        let (kind, at_ns, verdict) = (Kind::Failed.into(), self.ns(at), reason.to_owned());
        self.note(Span { kind, root, rank: rank(root), at_ns, verdict, ..Span::default() });
    }
}
