//! One subscription of one of the executor's streams: where its tuples go, and what waits for whom.

use std::borrow::Cow;
use std::time::Instant;

use topology_api::runtime::{Grouping, Rows};

use super::EdgeStart;
use super::facts::{Facts, Lost};
use crate::engine::acking::{FailReason, Tracking};
use crate::engine::flow::charge;
use crate::engine::routing::{Batch, NO_TASK, Nearness, Routed, Router, Targets};
use crate::executor::anchoring::Anchoring;
use crate::executor::bolt::Chain;
use crate::executor::exits::{Exits, Outgoing, Place};
use crate::executor::mailbox::StreamRef;

/// One subscription of one of the executor's streams.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) from: StreamRef,
    /// The component that reads it.
    pub(super) reader: usize,
    /// Tuples that went this way, since they were gathered.
    pub(super) tuples: u64,
    router: Router,
    facts: Facts,
    /// How the stream is split, and how near each task was when the router was made.
    grouping: Grouping,
    near: Vec<Nearness>,
    in_call: bool,
    seed: u64,
    pub(super) targets: Vec<Target>,
    /// Waiting tuples by target, with one more place for those that go nowhere.
    pub(super) bins: Vec<Box<dyn Rows>>,
    /// The trees of the waiting tuples.
    pub(super) tracking: Vec<Tracking>,
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) task: u32,
    pub(super) place: Place,
    /// About how many bytes wait.
    pub(super) bytes: usize,
    /// The waiting tuples that these bytes are of.
    weighed: usize,
    /// Since when its oldest tuple waits for room, as far as a whole turn was not enough.
    since: Option<Instant>,
    /// The end of the stream is to be told, after what waits.
    pub(super) ending: Vec<u32>,
}

impl Target {
    fn new(task: u32, place: Place) -> Self {
        Self { task, place, bytes: 0, weighed: 0, since: None, ending: Vec::new() }
    }

    /// Notes that its bin has grown to `tuples`, by tuples of about `each` bytes.
    fn weigh(&mut self, tuples: usize, each: usize) {
        self.bytes += each * (tuples - self.weighed);
        self.weighed = tuples;
    }
}

/// How near a task is, which does its work `in_call` or waits with it.
fn nearness(place: &Place, in_call: bool) -> Nearness {
    match place {
        // What waits or works elsewhere is no nearer for being on the same loop.
        Place::Here(_) if in_call => Nearness::Loop,
        Place::Here(_) | Place::Loop { .. } => Nearness::Worker,
        Place::Away { .. } | Place::Nowhere => Nearness::Away,
    }
}

/// Where the tuples of one emitted column go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// All to the target at this place; behind the last one: nowhere.
    Sole(usize),
    /// Each to its own.
    Each,
    /// Each to every one.
    Every,
}

/// Each value so often as `copies` says; as they are, if it says nothing. A copy has its place behind
/// its like, so what one task gets stays in the order of emission.
pub(super) fn repeated<'a, T: Copy>(values: &'a [T], copies: &[u32]) -> Cow<'a, [T]> {
    if copies.is_empty() {
        return Cow::Borrowed(values);
    }
    let all = values.iter().zip(copies);
    all.flat_map(|(value, copies)| (0..*copies).map(|_| *value)).collect()
}

/// What is known about the tuples of one emitted column.
pub(super) struct Parts<'a> {
    pub(super) way: Way,
    /// For each tuple its anchor.
    pub(super) anchors: &'a [u32],
    /// Where each goes, if they part ways.
    pub(super) ordinals: &'a [u32],
    /// About how many bytes one has.
    pub(super) each: usize,
    /// Who emitted them.
    pub(super) source: u32,
    /// What each came of, if a fused bolt emitted them and its trees are looked at.
    pub(super) parents: &'a [u64],
}

impl Edge {
    pub(super) fn new(start: EdgeStart<'_>) -> Self {
        let near = start.targets.iter().map(|(_, place)| nearness(place, start.in_call));
        let targets = Targets { near: near.collect() };
        let facts = Facts::new(start.grouping, &targets);
        let bins = (0..=start.targets.len()).map(|_| (start.output.empty)()).collect();
        let tracking = (0..=start.targets.len()).map(|_| Tracking::new()).collect();
        Self {
            from: start.from,
            reader: start.reader,
            tuples: 0,
            router: Router::new(facts.kind, &targets, start.seed),
            facts,
            grouping: start.grouping.clone(),
            near: targets.near,
            in_call: start.in_call,
            seed: start.seed,
            targets: start
                .targets
                .into_iter()
                .map(|(task, place)| Target::new(task, place))
                .collect(),
            bins,
            tracking,
        }
    }

    /// Finds the targets anew. Whoever chooses among them by how near they are begins anew if that
    /// has changed; where the tuples of a key go does not depend on it.
    pub(super) fn place_anew(&mut self, exits: &Exits) {
        for target in &mut self.targets {
            target.place = exits.place_of(target.task);
        }
        let near = self.targets.iter().map(|target| nearness(&target.place, self.in_call));
        let near: Vec<_> = near.collect();
        if near != self.near {
            let targets = Targets { near };
            self.facts = Facts::new(&self.grouping, &targets);
            self.router = Router::new(self.facts.kind, &targets, self.seed);
            self.near = targets.near;
        }
    }

    /// Gives up what waits: its trees fail.
    pub(super) fn abandon(&mut self, reason: FailReason, exits: &mut Exits) {
        let waiting = self.bins.iter_mut().zip(&mut self.tracking);
        for (target, (bin, tracking)) in self.targets.iter_mut().zip(waiting) {
            exits.fail_all(tracking, reason);
            tracking.clear();
            bin.clear();
            (target.bytes, target.weighed, target.since) = (0, 0, None);
        }
    }

