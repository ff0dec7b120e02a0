//! What an executor emitted and has not delivered yet, by target task.
//!
//! `emit` never waits, so output collects here. A target's batch leaves when it is full, or when the
//! executor has no more input; a target without room keeps its share, and an executor whose share
//! for any target is full takes no more input. So a slow target stalls only those who send to it.

mod edge;
mod facts;
mod large;
mod tied;

use std::time::Instant;

use topology_api::runtime::{Emitted, Grouping, OutputStream};

use self::edge::{Edge, Parts, repeated};
use crate::engine::acking::FailReason;
use crate::executor::anchoring::Anchoring;
use crate::executor::exits::{Exits, Place};
use crate::executor::flows::Flows;
use crate::executor::mailbox::StreamRef;

/// A batch leaves when it has this many tuples.
pub const BATCH_TUPLES: usize = 128;

/// A batch leaves when it has about this many bytes.
pub const BATCH_BYTES: usize = 64 * 1024;

/// What a target without room may leave in the outbox before its senders stop: two batches.
const SHARE_TUPLES: usize = 2 * BATCH_TUPLES;

/// One subscription, from which an [`Outbox`] is made.
pub struct EdgeStart<'a> {
    /// The stream, of the executor's component.
    pub from: StreamRef,
    /// The component that reads it.
    pub reader: usize,
    /// What it carries.
    pub output: &'a OutputStream,
    /// How it is split.
    pub grouping: &'a Grouping,
    /// Whether its tasks do their work in the call, so in the thread they are on.
    pub in_call: bool,
    /// Its tasks, and where they are.
    pub targets: Vec<(u32, Place)>,
    /// For choices that should differ between senders.
    pub seed: u64,
}

/// What an executor emitted and has not delivered yet.
#[derive(Debug)]
pub struct Outbox {
    /// Whose it is.
    component: usize,
    edges: Vec<Edge>,
    /// Tuples emitted by stream, since they were gathered.
    emitted: Vec<u64>,
    /// Owner epoch of the executor's tasks.
    ownership: u64,
    /// How often something was sent.
    sent: u64,
    /// What the memory of the worker is charged with for what waits.
    charged: u64,
    /// Room for decisions, reused.
    ordinals: Vec<u32>,
    hashes: Vec<u64>,
}

impl Outbox {
    /// Makes an empty outbox of an executor of a component with so many streams, whose tasks have this
    /// owner epoch.
    #[must_use]
    pub fn new(
        (component, streams): (usize, usize),
        edges: Vec<EdgeStart<'_>>,
        ownership: u64,
    ) -> Self {
        let edges = edges.into_iter().map(Edge::new).collect();
        Self {
            component,
            edges,
            emitted: vec![0; streams],
            ownership,
            sent: 0,
            charged: 0,
            ordinals: Vec::new(),
            hashes: Vec::new(),
        }
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
        let mut parents = std::mem::take(&mut exits.tracer.parents);
        if parents.len() != anchors.len() {
            // Tuples that were too large are not there any more.
            parents.clear();
        }
        if let Some(taps) = exits.taps.as_ref().filter(|taps| taps.is_any()) {
            taps.offer((self.component, stream), source, &*rows, exits.now);
        }
        let mut rows = Some(rows).filter(|rows| !rows.is_empty());
        let count = rows.as_ref().map_or(0, |rows| rows.len());
        self.emitted[stream] += count as u64;
        exits.pressure.routed(count);
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
            let (way, lost) = edge.decide(&*batch, &direct, exits, out);
            let copies = edge.copies();
            let batch = if copies.is_empty() { batch } else { batch.repeat(copies) };
            let (anchors, parents) = (repeated(&anchors, copies), repeated(&parents, copies));
            if let Some(lost) = lost {
                let tuples = (&*anchors, self.ordinals.as_mut_slice());
                lost.fail((source, edge.nowhere()), tuples, anchoring, exits);
            }
            edge.count(way, batch.len());
            let ordinals = &self.ordinals;
            let parts = Parts { way, anchors: &anchors, ordinals, each, source, parents: &parents };
            let Some(batch) = edge.fuse(batch, &parts, anchoring, exits) else { continue };
            let before = exits.tracer.is_on().then(|| edge.tied());
            edge.fill(batch, &parts, anchoring, exits);
            if let Some(before) = before {
                edge.note_tied(&before, &parts, anchoring, exits);
            }
            edge.send((source, self.ownership), exits, (BATCH_TUPLES, BATCH_BYTES));
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
            self.sent += edge.send((source, self.ownership), exits, (1, 0));
            left += edge.note_waiting(exits.now);
        }
        exits.memory.change(self.charged, left);
        self.charged = left;
    }

    /// Gathers how many tuples went which way.
    pub fn gather(&mut self, flows: &mut Flows) {
        for (stream, emitted) in self.emitted.iter_mut().enumerate() {
            let from = StreamRef { component: self.component, stream };
            flows.add(from, None, std::mem::take(emitted));
        }
        for edge in &mut self.edges {
            flows.add(edge.from, Some(edge.reader), std::mem::take(&mut edge.tuples));
        }
    }

    /// Since when the oldest tuple waits for room at its target.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.edges.iter().filter_map(Edge::oldest).min()
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

    /// How often a flush sent something: while it rises, what waits becomes less.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
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

    /// Finds the targets anew, after a change of the routing table. What waits for them stays.
    pub fn place_anew(&mut self, exits: &Exits) {
        self.edges.iter_mut().for_each(|edge| edge.place_anew(exits));
    }

    /// Gives up what waits: its trees fail.
    pub fn abandon(&mut self, reason: FailReason, exits: &mut Exits) {
        self.edges.iter_mut().for_each(|edge| edge.abandon(reason, exits));
        exits.memory.change(self.charged, 0);
        self.charged = 0;
    }
}
