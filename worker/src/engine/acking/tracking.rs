//! The side column of a batch: which trees each of its tuples belongs to.
//!
//! Tuples do not know that they are tracked; a batch of them is a `Vec<T>` with this column beside
//! it. Most batches need the smallest shape that holds them: nothing at all (tracking is off), one
//! edge a tuple (the usual case), or any number of edges a tuple (joins). The column starts with
//! nothing and takes the next shape when a tuple first asks for it, so nobody pays for joins that
//! are not there. Its buffers stay when it is cleared: in steady state it allocates nothing.

use std::ops::Range;

/// One tuple's place in one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Edge {
    /// Bits of the [`RootId`](super::RootId), or 0 where a tuple is not tracked.
    pub root: u64,
    /// The edge's id: the XOR of one fresh id per anchor that holds this root.
    pub id: u64,
}

impl Edge {
    /// Stands in a column of single edges for a tuple that no tree waits for.
    pub const UNTRACKED: Self = Self { root: 0, id: 0 };
}

/// The edges of every tuple of a batch, in the order of the tuples.
///
/// ```
/// use worker::engine::acking::{Edge, Tracking};
///
/// let mut tracking = Tracking::new();
/// tracking.push_untracked();
/// tracking.push_one(Edge { root: 7, id: 1 });
/// assert_eq!(tracking.of(0), &[]);
/// assert_eq!(tracking.of(1), &[Edge { root: 7, id: 1 }]);
/// ```
#[derive(Debug, Default)]
pub struct Tracking {
    shape: Shape,
    /// Number of tuples.
    len: usize,
    /// `None`: empty. `Single`: one a tuple, [`Edge::UNTRACKED`] for a tuple without a tree.
    /// `Many`: those of all tuples, one tuple after another.
    edges: Vec<Edge>,
    /// `Many`: where the edges of each tuple end. Otherwise empty.
    ends: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    #[default]
    None,
    Single,
    Many,
}

