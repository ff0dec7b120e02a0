//! Which edges the tuples of one emitted column got, for who looks at their trees.

use super::edge::{Edge, Parts, Way};
use crate::engine::acking::Tracking;
use crate::executor::anchoring::Anchoring;
use crate::executor::exits::Exits;

impl Edge {
    /// How many tuples wait for each target.
    #[cold]
    pub(super) fn tied(&self) -> Vec<usize> {
        self.tracking.iter().map(Tracking::len).collect()
    }

    /// Notes what was sent to whom, and what it came of; `before` is what waited before.
    #[cold]
    pub(super) fn note_tied(
        &self,
        before: &[usize],
        parts: &Parts<'_>,
        anchoring: &Anchoring<'_>,
        exits: &mut Exits,
    ) {
        let mut next = before.to_vec();
        for tuple in 0..parts.anchors.len() {
            let targets = match parts.way {
                Way::Sole(at) => at..at + 1,
                Way::Each => {
                    let at = parts.ordinals[tuple] as usize;
                    at..at + 1
                }
                Way::Every => 0..self.targets.len(),
            };
            for at in targets.filter(|at| *at < self.targets.len()) {
                self.note_one((at, next[at]), tuple, parts, (anchoring, exits));
                next[at] += 1;
            }
        }
    }

    fn note_one(
        &self,
        (target, place): (usize, usize),
        tuple: usize,
        parts: &Parts<'_>,
        (anchoring, exits): (&Anchoring<'_>, &mut Exits),
    ) {
        let tasks = (parts.source, self.targets[target].task);
        let now = exits.now;
        for edge in self.tracking[target].of(place) {
            if let Some(parent) = parts.parents.get(tuple) {
                exits.tracer.sent(*edge, *parent, tasks, now);
                continue;
            }
            anchoring.anchored_to(parts.anchors[tuple], |of| {
                if of.root == edge.root {
                    exits.tracer.sent(*edge, of.id, tasks, now);
                }
            });
        }
    }
}
