//! Roots and ids as they travel: the edges of a batch, and the contributions of an ack batch.
//!
//! ```text
//! edges   until there are enough of them: how many and of which kind, in one varint (× 4 + kind)
//!   untracked (0)  nothing
//!   apart (1)      per edge: root; id: 8 bytes
//!   together (2)   the root of all; then per edge: draws
//!   series (3)     the root of the first; by how much each is above the one before: varint; the
//!                  draws of the first: the ids of the others were drawn right after it
//! root    how much it is above the one before, the bits of the slot lowest: varint
//! draws   how many ids were drawn after that of the edge before, up to this: varint
//! ```
//!
//! An id is random to whoever does not know how it was made: splitmix64 of a counter. That can be
//! undone, and an executor draws the ids of neighbours one after another, as its ledger opens their
//! roots in slots one after another. So most of the sixteen bytes of an edge follow from the edge
//! before it: a batch of tuples with a tree each takes some thirty bytes instead of two thousand, and
//! on a connection a byte costs more than the instructions that save it. What does not follow (the
//! XOR of several ids) travels as it is.

use super::codec::{CodecError, put_varint, put_word};
use super::parse::Reader;
use crate::engine::acking::{Edge, INCREMENT, SLOT_SHIFT, counter_of, draws_between, splitmix64};

const UNTRACKED: u64 = 0;
const APART: u64 = 1;
const TOGETHER: u64 = 2;
const SERIES: u64 = 3;

/// More draws than these take more bytes than the id.
const DRAWS_MAX: u64 = 1 << 49;

/// The edge before: what the next one follows from.
#[derive(Clone, Copy, Default)]
struct Before {
    root: u64,
    counter: u64,
}

impl Before {
    /// How much a root is above the one before.
    #[inline]
    fn step_to(&mut self, root: u64) -> u64 {
        let step = root.wrapping_sub(self.root);
        self.root = root;
        step.rotate_right(SLOT_SHIFT)
    }

    /// The root that is so much above the one before.
    #[inline]
    fn root(&mut self, step: u64) -> Result<u64, CodecError> {
        self.root = self.root.wrapping_add(step.rotate_left(SLOT_SHIFT));
        if self.root == 0 { Err(CodecError::Invalid("a root is 0")) } else { Ok(self.root) }
    }

    /// How many draws come up to that one.
    #[inline]
    fn draws_to(&mut self, counter: u64) -> u64 {
        draws_between(std::mem::replace(&mut self.counter, counter), counter)
    }

    /// The id so many draws after the one before.
    #[inline]
    fn id(&mut self, draws: u64) -> u64 {
        self.counter = self.counter.wrapping_add(draws.wrapping_sub(1).wrapping_mul(INCREMENT));
        splitmix64(&mut self.counter)
    }
}

/// Writes edges; a root of 0 stands for a tuple that is not tracked.
pub(super) fn put_edges(out: &mut Vec<u8>, edges: &[Edge]) {
    let mut before = Before::default();
    let mut rest = edges;
    while let [first, after @ ..] = rest {
        let counter = counter_of(first.id);
        let length = if first.root == 0 {
            let more = after.iter().take_while(|edge| edge.root == 0).count();
            put_head(out, 1 + more, UNTRACKED);
            1 + more
        } else if let Some(more) = series(counter, rest) {
            put_head(out, 1 + more, SERIES);
            put_varint(out, before.step_to(first.root));
            put_varint(out, after[0].root.wrapping_sub(first.root).rotate_right(SLOT_SHIFT));
            put_varint(out, before.draws_to(counter));
            before.root = after[more - 1].root;
            before.counter = counter.wrapping_add(INCREMENT.wrapping_mul(more as u64));
            1 + more
        } else if draws_between(before.counter, counter) < DRAWS_MAX {
            put_together(out, rest, &mut before)
        } else {
            put_apart(out, rest, &mut before)
        };
        rest = &rest[length..];
    }
}

/// How many edges after the first are as far apart as the first two, and had their ids drawn right
/// after its.
fn series(mut counter: u64, edges: &[Edge]) -> Option<usize> {
    let [first, second, ..] = edges else { return None };
    let step = second.root.wrapping_sub(first.root);
    let follows = |pair: &&[Edge]| {
        let [one, next] = *pair else { return false };
        next.root != 0
            && next.root.wrapping_sub(one.root) == step
            && next.id == splitmix64(&mut counter)
    };
    let more = edges.windows(2).take_while(follows).count();
    (more > 0).then_some(more)
}

/// Writes the edges of one root; the id of the first was drawn soon after the one before.
fn put_together(out: &mut Vec<u8>, edges: &[Edge], before: &mut Before) -> usize {
    let root = edges[0].root;
    let mut counter = before.counter;
    let soon = |edge: &&Edge| {
        let last = std::mem::replace(&mut counter, counter_of(edge.id));
        edge.root == root && draws_between(last, counter) < DRAWS_MAX
    };
    let length = edges.iter().take_while(soon).count();
    put_head(out, length, TOGETHER);
    put_varint(out, before.step_to(root));
    for edge in &edges[..length] {
        put_varint(out, before.draws_to(counter_of(edge.id)));
    }
    length
}

