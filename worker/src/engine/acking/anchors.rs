//! The edges of an emitted copy: Storm's rule for any number of anchors.
//!
//! A copy gets one fresh id *per anchor*, and carries for each root the XOR of its ids for the
//! anchors that hold that root. One id for all anchors would be wrong: where the branches of a
//! diamond join, two anchors hold the same root, both owe it that id, and the two cancel, so the
//! tree completes while the joined tuple is still on its way.

use super::Edge;

/// How many anchors one tuple may have; a component that joins more gets a local sub-root.
pub const ANCHORS_MAX: usize = 1_024;

/// The edges of one copy, put together anchor by anchor. Made once, used for every copy.
///
/// ```
/// use worker::engine::acking::{Anchors, Edge};
///
/// let mut anchors = Anchors::new();
/// anchors.clear();
/// anchors.add(&[Edge { root: 1, id: 50 }], 0b01);
/// anchors.add(&[Edge { root: 1, id: 60 }, Edge { root: 2, id: 70 }], 0b10);
/// assert_eq!(anchors.edges(), &[Edge { root: 1, id: 0b11 }, Edge { root: 2, id: 0b10 }]);
/// ```
#[derive(Debug, Default)]
pub struct Anchors {
    edges: Vec<Edge>,
    /// Whether a root may stand in it twice.
    unfolded: bool,
}

impl Anchors {
    /// No anchors.
    #[must_use]
    pub const fn new() -> Self {
        Self { edges: Vec::new(), unfolded: false }
    }

    /// Begins the next copy.
    #[inline]
    pub fn clear(&mut self) {
        self.edges.clear();
        self.unfolded = false;
    }

    /// Anchors the copy to an input with these edges; `id` is fresh, and is added to what the
    /// input owes (`Held::add_output`).
    #[inline]
    pub fn add(&mut self, input: &[Edge], id: u64) {
        self.unfolded |= !self.edges.is_empty();
        self.edges.extend(input.iter().map(|edge| Edge { root: edge.root, id }));
    }

    /// The copy's edges, each root once; none if no anchor is tracked.
    #[inline]
    pub fn edges(&mut self) -> &[Edge] {
        if self.unfolded {
            self.fold();
        }
        &self.edges
    }

    fn fold(&mut self) {
        self.edges.sort_unstable_by_key(|edge| edge.root);
        self.edges.dedup_by(|edge, kept| {
            let same = edge.root == kept.root;
            if same {
                kept.id ^= edge.id;
            }
            same
        });
        self.unfolded = false;
    }
}
