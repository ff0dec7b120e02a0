//! What an executor emitted and has not delivered yet, by target task.
//!
//! `emit` never waits, so output collects here. A target's batch leaves when it is full, or when the
//! executor has no more input; a target without room keeps its share, and an executor whose share
//! for any target is full takes no more input. So a slow target stalls only those who send to it.

mod facts;
mod large;

use topology_api::runtime::{Emitted, Grouping, OutputStream, Rows};

use self::facts::{Facts, Lost};
use crate::engine::acking::Tracking;
use crate::engine::routing::{Batch, NO_TASK, Nearness, Routed, Router, Targets};
use crate::executor::anchoring::Anchoring;
use crate::executor::bolt::Chain;
use crate::executor::exits::{Exits, Outgoing, Place};
use crate::executor::mailbox::StreamRef;

/// A batch leaves when it has this many tuples.
pub const BATCH_TUPLES: usize = 128;

/// A batch leaves when it has about this many bytes.
pub const BATCH_BYTES: usize = 64 * 1024;

/// What a target without room may leave in the outbox before its senders stop: two batches.
const SHARE_TUPLES: usize = 2 * BATCH_TUPLES;

/// The same in bytes.
const SHARE_BYTES: usize = 2 * BATCH_BYTES;

/// One subscription of one of the executor's streams.
#[derive(Debug)]
struct Edge {
    from: StreamRef,
    router: Router,
    facts: Facts,
    targets: Vec<Target>,
    /// Waiting tuples by target, with one more place for those that go nowhere.
    bins: Vec<Box<dyn Rows>>,
}

#[derive(Debug)]
struct Target {
    task: u32,
    place: Place,
    tracking: Tracking,
    /// About how many bytes wait.
    bytes: usize,
    /// The end of the stream is to be told, after what waits.
    ending: Vec<u32>,
}

/// One subscription, from which an [`Outbox`] is made.
pub struct EdgeStart<'a> {
    /// The stream, of the executor's component.
    pub from: StreamRef,
    /// What it carries.
    pub output: &'a OutputStream,
    /// How it is split.
    pub grouping: &'a Grouping,
    /// Its tasks, with those of this worker placed.
    pub targets: Vec<(u32, Place)>,
    /// For choices that should differ between senders.
    pub seed: u64,
}

/// What an executor emitted and has not delivered yet.
#[derive(Debug)]
pub struct Outbox {
    edges: Vec<Edge>,
    /// Room for decisions, reused.
    ordinals: Vec<u32>,
    hashes: Vec<u64>,
}

impl Outbox {
    /// Makes an empty outbox.
    #[must_use]
    pub fn new(edges: Vec<EdgeStart<'_>>) -> Self {
        let edges = edges.into_iter().map(Edge::new).collect();
        Self { edges, ordinals: Vec::new(), hashes: Vec::new() }
    }

    /// Routes what was emitted to one stream, and sends what is full.
    pub fn route(
        &mut self,
        (source, stream): (u32, usize),
        emitted: Emitted,
        anchoring: &mut Anchoring<'_>,
        exits: &mut Exits,
    ) {
        let emitted = if emitted.largest > exits.tuple_bytes_max {
            large::fail(source, emitted, anchoring, exits)
        } else {
            emitted
        };
        let Emitted { rows, anchors, direct, .. } = emitted;
        if rows.is_empty() {
            return;
        }
        exits.pressure.routed(rows.len());
        let mut rows = Some(rows);
        let last = self.edges.iter().rposition(|edge| edge.from.stream == stream);
        for (at, edge) in self.edges.iter_mut().enumerate() {
            if edge.from.stream != stream {
                continue;
            }
            // The last subscriber gets the tuples themselves, the others copies.
            let batch =
                if Some(at) == last { rows.take() } else { rows.as_ref().map(|r| r.duplicate()) };
            let Some(batch) = batch else { continue };
            let out = (&mut self.hashes, &mut self.ordinals);
            if let Some(lost) = edge.decide(&*batch, &direct, exits, out) {
                let tuples = (anchors.as_slice(), self.ordinals.as_mut_slice());
                lost.fail((source, edge.nowhere()), tuples, anchoring, exits);
            }
            let Some(batch) = edge.fuse(batch, (&anchors, &self.ordinals), anchoring, exits) else {
                continue;
            };
            edge.fill(batch, (&anchors, &self.ordinals), anchoring, exits);
            edge.send(source, exits, BATCH_TUPLES, BATCH_BYTES);
        }
    }

