//! The inputs that bolts keep beyond the call that brought them, until they give a verdict.
//!
//! A bolt of the explicit form holds a guard for each input it keeps; the guard names a slot here.
//! By Storm's rule an emitted copy gets one fresh id for each of its anchors, and carries that id
//! for every root of the anchor. So one accumulator an input is enough: whatever its roots are, the
//! ids that its outputs owe to them are the same.

use super::{Edge, NO_STAMP};

/// Stands for "no slot" in the list of free ones.
const NIL: u32 = u32::MAX;

/// One input that is kept.
#[derive(Debug)]
struct Input {
    /// Its only edge, or `UNTRACKED` if it has none or many.
    one: Edge,
    /// Its edges, if there are several; empty otherwise. The buffer stays with the slot.
    many: Vec<Edge>,
    /// XOR of the ids of the copies that were anchored to it.
    outputs: u64,
    /// The lowest table version under which one of them was emitted.
    stamp: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    /// Its roots were told; the guard is still out.
    Abandoned,
    Free {
        next: u32,
    },
}

impl Input {
    fn edges(&self) -> &[Edge] {
        match (self.many.as_slice(), self.one.root) {
            ([], 0) => &[],
            ([], _) => std::slice::from_ref(&self.one),
            (many, _) => many,
        }
    }
}

/// The inputs that the tasks of one executor hold, by slot.
///
/// A slot is taken by [`hold`](Self::hold) and free again after its one verdict,
/// [`settle`](Self::settle) or [`fail`](Self::fail). Whoever holds the guard gives exactly one.
///
/// ```
/// use worker::engine::acking::{Edge, Held};
///
/// let mut held = Held::new();
/// let slot = held.hold(&[Edge { root: 7, id: 0b001 }]);
/// held.add_output(slot, 0b010);
/// held.settle(slot, |root, edges| assert_eq!((root, edges), (7, 0b011)));
/// assert_eq!(held.len(), 0);
/// ```
#[derive(Debug)]
pub struct Held {
    inputs: Vec<Input>,
    /// The slot that became free last.
    free: u32,
    len: usize,
}

impl Default for Held {
    fn default() -> Self {
        Self::new()
    }
}

impl Held {
    /// Nothing is held.
    #[must_use]
    pub const fn new() -> Self {
        Self { inputs: Vec::new(), free: NIL, len: 0 }
    }

    /// Number of inputs without a verdict.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether every input has its verdict.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps an input with these edges (none, if it is not tracked) and says where.
    #[inline]
    pub fn hold(&mut self, edges: &[Edge]) -> u32 {
        let slot = self.take_slot();
        let input = &mut self.inputs[slot as usize];
        match edges {
            [] => {}
            [edge] => input.one = *edge,
            _ => input.many.extend_from_slice(edges),
        }
        self.len += 1;
        slot
    }

    /// The edges of an input, for the copies that are anchored to it.
    #[inline]
    #[must_use]
    pub fn edges(&self, slot: u32) -> &[Edge] {
        self.inputs[slot as usize].edges()
    }

    /// Notes that a copy was emitted, anchored to this input with the fresh id `id`.
    #[inline]
    pub fn add_output(&mut self, slot: u32, id: u64) {
        self.input(slot).outputs ^= id;
    }

    /// Notes the table version under which outputs of this input are emitted.
    #[inline]
    pub fn note_stamp(&mut self, slot: u32, version: u64) {
        let input = self.input(slot);
        input.stamp = input.stamp.min(version);
    }

    /// The stamp of what this input will contribute.
    #[inline]
    #[must_use]
    pub fn stamp(&self, slot: u32) -> u64 {
        self.inputs[slot as usize].stamp
    }

    /// The bolt is done with an input: gives each root with what is contributed to it.
    ///
    /// Ask for its [`stamp`](Self::stamp) before.
    #[inline]
    pub fn settle(&mut self, slot: u32, mut contribute: impl FnMut(u64, u64)) {
        let input = self.input(slot);
        for edge in input.edges() {
            contribute(edge.root, edge.id ^ input.outputs);
        }
        self.release(slot);
    }

    /// The bolt failed an input, or dropped it: gives each root.
    pub fn fail(&mut self, slot: u32, mut fail: impl FnMut(u64)) {
        self.input(slot).edges().iter().for_each(|edge| fail(edge.root));
        self.release(slot);
    }

    /// Fails every input, for an executor whose component panicked or that stops: gives each root.
    ///
    /// The guards are still out, perhaps on other threads, so the slots stay taken. The verdicts
    /// that come for them free the slots and do nothing else.
    pub fn abandon_all(&mut self, mut fail: impl FnMut(u64)) {
        for input in self.inputs.iter_mut().filter(|input| input.state == State::Held) {
            input.edges().iter().for_each(|edge| fail(edge.root));
            input.one = Edge::UNTRACKED;
            input.many.clear();
            input.state = State::Abandoned;
        }
        self.len = 0;
    }

    #[inline]
    fn input(&mut self, slot: u32) -> &mut Input {
        let input = &mut self.inputs[slot as usize];
        debug_assert!(!matches!(input.state, State::Free { .. }), "slot {slot} has its verdict");
        input
    }

    #[inline]
    fn take_slot(&mut self) -> u32 {
        let slot = self.free;
        if slot == NIL {
            let (one, many) = (Edge::UNTRACKED, Vec::new());
            self.inputs.push(Input { one, many, outputs: 0, stamp: NO_STAMP, state: State::Held });
            return (self.inputs.len() - 1) as u32;
        }
        let input = &mut self.inputs[slot as usize];
        if let State::Free { next } = input.state {
            self.free = next;
        }
        input.state = State::Held;
        slot
    }

    #[inline]
    fn release(&mut self, slot: u32) {
        let input = &mut self.inputs[slot as usize];
        self.len -= usize::from(input.state == State::Held);
        input.one = Edge::UNTRACKED;
        input.many.clear();
        input.outputs = 0;
        input.stamp = NO_STAMP;
        input.state = State::Free { next: self.free };
        self.free = slot;
    }
}
