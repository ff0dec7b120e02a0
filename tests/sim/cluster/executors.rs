//! The executors of a worker: which it runs, which wait for others to let go of their tasks, and
//! which end what they have.
//!
//! Who sits where, who may start and what a worker says that it has let go of is what ships: the
//! routing table, the seating and the moves of `worker`. The loops are stood in for: an executor that
//! leaves takes its time to finish what it has, and goes by its deadline if it cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use proto::store::Released;
use proto::supervisor::RoutingTable;
use topology_api::prelude::*;
use topology_api::{IterSpout, NoOutput, Topology};
use worker::engine::routing::{Epoch, Table};
use worker::executor::moves::Moves;
use worker::executor::seating::{OwnExecutor, Seating};

use super::env::Env;
use super::events::{Event, ProcessEvent};
use super::plan::{MS, SECOND, Weather};
use super::process::Process;
use super::sabotage::Sabotage;

/// How often a worker looks whether those that leave have left.
const TURN: u64 = 100 * MS;

/// What a worker may hold, in bytes.
const MEMORY: u64 = 1 << 20;

/// An executor that leaves may get nothing done for so long, and takes no longer than that in all.
const STALLED: u64 = 10 * SECOND;
const FINISH: u64 = 30 * SECOND;

#[derive(Clone, Tuple)]
struct Line {
    n: u64,
}

struct Count;

impl Bolt for Count {
    type Input = Line;
    type Output = NoOutput;

    fn execute(&mut self, _: Line, _: &mut Output<NoOutput>) -> BoltResult {
        Ok(())
    }
}

/// What every client submits, as workers see it: a spout and a bolt with four tasks each.
static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| {
    let mut t = TopologyBuilder::new("sim");
    let lines = t.spout("lines", |_: &Context| IterSpout::new((0..9).map(|n| Line { n })));
    let lines = lines.tasks(4).stream();
    t.bolt("count", |_: &Context| Count).tasks(4).shuffle(&lines);
    t.build().expect("a good topology")
});

/// A place on a loop.
type Place = (usize, usize);

/// An executor whose tasks are another worker's by a table of this version.
struct Leaving {
    version: u64,
    /// When it has finished what it has.
    done_at: u64,
    /// When it goes anyway.
    deadline: u64,
}

/// The executors of one worker.
pub(super) struct Executors {
    own: (u32, Epoch),
    pub(super) table: Table,
    moves: Moves,
    running: BTreeMap<Place, OwnExecutor>,
    leaving: BTreeMap<Place, Leaving>,
    /// Those that have left for good.
    gone: BTreeSet<Place>,
    /// When what was sent last has arrived.
    arrives: u64,
    turns: bool,
}

impl Executors {
    pub(super) fn new(worker: u32, epoch: supervisor::engine::Epoch) -> Self {
        let mut moves = Moves::default();
        moves.begin(Arc::new(Seating::new(&TOPOLOGY, Vec::new(), 1, MEMORY)));
        let epoch = Epoch { revision: epoch.revision, restarts: epoch.restarts };
        Self {
            own: (worker, epoch),
            table: Table::default(),
            moves,
            running: BTreeMap::new(),
            leaving: BTreeMap::new(),
            gone: BTreeSet::new(),
            arrives: 0,
            turns: false,
        }
    }

    /// Those that process tuples, by their places.
    pub(super) fn running(&self) -> impl Iterator<Item = (Place, &OwnExecutor)> {
        self.running.iter().map(|(place, executor)| (*place, executor))
    }

    /// Tells whether some are on their way out.
    pub(super) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// What the supervisor is told of what this worker has let go of.
    pub(super) fn released(&self, env: &Env) -> Option<Released> {
        let mut released = self.moves.released()?;
        if env.does_wrong(Sabotage::ReleaseEarly) {
            released.holding.clear();
        }
        if env.does_wrong(Sabotage::NeverRelease) {
            released.generation = released.generation.min(1);
        }
        Some(released)
    }

    /// Those that have finished, or have had their time.
    fn finished(&self, now: u64, all_adopted: impl Fn(u64) -> bool) -> Vec<Place> {
        let done =
            |it: &Leaving| now >= it.deadline || (now >= it.done_at && all_adopted(it.version));
        self.leaving.iter().filter(|(_, it)| done(it)).map(|(place, _)| *place).collect()
    }
}

/// Tells whether two ranges of tasks have some in common.
pub(super) fn overlap(one: &Range<u32>, other: &Range<u32>) -> bool {
    one.start < other.end && other.start < one.end
}