impl Tracking {
    /// The column of an empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { shape: Shape::None, len: 0, edges: Vec::new(), ends: Vec::new() }
    }

    /// Number of tuples.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the batch has no tuples.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether any tuple may be tracked; `false` is certain and needs no look at the tuples.
    #[inline]
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.shape != Shape::None
    }

    /// The edges of tuple `i`: one for each tree it belongs to, none if it is not tracked.
    #[inline]
    #[must_use]
    pub fn of(&self, i: usize) -> &[Edge] {
        match self.shape {
            Shape::None => {
                debug_assert!(i < self.len, "tuple {i} of {}", self.len);
                &[]
            }
            Shape::Single => {
                let edge = &self.edges[i];
                if edge.root == 0 { &[] } else { std::slice::from_ref(edge) }
            }
            Shape::Many => &self.edges[self.span(i)],
        }
    }

    /// The edges of all tuples, if none of them has several: [`Edge::UNTRACKED`] for one without.
    #[inline]
    #[must_use]
    pub fn singles(&self) -> Option<&[Edge]> {
        (self.shape == Shape::Single).then_some(&self.edges)
    }

    /// Adds a tuple that no tree waits for.
    #[inline]
    pub fn push_untracked(&mut self) {
        match self.shape {
            Shape::None => {}
            Shape::Single => self.edges.push(Edge::UNTRACKED),
            Shape::Many => self.ends.push(self.edges.len() as u32),
        }
        self.len += 1;
    }

    /// Adds a tuple that belongs to one tree.
    #[inline]
    pub fn push_one(&mut self, edge: Edge) {
        debug_assert!(edge.root != 0, "an edge belongs to a root");
        if self.shape == Shape::None {
            self.become_single();
        }
        self.edges.push(edge);
        if self.shape == Shape::Many {
            self.ends.push(self.edges.len() as u32);
        }
        self.len += 1;
    }

    /// Adds a tuple that belongs to one tree, or to none: with [`Edge::UNTRACKED`].
    #[inline]
    pub fn push_single(&mut self, edge: Edge) {
        if edge.root == 0 {
            self.push_untracked();
        } else {
            self.push_one(edge);
        }
    }

    /// Adds a tuple that belongs to any number of trees, each named once.
    #[inline]
    pub fn push_many(&mut self, edges: &[Edge]) {
        match edges {
            [] => self.push_untracked(),
            [edge] => self.push_one(*edge),
            _ => {
                self.become_many();
                self.edges.extend_from_slice(edges);
                self.ends.push(self.edges.len() as u32);
                self.len += 1;
            }
        }
    }

    /// Makes room for this many more tuples with one edge each.
    pub fn reserve_singles(&mut self, tuples: usize) {
        self.edges.reserve(tuples);
    }

    /// Makes room for this many more tuples, in the shape the column has now.
    pub fn reserve(&mut self, tuples: usize) {
        if self.shape != Shape::None {
            self.edges.reserve(tuples);
        }
        if self.shape == Shape::Many {
            self.ends.reserve(tuples);
        }
    }

    /// Forgets all tuples and keeps the buffers.
    #[inline]
    pub fn clear(&mut self) {
        self.shape = Shape::None;
        self.len = 0;
        self.edges.clear();
        self.ends.clear();
    }

    /// Moves all tuples of `other` to the end of this column; `other` keeps its buffers.
    pub fn append(&mut self, other: &mut Self) {
        if self.len == 0 {
            std::mem::swap(self, other);
        } else {
            self.extend_from(other, 0..other.len);
        }
        other.clear();
    }

    /// Adds a copy of the tuples `range` of `other` to the end.
    ///
    /// # Panics
    ///
    /// If `other` does not have these tuples.
    pub fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        assert!(
            range.start <= range.end && range.end <= other.len,
            "tuples {range:?} of {}",
            other.len
        );
        match self.shape.max(other.shape) {
            Shape::None => self.len += range.len(),
            Shape::Single => {
                self.become_single();
                match other.shape {
                    Shape::Single => self.edges.extend_from_slice(&other.edges[range.clone()]),
                    _ => self.edges.resize(self.len + range.len(), Edge::UNTRACKED),
                }
                self.len += range.len();
            }
            Shape::Many => {
                self.become_many();
                for i in range {
                    self.edges.extend_from_slice(other.of(i));
                    self.ends.push(self.edges.len() as u32);
                    self.len += 1;
                }
            }
        }
    }

    /// Takes the tuples from `at` on out of this column.
    ///
    /// # Panics
    ///
    /// If there are fewer than `at` tuples.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        assert!(at <= self.len, "tuple {at} of {}", self.len);
        let mut rest = Self { shape: self.shape, len: self.len - at, ..Self::new() };
        match self.shape {
            Shape::None => {}
            Shape::Single => rest.edges = self.edges.split_off(at),
            Shape::Many => {
                let start = self.start(at);
                rest.edges = self.edges.split_off(start);
                rest.ends = self.ends.split_off(at);
                rest.ends.iter_mut().for_each(|end| *end -= start as u32);
            }
        }
        self.len = at;
        rest
    }

    /// Takes the first `at` tuples out of this column.
    ///
    /// # Panics
    ///
    /// If there are fewer than `at` tuples.
    #[must_use]
    pub fn take_front(&mut self, at: usize) -> Self {
        let rest = self.split_off(at);
        std::mem::replace(self, rest)
    }

    fn start(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.ends[i - 1] as usize }
    }

    #[inline]
    fn span(&self, i: usize) -> Range<usize> {
        self.start(i)..self.ends[i] as usize
    }

    /// Gives every tuple so far, none of them tracked, its place in a column of single edges.
    #[inline]
    fn become_single(&mut self) {
        if self.shape == Shape::None {
            self.shape = Shape::Single;
            self.edges.resize(self.len, Edge::UNTRACKED);
        }
    }

    #[cold]
    fn widen(&mut self) {
        self.become_single();
        self.shape = Shape::Many;
        let mut end = 0;
        self.ends.extend(self.edges.iter().map(|edge| {
            end += u32::from(edge.root != 0);
            end
        }));
        self.edges.retain(|edge| edge.root != 0);
    }

    #[inline]
    fn become_many(&mut self) {
        if self.shape != Shape::Many {
            self.widen();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Edge, Tracking};
    use proptest::prelude::{Strategy, any, proptest};

    fn edge(root: u64) -> Edge {
        Edge { root, id: root * 1_000 }
    }

    /// A batch as plain lists: what the column must say.
    fn model() -> impl Strategy<Value = Vec<Vec<Edge>>> {
        // Many batches have no joins, and many are not tracked at all.
        (0_usize..4).prop_flat_map(|edges_max| {
            let tuple = proptest::collection::vec((1_u64..100).prop_map(edge), 0..=edges_max);
            proptest::collection::vec(tuple, 0..20)
        })
    }

    fn column(model: &[Vec<Edge>]) -> Tracking {
        let mut tracking = Tracking::new();
        model.iter().for_each(|edges| tracking.push_many(edges));
        tracking
    }

    fn read(tracking: &Tracking) -> Vec<Vec<Edge>> {
        (0..tracking.len()).map(|i| tracking.of(i).to_vec()).collect()
    }

    #[test]
    fn a_column_takes_only_the_shape_it_needs() {
        let mut tracking = Tracking::new();
        (0..3).for_each(|_| tracking.push_untracked());
        assert!(!tracking.is_tracked(), "no tuple is tracked");
        assert_eq!(tracking.edges.capacity(), 0, "nothing tracked must cost nothing");
        tracking.push_one(edge(1));
        assert!(tracking.is_tracked(), "one tuple is tracked");
        assert_eq!(tracking.ends.capacity(), 0, "single edges need no ends");
        tracking.push_many(&[edge(2), edge(3)]);
        assert_eq!(
            read(&tracking),
            [vec![], vec![], vec![], vec![edge(1)], vec![edge(2), edge(3)]],
            "earlier tuples keep their edges when the shape grows"
        );
    }

    #[test]
    fn a_cleared_column_keeps_its_buffers() {
        let mut tracking = column(&[vec![edge(1), edge(2)], vec![edge(3)]]);
        let edges = tracking.edges.capacity();
        tracking.clear();
        assert!(tracking.is_empty() && !tracking.is_tracked(), "cleared means empty");
        assert_eq!(tracking.edges.capacity(), edges, "buffers are recycled");
        tracking.push_one(edge(4));
        assert_eq!(read(&tracking), [vec![edge(4)]], "nothing is left of the tuples before");
    }

    proptest! {
        #[test]
        fn every_tuple_keeps_its_edges(model in model()) {
            let tracking = column(&model);
            assert_eq!(read(&tracking), model, "as pushed");
            let tracked = model.iter().any(|edges| !edges.is_empty());
            assert_eq!(tracking.is_tracked(), tracked, "tracked if any tuple is");
        }

        #[test]
        fn appended_columns_read_one_after_the_other(first in model(), second in model()) {
            let (mut tracking, mut other) = (column(&first), column(&second));
            tracking.append(&mut other);
            assert_eq!(read(&tracking), [first, second].concat(), "in order");
            assert!(other.is_empty(), "what was moved is gone");
        }

        #[test]
        fn a_column_splits_anywhere(model in model(), at in any::<proptest::sample::Index>()) {
            let at = at.index(model.len() + 1);
            let mut front = column(&model);
            let back = front.split_off(at);
            assert_eq!(read(&front), model[..at], "front");
            assert_eq!(read(&back), model[at..], "back");
            let mut rest = column(&model);
            assert_eq!(read(&rest.take_front(at)), model[..at], "taken front");
            assert_eq!(read(&rest), model[at..], "what is left");
        }

        #[test]
        fn a_range_is_copied_as_it_is(
            first in model(),
            second in model(),
            ends in any::<[proptest::sample::Index; 2]>(),
        ) {
            let mut ends = ends.map(|end| end.index(second.len() + 1));
            ends.sort_unstable();
            let range = ends[0]..ends[1];
            let mut tracking = column(&first);
            tracking.extend_from(&column(&second), range.clone());
            assert_eq!(read(&tracking), [&first[..], &second[range]].concat(), "in order");
        }
    }
}
