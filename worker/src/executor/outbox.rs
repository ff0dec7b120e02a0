//! What an executor emitted and has not delivered yet, by target task.
//!
//! `emit` never waits, so output collects here. A target's batch leaves when it is full, or when the
//! executor has no more input; a target without room keeps its share, and an executor whose share
//! for any target is full takes no more input. So a slow target stalls only those who send to it.

mod large;

use topology_api::runtime::{Emitted, Grouping, KeyHashes, NOT_DIRECT, OutputStream, Rows};

use crate::engine::acking::Tracking;
use crate::engine::flow::charge;
use crate::engine::routing::{Batch, GroupingKind, Routed, Router, Targets};
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

/// One subscription of one of the executor's streams.
#[derive(Debug)]
struct Edge {
    from: StreamRef,
    router: Router,
    hashes: Option<Hashes>,
    direct: bool,
    targets: Vec<Target>,
    /// Waiting tuples by target, with one more place for those that go nowhere.
    bins: Vec<Box<dyn Rows>>,
    /// The trees of the waiting tuples.
    tracking: Vec<Tracking>,
}

struct Hashes(KeyHashes);

impl std::fmt::Debug for Hashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("key hashes")
    }
}

#[derive(Debug)]
struct Target {
    task: u32,
    place: Place,
    /// About how many bytes wait.
    bytes: usize,
    /// The waiting tuples that these bytes are of.
    weighed: usize,
    /// The end of the stream is to be told, after what waits.
    ending: Vec<u32>,
}

impl Target {
    fn new(task: u32, place: Place) -> Self {
        Self { task, place, bytes: 0, weighed: 0, ending: Vec::new() }
    }

    /// Notes that its bin has grown to `tuples`, by tuples of about `each` bytes.
    fn weigh(&mut self, tuples: usize, each: usize) {
        self.bytes += each * (tuples - self.weighed);
        self.weighed = tuples;
    }
}

/// Where the tuples of one emitted column go.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// All to the target at this place; behind the last one: nowhere.
    Sole(usize),
    /// Each to its own.
    Each,
    /// Each to every one.
    Every,
}

/// What is known about the tuples of one emitted column.
struct Parts<'a> {
    anchors: &'a [u32],
    /// Where each goes, if they part ways.
    ordinals: &'a [u32],
    /// About how many bytes one has.
    each: usize,
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
    /// What the memory of the worker is charged with for what waits.
    charged: u64,
    /// Room for decisions, reused.
    ordinals: Vec<u32>,
    hashes: Vec<u64>,
}

impl Outbox {
    /// Makes an empty outbox.
    #[must_use]
    pub fn new(edges: Vec<EdgeStart<'_>>) -> Self {
        let edges = edges.into_iter().map(Edge::new).collect();
        Self { edges, charged: 0, ordinals: Vec::new(), hashes: Vec::new() }
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
        let Emitted { rows, anchors, direct, weight, .. } = emitted;
        let each = weight / rows.len().max(1);
        let mut rows = Some(rows).filter(|rows| !rows.is_empty());
        let last = self.edges.iter().rposition(|edge| edge.from.stream == stream);
        for (at, edge) in self.edges.iter_mut().enumerate() {
            if edge.from.stream != stream {
                continue;
            }
            // The last subscriber gets the tuples themselves, the others copies.
            let batch =
                if Some(at) == last { rows.take() } else { rows.as_ref().map(|r| r.duplicate()) };
            let Some(batch) = batch else { continue };
            let way = edge.decide(&*batch, &direct, exits, (&mut self.hashes, &mut self.ordinals));
            let parts = Parts { anchors: &anchors, ordinals: &self.ordinals, each };
            let Some(batch) = edge.fuse(batch, way, &anchors, anchoring, exits) else { continue };
            edge.fill(batch, way, &parts, anchoring, exits);
            edge.send(source, exits, BATCH_TUPLES, BATCH_BYTES);
        }
        if let Some(unread) = rows {
            exits.pool.give(unread);
        }
        exits.pool.give_column(anchors);
    }

    /// Sends all that waits and has room.
    pub fn flush(&mut self, source: u32, exits: &mut Exits) {
        let mut left = 0;
        for edge in &mut self.edges {
            edge.send(source, exits, 1, 0);
            left += edge.weight();
        }
        exits.memory.change(self.charged, left);
        self.charged = left;
    }