impl Env {
    /// A worker gets a routing table; false if it is retired in it.
    pub(super) fn adopt(&mut self, process: usize, wire: &RoutingTable) -> bool {
        let it = &mut self.processes[process].executors;
        let (worker, epoch) = it.own;
        let table = Table::read(wire, it.own);
        if table.version() < it.table.version() {
            return true;
        }
        if table.worker(worker).is_some_and(|own| own.epoch > epoch) {
            return false;
        }
        it.table = table;
        it.moves.adopt(&it.table, it.own, &TOPOLOGY, MEMORY);
        self.seat(process);
        true
    }

    /// Starts the executors that may start, and has those leave that are another's now.
    fn seat(&mut self, process: usize) {
        let seating = self.processes[process].executors.moves.seating();
        let hasty = self.does_wrong(Sabotage::StartBeforeRelease);
        for seat in seating.seats() {
            let place = (seat.at, seat.place);
            let it = &self.processes[process].executors;
            if it.gone.contains(&place) {
                continue;
            }
            if seat.leaves {
                self.leave(process, place);
            } else if (seat.may_start || hasty) && !it.running.contains_key(&place) {
                self.note(|| format!("p{process} starts executor {:?}", seat.executor));
                self.count("executors");
                let executor = seat.executor.clone();
                self.processes[process].executors.running.insert(place, executor.clone());
                self.witness.runs((process, place), &executor, &self.processes);
            }
        }
    }

    fn leave(&mut self, process: usize, place: Place) {
        if self.processes[process].executors.leaving.contains_key(&place) {
            return;
        }
        self.note(|| format!("p{process}: executor at {place:?} leaves"));
        let storm = !self.healed && self.plan.weather == Weather::Storm;
        let takes = match self.below(0..10) {
            0..2 if storm => self.below(0..2 * FINISH),
            2..4 => self.below(0..3 * SECOND),
            _ => self.below(0..300 * MS),
        };
        // Some get nothing done, and so have less time.
        let limit = if self.chance(0.5) { STALLED } else { FINISH };
        let now = self.now;
        let it = &mut self.processes[process].executors;
        // One that never started has nothing to finish.
        let takes = if it.running.contains_key(&place) { takes } else { 0 };
        let version = it.table.version();
        let leaving = Leaving { version, done_at: now + takes, deadline: now + limit };
        it.leaving.insert(place, leaving);
        self.turn_soon(process);
    }

    fn turn_soon(&mut self, process: usize) {
        if !std::mem::replace(&mut self.processes[process].executors.turns, true) {
            let at = self.now + TURN;
            self.schedule(at, Event::Process { process, what: ProcessEvent::Turn });
        }
    }

    /// Has those executors go that have finished; tells whether there is something to say.
    pub(super) fn turn(&mut self, process: usize) -> bool {
        self.processes[process].executors.turns = false;
        let finished = {
            let it = &self.processes[process];
            it.executors.finished(self.now, |version| it.all_adopted(version, self))
        };
        let storm = !self.healed && self.plan.weather == Weather::Storm;
        let arrives = self.now + self.below(0..if storm { 1_500 * MS } else { 20 * MS });
        let (now, instant) = (self.now, self.instant());
        let mut cut_short = 0;
        let it = &mut self.processes[process].executors;
        for place in &finished {
            let left = it.leaving.remove(place);
            cut_short += u64::from(left.is_some_and(|it| now >= it.deadline));
            it.running.remove(place);
            it.gone.insert(*place);
            it.arrives = arrives;
        }
        let pending = now < it.arrives;
        let news = it.moves.settle(instant, &finished, |_| pending);
        let again = it.is_leaving() || pending;
        for _ in 0..cut_short {
            self.count("cut short");
        }
        if !finished.is_empty() {
            self.count("let go");
            self.note(|| format!("p{process} lets go of {finished:?}"));
        }
        if again {
            self.turn_soon(process);
        }
        news
    }
}

impl Process {
    /// Tells whether every other worker goes by a table of this version or a newer one, as far as can
    /// be heard here. Workers that are being started have sent nothing.
    fn all_adopted(&self, version: u64, env: &Env) -> bool {
        let routes = self.executors.table.workers().iter();
        let mut others = routes
            .filter(|route| route.worker != self.placement.worker && !route.address.is_empty());
        others.all(|route| {
            env.processes.iter().any(|it| {
                it.placement.topology == self.placement.topology
                    && it.executors.own == (route.worker, route.epoch)
                    && it.executors.table.version() >= version
                    && self.is_connected(it, env)
            })
        })
    }
}