    /// Sends all that waits and has room.
    pub fn flush(&mut self, source: u32, exits: &mut Exits) {
        for edge in &mut self.edges {
            edge.send(source, exits, 1, 0);
        }
    }

    /// Tells whether some target's share is full and it has no room: no more input then.
    #[must_use]
    pub fn is_over_share(&self, exits: &Exits) -> bool {
        self.edges.iter().any(|edge| {
            edge.targets.iter().zip(&edge.bins).any(|(target, bin)| {
                (bin.len() >= SHARE_TUPLES || target.bytes >= SHARE_BYTES)
                    && !exits.has_room(&target.place)
            })
        })
    }

    /// Tells whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edges.iter().all(|edge| {
            edge.targets
                .iter()
                .zip(&edge.bins)
                .all(|(target, bin)| bin.is_empty() && target.ending.is_empty())
        })
    }

    /// Tells every target, behind what waits for it, that the source task has ended.
    pub fn end(&mut self, source: u32) {
        for target in self.edges.iter_mut().flat_map(|edge| &mut edge.targets) {
            target.ending.push(source);
        }
    }

    /// Tells the targets for which `moved` holds again that the source tasks have ended.
    pub fn end_again(&mut self, sources: &[u32], moved: impl Fn(u32) -> bool) {
        for target in self.edges.iter_mut().flat_map(|edge| &mut edge.targets) {
            if moved(target.task) {
                target.ending.extend_from_slice(sources);
            }
        }
    }

    /// Finds the targets in other workers anew, after a change of the routing table.
    pub fn place_away(&mut self, exits: &Exits) {
        for target in self.edges.iter_mut().flat_map(|edge| &mut edge.targets) {
            if matches!(target.place, Place::Away { .. } | Place::Nowhere) {
                target.place = exits.place_away(target.task);
            }
        }
    }
}

impl Edge {
    fn new(start: EdgeStart<'_>) -> Self {
        let near = start.targets.iter().map(|(_, place)| match place {
            Place::Here(_) => Nearness::Loop,
            Place::Loop { .. } => Nearness::Worker,
            Place::Away { .. } | Place::Nowhere => Nearness::Away,
        });
        let targets = Targets { near: near.collect() };
        let facts = Facts::new(start.grouping, &targets);
        let bins = (0..=start.targets.len()).map(|_| (start.output.empty)()).collect();
        Self {
            from: start.from,
            router: Router::new(facts.kind, &targets, start.seed),
            facts,
            targets: start
                .targets
                .into_iter()
                .map(|(task, place)| Target {
                    task,
                    place,
                    tracking: Tracking::new(),
                    bytes: 0,
                    ending: Vec::new(),
                })
                .collect(),
            bins,
        }
    }

    /// The number of the bin for tuples that go nowhere.
    fn nowhere(&self) -> u32 {
        u32::try_from(self.targets.len()).unwrap_or(u32::MAX)
    }

    /// Decides where each tuple goes: fills `ordinals` with one a tuple, or leaves it empty when every
    /// tuple goes to every task. Tells why some have no target.
    fn decide(
        &mut self,
        rows: &dyn Rows,
        direct: &[u32],
        exits: &Exits,
        (hashes, ordinals): (&mut Vec<u64>, &mut Vec<u32>),
    ) -> Option<Lost> {
        let nowhere = self.nowhere();
        ordinals.clear();
        let named = match self.facts.ask(rows, direct, hashes) {
            Ok(named) => named,
            Err(lost) => {
                ordinals.resize(rows.len(), NO_TASK);
                return Some(lost);
            }
        };
        let targets = &self.targets;
        let load = |ordinal: u32| exits.room(&targets[ordinal as usize].place);
        let busy = exits.pressure.busy();
        let batch = Batch { len: rows.len(), hashes, direct: named, busy };
        match self.router.route(batch, &load, ordinals) {
            Routed::Whole(ordinal) => {
                ordinals.clear();
                ordinals.resize(rows.len(), ordinal);
            }
            Routed::Each => {}
            Routed::Every => {
                ordinals.clear();
                return None;
            }
            Routed::Nowhere => {
                ordinals.clear();
                ordinals.resize(rows.len(), nowhere);
            }
        }
        self.facts.sift(ordinals, (direct, rows.len()), nowhere)
    }