    /// Tells whether some target's share is full and it has no room: no more input then.
    #[must_use]
    pub fn is_over_share(&self, exits: &Exits) -> bool {
        let share = exits.outbox_share();
        self.edges.iter().any(|edge| {
            edge.targets.iter().zip(&edge.bins).any(|(target, bin)| {
                (bin.len() >= SHARE_TUPLES || target.bytes >= share)
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
        let kind = match start.grouping {
            Grouping::Shuffle => GroupingKind::Shuffle,
            Grouping::LocalOrShuffle => GroupingKind::LocalOrShuffle,
            Grouping::Fields { .. } => GroupingKind::Fields,
            Grouping::All => GroupingKind::All,
            Grouping::Global => GroupingKind::Global,
            Grouping::Direct => GroupingKind::Direct,
        };
        let hashes = match start.grouping {
            Grouping::Fields { hashes, .. } => Some(Hashes(KeyHashes::clone(hashes))),
            _ => None,
        };
        let is_local = |place: &Place| matches!(place, Place::Here(_) | Place::Loop { .. });
        let local = start.targets.iter().map(|(_, place)| is_local(place)).collect();
        let targets = Targets { local };
        let bins = (0..=start.targets.len()).map(|_| (start.output.empty)()).collect();
        let tracking = (0..=start.targets.len()).map(|_| Tracking::new()).collect();
        Self {
            from: start.from,
            router: Router::new(kind, targets, start.seed),
            hashes,
            direct: matches!(start.grouping, Grouping::Direct),
            targets: start
                .targets
                .into_iter()
                .map(|(task, place)| Target::new(task, place))
                .collect(),
            bins,
            tracking,
        }
    }

    /// Decides where the tuples go: fills `ordinals` with one a tuple where they part ways.
    fn decide(
        &mut self,
        rows: &dyn Rows,
        direct: &[u32],
        exits: &Exits,
        (hashes, ordinals): (&mut Vec<u64>, &mut Vec<u32>),
    ) -> Way {
        let nowhere = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
        hashes.clear();
        if let Some(keys) = self.hashes.as_ref().filter(|_| nowhere > 1) {
            (keys.0)(rows, hashes);
        }
        let targets = &self.targets;
        let load = |ordinal: u32| exits.room(&targets[ordinal as usize].place);
        let batch = Batch { len: rows.len(), hashes, direct };
        let routed = self.router.route(batch, &load, ordinals);
        // What is emitted directly is only for those who read the stream directly.
        let astray = !self.direct && !direct.is_empty();
        let sole = match routed {
            Routed::Every => return Way::Every,
            Routed::Whole(ordinal) => Some(ordinal),
            Routed::Nowhere => Some(nowhere),
            Routed::Each => None,
        };
        if let (Some(sole), false) = (sole, astray) {
            return Way::Sole(sole.min(nowhere) as usize);
        }
        if let Some(sole) = sole {
            ordinals.clear();
            ordinals.resize(rows.len(), sole);
        }
        for (ordinal, direct) in ordinals.iter_mut().zip(direct) {
            if astray && *direct != NOT_DIRECT {
                *ordinal = nowhere;
            }
        }
        for ordinal in ordinals.iter_mut() {
            *ordinal = (*ordinal).min(nowhere);
        }
        Way::Each
    }

    /// What the memory of the worker is charged with for what waits.
    fn weight(&self) -> u64 {
        self.targets.iter().map(|it| charge(it.weighed as u64, it.bytes as u64)).sum()
    }

    /// Executes a batch for one idle bolt of this loop at once; gives back what cannot be.
    fn fuse(
        &self,
        rows: Box<dyn Rows>,
        way: Way,
        anchors: &[u32],
        anchoring: &mut Anchoring<'_>,
        exits: &mut Exits,
    ) -> Option<Box<dyn Rows>> {
        let Way::Sole(at) = way else { return Some(rows) };
        // What waits for the same target must stay before it.
        let target =
            self.targets.get(at).filter(|t| self.bins[at].is_empty() && t.ending.is_empty());
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
        way: Way,
        parts: &Parts<'_>,
        anchoring: &mut Anchoring<'_>,
        exits: &mut Exits,
    ) {
        let Parts { anchors, ordinals, each } = *parts;
        let nowhere = self.targets.len();
        match way {
            Way::Every => {
                for (at, target) in self.targets.iter_mut().enumerate() {
                    let mut copy = rows.duplicate();
                    self.bins[at].append(&mut *copy);
                    target.weigh(self.bins[at].len(), each);
                    anchoring.tie_each(anchors, &mut exits.ids, &mut self.tracking, |_| at);
                }
            }
            // Nothing is owed for what goes nowhere.
            Way::Sole(at) if at == nowhere => {}
            Way::Sole(at) => {
                anchoring.tie_each(anchors, &mut exits.ids, &mut self.tracking, |_| at);
                if self.bins[at].is_empty() {
                    std::mem::swap(&mut self.bins[at], &mut rows);
                } else {
                    self.bins[at].append(&mut *rows);
                }
                self.targets[at].weigh(self.bins[at].len(), each);
            }
            Way::Each => {
                let is_astray = |ordinal: &u32| *ordinal as usize == nowhere;
                if ordinals.iter().any(is_astray) {
                    let all =
                        ordinals.iter().zip(anchors).filter(|(ordinal, _)| !is_astray(ordinal));
                    for (ordinal, anchor) in all {
                        let to = &mut self.tracking[*ordinal as usize];
                        anchoring.tie(*anchor, &mut exits.ids, to);
                    }
                } else {
                    let pick = |at: usize| ordinals[at] as usize;
                    anchoring.tie_each(anchors, &mut exits.ids, &mut self.tracking, pick);
                }
                rows.scatter(ordinals, &mut self.bins);
                self.bins[nowhere].clear();
                for (target, bin) in self.targets.iter_mut().zip(&self.bins) {
                    target.weigh(bin.len(), each);
                }
            }
        }
        exits.pool.give(rows);
    }

    /// Sends the bins that have at least so much, where there is room, and ends behind them.
    fn send(&mut self, source: u32, exits: &mut Exits, tuples: usize, bytes: usize) {
        let waiting = self.bins.iter_mut().zip(&mut self.tracking);
        for (target, (bin, tracking)) in self.targets.iter_mut().zip(waiting) {
            let enough = bin.len() >= tuples || (!bin.is_empty() && target.bytes >= bytes);
            if enough && exits.has_room(&target.place) {
                target.weighed = 0;
                let empty = exits.pool.like(&**bin);
                let rows = std::mem::replace(bin, empty);
                let empty = exits.new_tracking();
                let out = Outgoing {
                    target: target.task,
                    source,
                    from: self.from,
                    rows,
                    bytes: std::mem::take(&mut target.bytes),
                    tracking: std::mem::replace(tracking, empty),
                };
                exits.send(&target.place, out);
            }
            if bin.is_empty()
                && !target.ending.is_empty()
                && !matches!(target.place, Place::Nowhere)
            {
                for source in std::mem::take(&mut target.ending) {
                    exits.send_end(&target.place, target.task, source, self.from);
                }
            }
        }
    }
}
