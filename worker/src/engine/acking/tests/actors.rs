//! Who acts in the world of [`super::world`]: spouts, and bolts that process, keep and join.

use std::collections::HashMap;

use super::world::World;
use crate::engine::acking::{
    AckBuffer, Anchors, Edge, EdgeIds, FREE_MIN, FailReason, Held, Ledger, NO_STAMP, RootId,
};
use crate::engine::routing::Epoch;

/// A tuple on its way to a bolt.
#[derive(Debug)]
pub(super) struct Copy {
    /// The incarnation it was sent to.
    pub(super) to: usize,
    pub(super) edges: Vec<Edge>,
    /// The emissions it descends from.
    pub(super) ghosts: Vec<usize>,
    pub(super) depth: u32,
    /// Decides what comes of it.
    pub(super) seed: u64,
}

/// An input that a bolt keeps.
#[derive(Debug)]
pub(super) struct Kept {
    slot: u32,
    pub(super) ghosts: Vec<usize>,
    depth: u32,
    seed: u64,
}

/// The executor of a spout.
#[derive(Debug)]
pub(super) struct Spout {
    pub(super) ledger: Ledger,
    pub(super) ids: EdgeIds,
    /// Emission of each open root, by slot.
    pub(super) messages: HashMap<u32, usize>,
    pub(super) unsealed: Vec<(RootId, u64)>,
    /// The table in hand.
    pub(super) table: usize,
}

impl Spout {
    pub(super) fn new(at: u16, incarnation: u8, table: usize, generation: u32) -> Self {
        let mut ledger = Ledger::with_generation(at, incarnation, 50, generation);
        // Slots, and perhaps generations, come round within the run.
        for _ in 0..FREE_MIN + 40 {
            let root = ledger.open(0, 0).expect("there is room");
            ledger.seal(root, 0);
            assert!(ledger.verdicts().is_some(), "complete at once");
        }
        let (messages, unsealed) = (HashMap::new(), Vec::new());
        Self { ledger, ids: EdgeIds::new(0), messages, unsealed, table }
    }

    pub(super) fn seed_ids(&mut self, seed: u64) {
        self.ids = EdgeIds::new(seed);
    }
}

/// One life of a worker, with one bolt.
#[derive(Debug)]
pub(super) struct Incarnation {
    pub(super) worker: u32,
    pub(super) epoch: Epoch,
    /// It has not been killed; it may be retired all the same.
    pub(super) running: bool,
    pub(super) retired: bool,
    /// The table in hand.
    pub(super) table: usize,
    ids: EdgeIds,
    held: Held,
    pub(super) kept: Vec<Kept>,
    /// By spout.
    pub(super) buffers: Vec<AckBuffer>,
}

impl Incarnation {
    pub(super) fn new(worker: u32, epoch: Epoch, table: usize, spouts: u16) -> Self {
        Self {
            worker,
            epoch,
            running: true,
            retired: false,
            table,
            ids: EdgeIds::new(0),
            held: Held::new(),
            kept: Vec::new(),
            buffers: (0..spouts).map(|_| AckBuffer::new()).collect(),
        }
    }

    pub(super) fn seed_ids(&mut self, seed: u64) {
        self.ids = EdgeIds::new(seed);
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.buffers.iter().all(AckBuffer::is_empty)
    }

    fn contribute(&mut self, root: u64, edges: u64, stamp: u64) {
        let owner = RootId::from_bits(root).expect("a tracked root").executor();
        self.buffers[usize::from(owner)].fold(root, edges, stamp);
    }

    fn fail(&mut self, root: u64, reason: FailReason) {
        let owner = RootId::from_bits(root).expect("a tracked root").executor();
        self.buffers[usize::from(owner)].fail(root, reason);
    }
}

/// What a chain of fused bolts has done for one input.
#[derive(Debug, Default)]
struct Chain {
    /// XOR of the ids of the tuples that left it.
    outputs: u64,
    emitted: bool,
    failed: bool,
    /// Tuples that were processed without ever having an edge.
    processed: u64,
}

/// A number below 100 that hangs on the tuple alone, so that the same tree grows fused or not.
fn percent(seed: u64, question: u64) -> u32 {
    let mut mixed = seed ^ question.wrapping_mul(0x2545_f491_4f6c_dd1d);
    (crate::engine::acking::splitmix64(&mut mixed) % 100) as u32
}