    /// Executes a batch for one idle bolt of this loop at once; gives back what cannot be.
    fn fuse(
        &self,
        rows: Box<dyn Rows>,
        (anchors, ordinals): (&[u32], &[u32]),
        anchoring: &mut Anchoring<'_>,
        exits: &mut Exits,
    ) -> Option<Box<dyn Rows>> {
        let sole = ordinals.first().filter(|first| ordinals.iter().all(|other| other == *first));
        let target = sole.and_then(|ordinal| {
            let at = *ordinal as usize;
            // What waits for the same target must stay before it.
            self.targets.get(at).filter(|t| self.bins[at].is_empty() && t.ending.is_empty())
        });
        let Some(target) = target.filter(|_| anchoring.may_fuse()) else { return Some(rows) };
        let Some((at, mut bolt)) = exits.take_idle_bolt(&target.place) else { return Some(rows) };
        let mut chain = Chain { parents: anchors, anchoring };
        bolt.execute_fused((target.task, self.from), rows, &mut chain, exits);
        exits.bolts[at] = Some(bolt);
        None
    }

    /// Moves the tuples to their targets' bins and ties each copy to its anchor.
    fn fill(
        &mut self,
        mut rows: Box<dyn Rows>,
        (anchors, ordinals): (&[u32], &[u32]),
        anchoring: &mut Anchoring<'_>,
        exits: &mut Exits,
    ) {
        let each = rows.weight() / rows.len().max(1);
        if ordinals.is_empty() {
            for (target, bin) in self.targets.iter_mut().zip(&mut self.bins) {
                let mut copy = rows.duplicate();
                target.bytes += each * copy.len();
                bin.append(&mut *copy);
                for anchor in anchors {
                    anchoring.tie(*anchor, &mut exits.ids, &mut target.tracking);
                }
            }
            return;
        }
        for (ordinal, anchor) in ordinals.iter().zip(anchors) {
            // The last bin is for tuples that go nowhere: nothing is owed for them.
            if let Some(target) = self.targets.get_mut(*ordinal as usize) {
                target.bytes += each;
                anchoring.tie(*anchor, &mut exits.ids, &mut target.tracking);
            }
        }
        let first = ordinals[0] as usize;
        if ordinals.iter().all(|ordinal| *ordinal as usize == first) {
            if self.bins[first].is_empty() {
                self.bins[first] = rows;
            } else {
                self.bins[first].append(&mut *rows);
            }
        } else {
            rows.scatter(ordinals, &mut self.bins);
        }
        if let Some(nowhere) = self.bins.last_mut()
            && !nowhere.is_empty()
        {
            *nowhere = nowhere.empty();
        }
    }

    /// Sends the bins that have at least so much, where there is room, and ends behind them.
    fn send(&mut self, source: u32, exits: &mut Exits, tuples: usize, bytes: usize) {
        for (target, bin) in self.targets.iter_mut().zip(&mut self.bins) {
            let enough = bin.len() >= tuples || (!bin.is_empty() && target.bytes >= bytes);
            if enough && exits.has_room(&target.place) {
                let rows = std::mem::replace(bin, bin.empty());
                let tracking = std::mem::take(&mut target.tracking);
                target.bytes = 0;
                let out = Outgoing { target: target.task, source, from: self.from, rows, tracking };
                exits.send(&target.place, out);
            }
            if bin.is_empty()
                && !target.ending.is_empty()
                && !matches!(target.place, Place::Nowhere)
            {
                // A task is known to have ended when the last that it emitted has left: tell it now.
                exits.ended = true;
                for source in std::mem::take(&mut target.ending) {
                    exits.send_end(&target.place, target.task, source, self.from);
                }
            }
        }
    }
}