    /// The number of the bin for tuples that go nowhere.
    pub(super) fn nowhere(&self) -> u32 {
        u32::try_from(self.targets.len()).unwrap_or(u32::MAX)
    }

    /// How many copies are to be made of each tuple that was decided about last; nothing if each is for
    /// one task, or for all.
    pub(super) fn copies(&self) -> &[u32] {
        self.facts.copies()
    }

    /// Decides where the tuples go: fills `ordinals` with one a tuple (or a copy of it, see `copies`)
    /// where they part ways. Tells why some have no target.
    pub(super) fn decide(
        &mut self,
        rows: &dyn Rows,
        direct: &[u32],
        exits: &Exits,
        (hashes, ordinals): (&mut Vec<u64>, &mut Vec<u32>),
    ) -> (Way, Option<Lost>) {
        let nowhere = self.nowhere();
        ordinals.clear();
        let named = match self.facts.ask(rows, direct, hashes) {
            Ok(named) => named,
            Err(lost) => {
                ordinals.resize(rows.len(), NO_TASK);
                return (Way::Each, Some(lost));
            }
        };
        let several = !named.copies.is_empty();
        let direct = &*repeated(direct, named.copies);
        let count = if several { named.tasks.len() } else { rows.len() };
        let targets = &self.targets;
        let load = |ordinal: u32| exits.room(&targets[ordinal as usize].place);
        let busy = exits.pressure.busy();
        let batch = Batch { len: count, hashes, direct: named.tasks, busy };
        let sole = match self.router.route(batch, &load, ordinals) {
            Routed::Every => return (Way::Every, None),
            Routed::Whole(ordinal) => Some(ordinal),
            Routed::Nowhere => Some(nowhere),
            Routed::Each => None,
        };
        if let Some(sole) = sole {
            if !self.facts.sifts(direct) {
                return (Way::Sole(sole.min(nowhere) as usize), None);
            }
            ordinals.clear();
            ordinals.resize(count, sole);
        }
        (Way::Each, self.facts.sift(ordinals, (direct, count), nowhere))
    }

    /// Counts tuples that go this way: each copy.
    pub(super) fn count(&mut self, way: Way, tuples: usize) {
        let copies = match way {
            Way::Every => self.targets.len(),
            Way::Sole(at) if at == self.targets.len() => 0,
            Way::Sole(_) | Way::Each => 1,
        };
        self.tuples += (tuples * copies) as u64;
    }

    /// Notes which targets had no room for what waits, once a turn, and tells what the memory of the
    /// worker is charged with for it.
    pub(super) fn note_waiting(&mut self, now: Instant) -> u64 {
        let mut weight = 0;
        for target in self.targets.iter_mut().filter(|target| target.weighed > 0) {
            weight += charge(target.weighed as u64, target.bytes as u64);
            target.since.get_or_insert(now);
        }
        weight
    }

    /// Since when the oldest tuple waits for room.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.targets.iter().filter_map(|target| target.since).min()
    }

    /// Executes a batch for one idle bolt of this loop at once; gives back what cannot be.
    pub(super) fn fuse(
        &self,
        rows: Box<dyn Rows>,
        parts: &Parts<'_>,
        anchoring: &mut Anchoring<'_>,
        exits: &mut Exits,
    ) -> Option<Box<dyn Rows>> {
        let Way::Sole(at) = parts.way else { return Some(rows) };
        // What waits for the same target must stay before it.
        let target =
            self.targets.get(at).filter(|t| self.bins[at].is_empty() && t.ending.is_empty());
        let Some(target) = target.filter(|_| anchoring.may_fuse()) else { return Some(rows) };
        let Some((at, mut bolt)) = exits.take_idle_bolt(&target.place) else { return Some(rows) };
        let hops = if exits.tracer.is_on() {
            let (tasks, now) = ((parts.source, target.task), exits.now);
            let of = (parts.anchors, parts.parents);
            exits.tracer.take_fused(tasks, of, anchoring, (&mut exits.ids, now))
        } else {
            None
        };
        let mut chain = Chain { parents: parts.anchors, anchoring, hops };
        bolt.execute_fused((target.task, self.from), rows, &mut chain, exits);
        exits.bolts[at] = Some(bolt);
        None
    }

    /// Moves the tuples to their targets' bins and ties each copy to its anchor.
    pub(super) fn fill(
        &mut self,
        mut rows: Box<dyn Rows>,
        parts: &Parts<'_>,
        anchoring: &mut Anchoring<'_>,
        exits: &mut Exits,
    ) {
        let Parts { way, anchors, ordinals, each, .. } = *parts;
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

    /// Sends the bins that have at least so much, where there is room, and ends behind them. Tells how
    /// many it sent.
    pub(super) fn send(
        &mut self,
        (source, ownership): (u32, u64),
        exits: &mut Exits,
        (tuples, bytes): (usize, usize),
    ) -> u64 {
        let mut sent = 0;
        let waiting = self.bins.iter_mut().zip(&mut self.tracking);
        for (target, (bin, tracking)) in self.targets.iter_mut().zip(waiting) {
            let enough = bin.len() >= tuples || (!bin.is_empty() && target.bytes >= bytes);
            if enough && exits.has_room(&target.place) {
                sent += 1;
                (target.weighed, target.since) = (0, None);
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
                // A task is known to have ended when the last that it emitted has left: tell it now.
                exits.ended = true;
                for source in std::mem::take(&mut target.ending) {
                    exits.send_end(&target.place, target.task, (source, ownership), self.from);
                }
            }
        }
        sent
    }
}
