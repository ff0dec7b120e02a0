//! The executor of a bolt: takes waiting batches, calls the component for each tuple, routes what it
//! emitted, and settles with the ledgers that own the trees.

mod cell;
mod fused;
mod lifecycle;
mod moving;
mod settle;
mod under_way;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use topology_api::Context;
use topology_api::runtime::{BoltTask, Calls, Component};

use crate::engine::acking::{FailReason, Held, Tracking};
pub use fused::Chain;

use crate::executor::anchoring::Anchoring;
use crate::executor::calls::{GROUP, Pace};
use crate::executor::counters::TaskCounters;
use crate::executor::effort::Stand;
use crate::executor::exits::Exits;
use crate::executor::mailbox::{Delivery, Item, StreamRef};
use crate::executor::outbox::Outbox;
use crate::executor::plan::Plan;
use crate::executor::seating::Seat;
use crate::executor::task_state::TaskState;
use crate::executor::traces::hops::{HeldHops, Hops};
use crate::executor::waker::TaskWaker;

/// Most batches an executor takes before it lets the next one run.
const BATCHES_A_TURN: usize = 16;

/// One task of the executor.
struct Cell {
    task: Box<dyn BoltTask>,
    cx: Context,
    waker: Arc<TaskWaker>,
    state: TaskState,
    counters: TaskCounters,
    held: Held,
    /// The source tasks that have ended, by stream, with the owner epoch they had.
    ended: HashMap<(StreamRef, u32), u64>,
    pace: Pace,
    /// It was told to finish.
    finishing: bool,
    /// Calls outlast the turns in which they are begun, and are timed by the task.
    waits: bool,
}

/// The batch in hand: some of its inputs may be done with. One without inputs stands for the
/// iterators that `tick` or `finish` gave.
struct InHand {
    cell: usize,
    tracking: Tracking,
    /// For each input, the XOR of the edge ids given to what it became; empty if none is tracked.
    given: Vec<u64>,
    /// How many inputs are done with and settled.
    done: usize,
    /// Lowest table version under which something was emitted.
    stamp: u64,
    /// When it came in.
    since: Instant,
    /// The inputs whose trees are looked at, as far as they are not done with.
    hops: Option<Box<Hops>>,
}

/// Runs the tasks of one bolt that one executor has.
pub struct BoltExecutor {
    component: usize,
    /// Its place among the executors of its loop.
    place: usize,
    /// Why its last turn ended.
    stand: Stand,
    cells: Vec<Cell>,
    /// Nobody else has its tasks: they may be opened.
    started: bool,
    outbox: Outbox,
    in_hand: Option<InHand>,
    /// What its tasks hold of trees that are looked at.
    held_hops: HeldHops,
    spare_given: Vec<u64>,
    /// Its inputs are held until their verdicts.
    explicit: bool,
    /// Its calls outlast the turns in which they are begun.
    waits: bool,
    /// When its tasks want to know the time.
    due: Option<Instant>,
    tick: Option<Duration>,
    next_tick: Instant,
    /// The tasks before this had their tick.
    ticked: usize,
    streams: usize,
    /// How many (stream, source task) pairs must end before a task finishes.
    sources: usize,
}

impl BoltExecutor {
    /// Makes the executor of a seat with its tasks, none of them open or to be opened yet.
    pub fn new(plan: &Plan, seat: &Seat, outbox: Outbox, now: Instant) -> Self {
        let (executor, index) = (&seat.executor, seat.executor.index);
        let component: &Component = &plan.topology.components()[executor.component];
        let budget = usize::try_from(plan.topology.config().output_budget()).unwrap_or(usize::MAX);
        let cells = executor
            .tasks
            .clone()
            .map(|task| {
                let (cx, waker) = plan.context(task, seat.at);
                Cell {
                    task: component.bolt_task(budget).expect("a bolt makes bolt tasks"),
                    cx,
                    waker,
                    state: TaskState::new(now),
                    counters: TaskCounters::new(task, index, &component.name),
                    held: Held::new(),
                    ended: HashMap::new(),
                    pace: Pace::default(),
                    finishing: false,
                    waits: component.calls != Calls::Short,
                }
            })
            .collect();
        let ticked = executor.tasks.len();
        let streams: HashSet<(usize, usize)> =
            component.inputs.iter().map(|input| (input.component, input.stream)).collect();
        let sources = streams.iter().map(|(source, _)| plan.topology.tasks(*source).len()).sum();
        Self {
            component: executor.component,
            place: seat.place,
            stand: Stand::Idle,
            cells,
            started: false,
            outbox,
            in_hand: None,
            held_hops: HeldHops::default(),
            spare_given: Vec::new(),
            explicit: component.holds_inputs(),
            waits: component.calls != Calls::Short,
            due: None,
            tick: component.tick,
            next_tick: component.tick.map_or(now, |tick| now + tick),
            ticked,
            streams: component.outputs.len(),
            sources,
        }
    }