/// Writes edges up to one whose id was drawn soon after the one before.
fn put_apart(out: &mut Vec<u8>, edges: &[Edge], before: &mut Before) -> usize {
    let mut counter = before.counter;
    let apart = |edge: &&Edge| {
        let last = std::mem::replace(&mut counter, counter_of(edge.id));
        edge.root != 0 && draws_between(last, counter) >= DRAWS_MAX
    };
    let length = edges.iter().take_while(apart).count();
    put_head(out, length, APART);
    for edge in &edges[..length] {
        put_varint(out, before.step_to(edge.root));
        put_word(out, edge.id);
    }
    before.counter = counter_of(edges[length - 1].id);
    length
}

fn put_head(out: &mut Vec<u8>, length: usize, kind: u64) {
    put_varint(out, (length as u64) << 2 | kind);
}

impl Reader<'_> {
    /// Reads this many edges. Some of them may take no byte: the caller sees to it that they are
    /// not too many.
    pub(super) fn edges(
        &mut self,
        count: usize,
        mut take: impl FnMut(Edge),
    ) -> Result<(), CodecError> {
        let mut before = Before::default();
        let mut left = count as u64;
        while left > 0 {
            let head = self.varint()?;
            let (length, kind) = (head >> 2, head & 3);
            if length == 0 || length > left {
                return Err(CodecError::Invalid("some edges are none or too many"));
            }
            left -= length;
            match kind {
                UNTRACKED => (0..length).for_each(|_| take(Edge::UNTRACKED)),
                SERIES => {
                    let (mut root, step) = (before.root(self.varint()?)?, self.varint()?);
                    let mut id = before.id(self.varint()?);
                    take(Edge { root, id });
                    for _ in 1..length {
                        (root, id) = (before.root(step)?, splitmix64(&mut before.counter));
                        take(Edge { root, id });
                    }
                }
                TOGETHER => {
                    let root = before.root(self.varint()?)?;
                    for _ in 0..length {
                        take(Edge { root, id: before.id(self.varint()?) });
                    }
                }
                _ => {
                    let mut id = 0;
                    for _ in 0..length {
                        let root = before.root(self.varint()?)?;
                        id = self.word()?;
                        take(Edge { root, id });
                    }
                    before.counter = counter_of(id);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    use super::put_edges;
    use crate::engine::acking::{Edge, EdgeIds, RootId};
    use crate::transport::parse::Reader;

    fn written(edges: &[Edge]) -> Bytes {
        let mut out = Vec::new();
        put_edges(&mut out, edges);
        out.into()
    }

    fn read(bytes: &Bytes, count: usize) -> Result<Vec<Edge>, super::CodecError> {
        let mut edges = Vec::new();
        Reader::new(bytes).edges(count, |edge| edges.push(edge))?;
        Ok(edges)
    }

    fn root(slot: u32) -> u64 {
        RootId::new(3, 1, slot, 9).bits()
    }

    #[test]
    fn a_tree_a_tuple_takes_next_to_nothing() {
        let mut ids = EdgeIds::new(77);
        let edges: Vec<_> =
            (0..128).map(|at| Edge { root: root(100 + at), id: ids.next() }).collect();
        let bytes = written(&edges);
        assert!(bytes.len() < 35, "128 edges take {} bytes", bytes.len());
        assert_eq!(read(&bytes, 128).as_deref(), Ok(&edges[..]), "and come back");
    }

    #[test]
    fn words_of_lines_take_two_bytes_each() {
        let mut ids = EdgeIds::new(5);
        let mut edges = Vec::new();
        for line in 0..20 {
            for word in 0..10 {
                let id = ids.next();
                // Every other word goes to somebody else.
                if word % 2 == 0 {
                    edges.push(Edge { root: root(line), id });
                }
            }
        }
        let bytes = written(&edges);
        assert!(bytes.len() < 200, "100 edges take {} bytes", bytes.len());
        assert_eq!(read(&bytes, 100).as_deref(), Ok(&edges[..]), "and come back");
    }

    /// Edges as they come, and as they do not: neighbours that follow from each other or do not.
    fn edges() -> impl Strategy<Value = Vec<Edge>> {
        let next_root = prop_oneof![
            4 => (0_u64..3).prop_map(|slots| slots << 24),
            1 => any::<u64>(),
        ];
        let next_id = prop_oneof![4 => (1_u32..4).prop_map(Ok), 1 => any::<u64>().prop_map(Err)];
        let step = (prop_oneof![9 => 1_u32..2, 1 => 0_u32..1], next_root, next_id);
        (any::<u64>(), proptest::collection::vec(step, 0..200)).prop_map(|(start, steps)| {
            let (mut ids, mut root) = (EdgeIds::new(start), start | 1);
            let edge = |(tracked, step, drawn): (u32, u64, Result<u32, u64>)| {
                root = root.wrapping_add(step).max(1);
                let id = match drawn {
                    Ok(draws) => (0..draws).fold(0, |_, _| ids.next()),
                    Err(id) => id,
                };
                if tracked == 0 { Edge::UNTRACKED } else { Edge { root, id } }
            };
            steps.into_iter().map(edge).collect()
        })
    }

    proptest! {
        #[test]
        fn edges_come_back_as_they_were(edges in edges()) {
            assert_eq!(read(&written(&edges), edges.len()), Ok(edges));
        }

        #[test]
        fn bytes_of_nobody_are_refused_or_read_but_never_more_than_asked_for(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            count in 0_usize..1_000,
        ) {
            if let Ok(edges) = read(&bytes.into(), count) {
                assert_eq!(edges.len(), count, "exactly as many as were asked for");
            }
        }
    }
}
