//! What an executor emitted and has not delivered yet, by target task.
//!
//! Stands in for the worker's `executor::outbox`.

use std::collections::BTreeMap;
use std::rc::Rc;

use rand::RngExt;
use topology_api::runtime::SEVERAL;
use worker::engine::acking::{Edge as AckEdge, EdgeIds, Tracking};
use worker::engine::routing::{Batch, GroupingKind, Nearness, Routed, Router, Targets};
use worker::executor::anchoring::Anchoring;

use super::env::Env;
use super::exits::{Cx, Outgoing, Place};
use super::hub::{Hub, NO_COPY};
use super::plan::{ExecutorPlan, Plan};
use super::sabotage::Sabotage;

/// One tuple that a component emitted.
#[derive(Clone, Debug)]
pub(super) struct Emitted {
    /// The emissions it descends from.
    pub(super) emissions: Rc<[u32]>,
    /// What it is anchored to.
    pub(super) anchor: u32,
}

struct Target {
    task: u32,
    place: Place,
    copies: Vec<u32>,
    tracking: Tracking,
}

/// One subscription of what the executor emits.
struct Edge {
    kind: GroupingKind,
    router: Router,
    targets: Vec<Target>,
}

/// What an executor emitted and has not delivered yet.
pub(super) struct Outbox {
    edges: Vec<Edge>,
    /// The executor, and its first task.
    source: (u16, u32),
    ordinals: Vec<u32>,
}

impl Outbox {
    pub(super) fn new(plan: &Plan, executor: &ExecutorPlan, (hub, at): (&Hub, usize)) -> Self {
        let place = |task: u32| match hub.seats.get(&task) {
            None => Place::Nowhere,
            Some(seat) if seat.at == at => Place::Here(seat.place),
            Some(seat) => {
                Place::Loop { at: seat.at, executor: seat.place, gauge: seat.gauge.clone() }
            }
        };
        let edge = |(reader, kind): (usize, GroupingKind)| {
            let tasks = plan.components[reader].tasks.clone();
            let targets: Vec<Target> = tasks
                .map(|task| Target {
                    task,
                    place: place(task),
                    copies: Vec::new(),
                    tracking: Tracking::new(),
                })
                .collect();
            let near = targets.iter().map(|it| match it.place {
                Place::Here(_) => Nearness::Loop,
                Place::Loop { .. } => Nearness::Worker,
                Place::Away { .. } | Place::Nowhere => Nearness::Away,
            });
            let near = Targets { near: near.collect() };
            let router = Router::new(kind, &near, u64::from(executor.index));
            Edge { kind, router, targets }
        };
        Self {
            edges: plan.readers(executor.component).map(edge).collect(),
            source: (executor.index, executor.tasks.start),
            ordinals: Vec::new(),
        }
    }

    /// Routes what was emitted, ties each copy to its anchor, and sends what makes a batch.
    pub(super) fn route(
        &mut self,
        emitted: &[Emitted],
        anchoring: &mut Anchoring<'_>,
        cx: &mut Cx<'_>,
    ) {
        for edge in &mut self.edges {
            edge.decide(emitted.len(), cx, &mut self.ordinals);
            for (at, tuple) in emitted.iter().enumerate() {
                let chosen = match self.ordinals.get(at) {
                    Some(&ordinal) => ordinal as usize..ordinal as usize + 1,
                    None => 0..edge.targets.len(),
                };
                for ordinal in chosen {
                    // Nothing is owed for what goes nowhere.
                    let Some(target) = edge.targets.get_mut(ordinal) else { continue };
                    let by = (cx.hub.process, self.source.0);
                    target.copies.push(cx.env.ghosts.copy(&tuple.emissions, by));
                    tie(tuple.anchor, anchoring, cx, &mut target.tracking);
                    for _ in 0..cx.env.plan.filler {
                        target.copies.push(NO_COPY);
                        target.tracking.push_untracked();
                    }
                }
            }
            edge.send(self.source.1, cx.env.plan.batch, cx);
        }
    }

    /// Sends all that waits and has room.
    pub(super) fn flush(&mut self, cx: &mut Cx<'_>) {
        self.edges.iter_mut().for_each(|edge| edge.send(self.source.1, 1, cx));
    }