    /// Gives the executor its turn; tells whether it got something done.
    pub fn turn(&mut self, plan: &Plan, exits: &mut Exits) -> bool {
        let mut worked = self.open_due(plan, exits);
        worked |= self.go_on(plan, exits);
        let until = exits.now + GROUP;
        self.stand = Stand::Ready;
        for _ in 0..BATCHES_A_TURN {
            if self.outbox.is_over_share(exits) {
                self.outbox.flush(self.source(), exits);
                if self.outbox.is_over_share(exits) {
                    self.stand = Stand::Blocked;
                    break;
                }
            }
            if self.is_stalled() {
                break;
            }
            if self.in_hand.is_none() {
                // Between two batches: one in hand must not become the anchor of what a tick emits.
                self.tick_if_due(plan, exits);
                if self.in_hand.is_none() && !self.take(plan, exits) {
                    self.stand = Stand::Idle;
                    break;
                }
            }
            worked = true;
            // One slow bolt must not keep the others of its loop waiting for all its batches.
            if !self.run(exits) || exits.now >= until {
                break;
            }
        }
        if self.stand == Stand::Ready && self.is_stalled() {
            self.stand = Stand::Calling;
        }
        worked |= self.settle_held(None, plan, exits);
        self.finish_ended(plan, exits);
        self.outbox.flush(self.source(), exits);
        worked
    }

    /// Why it does nothing until its next turn.
    pub fn stand(&self) -> Stand {
        self.stand
    }

    /// The task that batches are said to come from: FIFO holds between executors, so the first.
    fn source(&self) -> u32 {
        self.cells[0].counters.task
    }

    fn open_due(&mut self, plan: &Plan, exits: &mut Exits) -> bool {
        let mut opened = false;
        for cell in &mut self.cells {
            if !self.started || !cell.state.is_due(exits.now) {
                continue;
            }
            exits.go_on(self.place);
            match exits.watch.call((cell.counters.task, exits.now), || cell.task.open(&cell.cx)) {
                Ok(Ok(())) => {
                    cell.state.opened();
                    opened = true;
                }
                Ok(Err(error)) => {
                    cell.state.failed(exits.now);
                    plan.board.show(cell.counters.task, "factory", error.to_string());
                }
                Err(panic) => {
                    cell.state.failed(exits.now);
                    plan.board.show(cell.counters.task, "factory", format!("panicked: {panic}"));
                }
            }
        }
        opened
    }

    /// Takes the next batch in hand; false if there is none, or its task is not open.
    fn take(&mut self, plan: &Plan, exits: &mut Exits) -> bool {
        if self.cells.iter().any(|cell| !cell.state.open && !cell.state.ended) {
            return false;
        }
        loop {
            match exits.mailboxes[self.place].pop() {
                None => return false,
                Some((Item::End { target, source, from, ownership }, _)) => {
                    // One that has moved since may begin anew, and will end again.
                    let counts = ownership >= exits.routes.table.ownership_of(source);
                    if let Some(cell) = self.cell_of(target).filter(|_| counts) {
                        self.cells[cell].ended.insert((from, source), ownership);
                    }
                }
                Some((Item::Batch(delivery), starved)) => {
                    exits.took(&delivery, starved);
                    if self.load(plan, delivery, exits) {
                        return true;
                    }
                }
            }
        }
    }

    fn cell_of(&self, task: u32) -> Option<usize> {
        self.cells.iter().position(|cell| cell.counters.task == task)
    }