impl World {
    /// A bolt takes a tuple: keeps it, or processes it at once.
    pub(super) fn execute(&mut self, copy: Copy) {
        let Copy { to, edges, ghosts, depth, seed } = copy;
        if percent(seed, 1) < self.plan.kept {
            let bolt = &mut self.incarnations[to];
            let slot = bolt.held.hold(&edges);
            bolt.kept.push(Kept { slot, ghosts, depth, seed });
            return;
        }
        let mut chain = Chain::default();
        self.process(to, (&edges, &ghosts), (depth, seed), &mut chain);
        if chain.failed {
            let bolt = &mut self.incarnations[to];
            edges.iter().for_each(|edge| bolt.fail(edge.root, FailReason::Error));
            return;
        }
        self.processed += chain.processed;
        let bolt = &mut self.incarnations[to];
        let stamp = if chain.emitted { self.tables[bolt.table].version() } else { NO_STAMP };
        edges.iter().for_each(|edge| bolt.contribute(edge.root, edge.id ^ chain.outputs, stamp));
        ghosts.iter().for_each(|&ghost| self.ghosts[ghost].outstanding -= 1);
    }

    /// Processes one tuple of a fused chain, and those of its children that are fused to it.
    fn process(
        &mut self,
        at: usize,
        (edges, ghosts): (&[Edge], &[usize]),
        (depth, seed): (u32, u64),
        chain: &mut Chain,
    ) {
        chain.processed += 1;
        // Some children are out when the bolt fails: they fly on, and belong to a dead tree.
        chain.failed |= percent(seed, 2) < self.plan.failing;
        if depth >= self.plan.depth {
            return;
        }
        for child in 0..u64::from(percent(seed, 3)) % u64::from(self.plan.fan_out + 1) {
            let seed = seed.wrapping_mul(31).wrapping_add(child + 1);
            let kept = percent(seed, 1) < self.plan.kept;
            if !kept && self.chance(self.plan.fused) {
                self.process(at, (edges, ghosts), (depth + 1, seed), chain);
                continue;
            }
            let id = self.incarnations[at].ids.next();
            chain.outputs ^= id;
            chain.emitted = true;
            let edges: Vec<Edge> = edges.iter().map(|edge| Edge { root: edge.root, id }).collect();
            self.send(self.incarnations[at].table, &edges, ghosts, (depth + 1, seed));
        }
    }

    /// A bolt that keeps inputs joins some of them, and gives one its verdict.
    pub(super) fn settle_kept(&mut self) {
        let at = self.below(self.incarnations.len());
        if !self.incarnations[at].running || self.incarnations[at].kept.is_empty() {
            return;
        }
        while self.chance(50) {
            self.join(at);
        }
        let chosen = self.below(self.incarnations[at].kept.len());
        let bolt = &mut self.incarnations[at];
        let Kept { slot, ghosts, seed, .. } = bolt.kept.swap_remove(chosen);
        let (stamp, mut told) = (bolt.held.stamp(slot), Vec::new());
        if percent(seed, 2) < self.plan.failing {
            bolt.held.fail(slot, |root| told.push((root, 0)));
            told.into_iter().for_each(|(root, _)| bolt.fail(root, FailReason::DroppedGuard));
            return;
        }
        bolt.held.settle(slot, |root, edges| told.push((root, edges)));
        told.into_iter().for_each(|(root, edges)| bolt.contribute(root, edges, stamp));
        ghosts.iter().for_each(|&ghost| self.ghosts[ghost].outstanding -= 1);
        self.processed += 1;
    }

    /// Emits a tuple that is anchored to any number of kept inputs, perhaps of the same tree.
    fn join(&mut self, at: usize) {
        let depth_max = self.plan.depth;
        let candidates = self.incarnations[at].kept.iter().enumerate();
        let candidates = candidates.filter(|(_, kept)| kept.depth < depth_max);
        let candidates: Vec<usize> = candidates.map(|(place, _)| place).collect();
        let chosen: Vec<usize> =
            candidates.into_iter().filter(|_| self.chance(60)).take(5).collect();
        let (mut anchors, mut ghosts, mut depth) = (Anchors::new(), Vec::new(), 0);
        let (version, seed) = (self.tables[self.incarnations[at].table].version(), self.random());
        let bolt = &mut self.incarnations[at];
        for place in chosen {
            let kept = &bolt.kept[place];
            let id = bolt.ids.next();
            anchors.add(bolt.held.edges(kept.slot), id);
            bolt.held.add_output(kept.slot, id);
            bolt.held.note_stamp(kept.slot, version);
            ghosts.extend(&kept.ghosts);
            depth = depth.max(kept.depth);
        }
        if ghosts.is_empty() {
            return;
        }
        ghosts.sort_unstable();
        ghosts.dedup();
        self.send(self.incarnations[at].table, anchors.edges(), &ghosts, (depth + 1, seed));
    }
}