    /// Tells whether some target's share is full and it has no room.
    pub(super) fn is_over_share(&self, cx: &Cx<'_>) -> bool {
        let share = 2 * cx.env.plan.batch;
        let mut targets = self.edges.iter().flat_map(|edge| &edge.targets);
        targets.any(|it| it.copies.len() >= share && !cx.exits.has_room(&it.place))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.edges.iter().flat_map(|edge| &edge.targets).all(|it| it.copies.is_empty())
    }

    /// Finds the targets in other workers anew, after a change of the routing table.
    pub(super) fn place_away(&mut self, cx: &mut Cx<'_>) {
        for target in self.edges.iter_mut().flat_map(|edge| &mut edge.targets) {
            if matches!(target.place, Place::Away { .. } | Place::Nowhere) {
                target.place = cx.place_away(target.task);
            }
        }
    }
}

/// Ties a copy to its anchor, unless that is what is done wrong.
fn tie(anchor: u32, anchoring: &mut Anchoring<'_>, cx: &mut Cx<'_>, to: &mut Tracking) {
    if cx.env.does_wrong(Sabotage::CompleteEarly) && cx.env.chance(0.05) {
        return to.push_untracked();
    }
    let several = match anchoring {
        Anchoring::Held { several, .. } if anchor & SEVERAL != 0 => *several,
        _ => return anchoring.tie(anchor, &mut cx.exits.ids, to),
    };
    if !cx.env.does_wrong(Sabotage::OneIdForSeveral) {
        return anchoring.tie(anchor, &mut cx.exits.ids, to);
    }
    let seed = cx.exits.ids.next();
    let mut edges: BTreeMap<u64, u64> = BTreeMap::new();
    for anchor in several.iter().flatten() {
        let (mut same, mut one) = (EdgeIds::new(seed), Tracking::new());
        anchoring.tie(*anchor, &mut same, &mut one);
        one.of(0).iter().for_each(|edge| *edges.entry(edge.root).or_default() ^= edge.id);
    }
    let edges: Vec<AckEdge> = edges.into_iter().map(|(root, id)| AckEdge { root, id }).collect();
    to.push_many(&edges);
}

impl Edge {
    /// Fills `ordinals` with one a tuple, or leaves it empty when every tuple goes to every task.
    fn decide(&mut self, len: usize, cx: &mut Cx<'_>, ordinals: &mut Vec<u32>) {
        let nowhere = self.targets.len() as u32;
        let (hashes, direct) = self.facts(len, cx.env);
        let busy = [None, Some(Nearness::Loop), Some(Nearness::Worker)];
        let busy = busy[cx.env.rng.random_range(0..busy.len())];
        let load = |ordinal: u32| cx.exits.room(&self.targets[ordinal as usize].place);
        let batch = Batch { len, hashes: &hashes, direct: &direct, busy };
        let whole = match self.router.route(batch, &load, ordinals) {
            Routed::Whole(ordinal) => ordinal,
            Routed::Nowhere => nowhere,
            Routed::Each => return,
            Routed::Every => return ordinals.clear(),
        };
        ordinals.clear();
        ordinals.resize(len, whole);
    }

    /// What the grouping wants to know of each tuple; a direct one may name a task that is not.
    fn facts(&self, len: usize, env: &mut Env) -> (Vec<u64>, Vec<u32>) {
        let tasks = self.targets.len() as u32;
        let hash = |env: &mut Env| env.rng.random();
        let direct = |env: &mut Env| {
            if env.chance(0.02) { tasks } else { env.rng.random_range(0..tasks) }
        };
        match self.kind {
            kind if kind.is_keyed() => ((0..len).map(|_| hash(env)).collect(), Vec::new()),
            kind if kind.is_named() => (Vec::new(), (0..len).map(|_| direct(env)).collect()),
            _ => (Vec::new(), Vec::new()),
        }
    }

    fn send(&mut self, source: u32, tuples: usize, cx: &mut Cx<'_>) {
        for target in &mut self.targets {
            if target.copies.len() >= tuples.max(1) && cx.exits.has_room(&target.place) {
                let copies = std::mem::take(&mut target.copies);
                let tracking = std::mem::take(&mut target.tracking);
                let out = Outgoing { target: target.task, source, copies, tracking };
                cx.send(&target.place, out);
            } else if !target.copies.is_empty() && matches!(target.place, Place::Away { .. }) {
                cx.env.count("gates closed");
            }
        }
    }
}