    /// Hands a batch to its task; a batch that cannot be read or has no task fails its trees.
    fn load(&mut self, plan: &Plan, delivery: Delivery, exits: &mut Exits) -> bool {
        let Delivery { target, from, payload, tracking, since, .. } = delivery;
        let cell = self.cell_of(target).filter(|cell| !self.cells[*cell].state.ended);
        let Some(cell) = cell else {
            exits.fail_all(&tracking, FailReason::Refused);
            return false;
        };
        let rows = match settle::read(plan, self.component, from, payload) {
            Ok(rows) => rows,
            Err(text) => {
                plan.board.show(target, "refused", text);
                exits.fail_all(&tracking, FailReason::Refused);
                return false;
            }
        };
        let count = rows.len();
        let cell_ref = &mut self.cells[cell];
        let slots: Vec<u32> = if self.explicit {
            (0..count).map(|input| cell_ref.held.hold(tracking.of(input))).collect()
        } else {
            Vec::new()
        };
        cell_ref.task.load(rows, &slots);
        let mut given = std::mem::take(&mut self.spare_given);
        given.clear();
        if !self.explicit && tracking.is_tracked() {
            given.resize(count, 0);
        }
        let hops = if exits.tracer.is_on() && tracking.is_tracked() {
            exits.tracer.take(target, (&tracking, &slots), since)
        } else {
            None
        };
        self.in_hand =
            Some(InHand { cell, tracking, given, done: 0, stamp: u64::MAX, since, hops });
        true
    }

    /// Works on the batch in hand; false if its task needs a pause.
    fn run(&mut self, exits: &mut Exits) -> bool {
        let Some(hand) = self.in_hand.as_mut() else { return true };
        let cell = &mut self.cells[hand.cell];
        if !cell.state.open {
            return false;
        }
        let (done, panicked) = cell.work((self.place, hand.done), hand.hops.as_deref_mut(), exits);
        let cell_at = hand.cell;
        self.route(cell_at, exits);
        self.commit(done, panicked.as_deref(), exits);
        let cell = &mut self.cells[cell_at];
        let goes_on = panicked.is_none();
        cell.worked(done, panicked, exits);
        if !cell.task.has_work() {
            cell.task.unload(&mut exits.pool);
            if let Some(InHand { tracking, given, .. }) = self.in_hand.take() {
                exits.give_tracking(tracking);
                self.spare_given = given;
            }
        }
        goes_on
    }

    /// Routes what a task emitted.
    fn route(&mut self, at: usize, exits: &mut Exits) {
        let cell = &mut self.cells[at];
        let several = cell.task.take_several();
        let version = exits.version();
        for stream in 0..self.streams {
            let Some(emitted) = cell.task.take(stream, &mut exits.pool) else { continue };
            cell.counters.emitted += emitted.rows.len() as u64;
            let mut anchoring = match self.in_hand.as_mut() {
                _ if self.explicit => {
                    Anchoring::Held { held: &mut cell.held, several: &several, version }
                }
                Some(hand) if hand.tracking.is_tracked() => {
                    hand.stamp = hand.stamp.min(version);
                    Anchoring::Inputs { tracking: &hand.tracking, given: &mut hand.given }
                }
                _ => Anchoring::Off,
            };
            self.outbox.route((cell.counters.task, stream), emitted, &mut anchoring, exits);
        }
    }

    /// When it wants a turn without having been sent anything.
    pub fn wakes_at(&self, exits: &Exits) -> Option<Instant> {
        // A tick comes between two batches.
        let stands = self.in_hand.is_some() && !self.waits;
        let may_tick = !stands && !self.outbox.is_over_share(exits);
        let retry = self
            .cells
            .iter()
            .filter(|cell| self.started && !cell.state.open && !cell.state.ended)
            .map(|cell| cell.state.retry_at)
            .min();
        let tick = self
            .tick
            .filter(|_| may_tick && self.cells.iter().any(|cell| cell.state.open))
            .map(|_| self.next_tick);
        retry.into_iter().chain(tick).chain(self.due).min()
    }

    /// Since when the oldest tuple waits that it has not begun with, or that has no room ahead.
    pub fn oldest(&self, exits: &Exits) -> Option<Instant> {
        let in_hand = self.in_hand.as_ref().map(|hand| hand.since);
        let queued = [exits.mailboxes[self.place].oldest(), self.outbox.oldest()];
        in_hand.into_iter().chain(queued.into_iter().flatten()).min()
    }

    /// Tells whether it is in the middle of something that the next turn can go on with.
    pub fn is_busy(&self, exits: &Exits) -> bool {
        let ready = self.cells.iter().all(|cell| cell.state.open || cell.state.ended);
        let input = self.in_hand.is_some() || !exits.mailboxes[self.place].is_empty();
        let input = (ready && input && !self.is_stalled()) || self.may_go_on();
        input && !self.outbox.is_over_share(exits)
    }
}
