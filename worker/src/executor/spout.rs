//! The executor of a spout: asks for tuples while there is room, opens their trees, and gives the
//! verdicts back.
//!
//! The ledger of the trees lives here. Folding a contribution into it never waits; only verdicts
//! wait for the spout to take them.

mod lifecycle;
mod moving;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use topology_api::runtime::{SpoutTask, Unopened};
use topology_api::{Context, Next};

use crate::engine::acking::{AckBatch, Ledger, PENDING_MAX, RootId};
use crate::engine::flow::budget::TREE_BYTES;
use crate::executor::anchoring::{Anchoring, Roots};
use crate::executor::counters::TaskCounters;
use crate::executor::effort::Stand;
use crate::executor::exits::Exits;
use crate::executor::inbox::Desired;
use crate::executor::outbox::{BATCH_TUPLES, Outbox};
use crate::executor::plan::Plan;
use crate::executor::seating::Seat;
use crate::executor::task_state::{TaskState, guarded};
use crate::executor::waker::TaskWaker;

/// Shortest pause of a spout that had something and has nothing now: with most, and with little. In
/// between it is the time in which it had as much as fills a batch.
const LULL: (Duration, Duration) = (Duration::from_micros(5), Duration::from_micros(100));

/// Longest pause of a spout that has nothing.
const IDLE_MAX: Duration = Duration::from_millis(10);

/// It is asked so many times in the time since it last had something, and as much again in the next:
/// what comes after a long silence waits longer, and an idle spout costs little.
const ASKED_AGAIN: u32 = 16;

/// Pause of a spout that wakes its executor.
const UNTIL_WOKEN: Duration = Duration::from_secs(3_600);

/// Pause of a spout while its worker holds too much.
const UNTIL_ROOM: Duration = Duration::from_millis(10);

/// Most calls of `next` rounds in one turn.
const ROUNDS_A_TURN: usize = 4;

/// How many more trees than `max_pending` the ledger takes for each task.
const OVERFLOW: u32 = PENDING_MAX / 256;

/// One task of the executor.
struct Cell {
    task: Box<dyn SpoutTask>,
    cx: Context,
    /// Has `next` called before the pause is over.
    waker: Arc<TaskWaker>,
    state: TaskState,
    counters: TaskCounters,
    /// It said that nothing will ever come again, and no tuple failed since.
    finished: bool,
    /// It has nothing before this.
    idle_until: Instant,
    /// When it last had something.
    emitted_at: Instant,
    /// When it last had nothing, and what it had emitted by then.
    lull: (Instant, u64),
    active: bool,
}

impl Cell {
    /// How long to wait until it is asked again, now that it has nothing. A worker that has peers
    /// leaves the core to the threads of its links: what comes later makes fuller frames.
    fn pause(&mut self, now: Instant, has_peers: bool) -> Duration {
        if self.task.waits() {
            return UNTIL_WOKEN;
        }
        let (since, before) = std::mem::replace(&mut self.lull, (now, self.counters.emitted));
        let (shortest, longest) = if has_peers { (LULL.1, LULL.1) } else { LULL };
        let silent = now.saturating_duration_since(self.emitted_at) / ASKED_AGAIN;
        let emitted = u32::try_from(self.counters.emitted - before).unwrap_or(u32::MAX);
        let batch = u32::try_from(BATCH_TUPLES).unwrap_or(u32::MAX);
        let full = now.saturating_duration_since(since).checked_div(emitted);
        let full = full.map_or(longest, |each| (each * batch).clamp(shortest, longest));
        silent.clamp(full, IDLE_MAX)
    }
}

/// Most failures of which it is kept what was said, until the spout is told.
const WHYS_KEPT: usize = 1024;

/// Runs the tasks of one spout that one executor has.
pub struct SpoutExecutor {
    /// Its index in the topology: the first part of its root ids.
    pub index: u16,
    /// Its place among the executors of its loop.
    place: usize,
    /// Why its last turn ended.
    stand: Stand,
    ledger: Ledger,
    cells: Vec<Cell>,
    /// Nobody else has its tasks: they may be opened.
    started: bool,
    /// Its tasks are somebody else's: they are not asked any more.
    leaves: bool,
    outbox: Outbox,
    desired: Desired,
    acking: bool,
    max_pending: u32,
    timeout_ns: u64,
    /// How long components hold tuples on purpose.
    holds_ns: u64,
    tick: Option<Duration>,
    next_tick: Instant,
    streams: usize,
    /// What the memory of the worker is charged with for open trees.
    charged: u64,
    /// Room for roots, the ids given for them and their slots, reused.
    roots: Vec<u64>,
    given: Vec<u64>,
    slots: Vec<u32>,
    /// What was said of trees that failed, by slot, until the spout is told.
    whys: BTreeMap<u32, Box<str>>,
}

impl SpoutExecutor {
    /// Makes the executor of a seat with its tasks, none of them open or to be opened yet.
    pub fn new(plan: &Plan, seat: &Seat, outbox: Outbox, now: Instant) -> Self {
        let (executor, index) = (&seat.executor, seat.executor.index);
        let component = &plan.topology.components()[executor.component];
        let config = plan.topology.config();
        let cell = |task: u32| {
            let (cx, waker) = plan.context(task, seat.at);
            Cell {
                task: component.spout_task().expect("a spout makes spout tasks"),
                cx,
                waker,
                state: TaskState::new(now),
                counters: TaskCounters::new(task, index, &component.name),
                finished: false,
                idle_until: now,
                emitted_at: now,
                lull: (now, 0),
                active: false,
            }
        };
        let cells: Vec<Cell> = executor.tasks.clone().map(cell).collect();
        // One call may emit more than there is room for: the ledger takes one more batch a task.
        let roots = config.max_pending().saturating_add(OVERFLOW);
        let roots = roots.saturating_mul(u32::try_from(cells.len()).unwrap_or(1));
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            index,
            place: seat.place,
            stand: Stand::Idle,
            ledger: Ledger::new(index, executor.incarnation, roots),
            cells,
            started: false,
            leaves: false,
            outbox,
            desired: Desired::Inactive,
            acking: config.acking(),
            max_pending: config.max_pending(),
            timeout_ns: nanoseconds(config.message_timeout()),
            holds_ns: nanoseconds(plan.holds()),
            tick: component.tick,
            next_tick: component.tick.map_or(now, |tick| now + tick),
            streams: component.outputs.len(),
            charged: 0,
            roots: Vec::new(),
            given: Vec::new(),
            slots: Vec::new(),
            whys: BTreeMap::new(),
        }
    }

    /// Gives the executor its turn; tells whether it got something done.
    pub fn turn(&mut self, plan: &Plan, exits: &mut Exits) -> bool {
        let mut worked = self.open_due(plan, exits);
        worked |= self.settle(plan, exits);
        self.tick_if_due(plan, exits);
        self.stand = Stand::Idle;
        for at in 0..self.cells.len() {
            for _ in 0..ROUNDS_A_TURN {
                if !self.ask(at, plan, exits) {
                    break;
                }
                worked = true;
            }
        }
        if exits.tracer.is_on() {
            // Trees that fused bolts have done with end at once, traced or not.
            worked |= self.settle(plan, exits);
        }
        self.outbox.flush(self.source(), exits);
        self.end_finished(exits);
        self.outbox.flush(self.source(), exits);
        let trees = u64::from(self.ledger.open_count()) * TREE_BYTES;
        exits.memory.change(self.charged, trees);
        self.charged = trees;
        worked
    }

    /// Why it does nothing until its next turn.
    pub fn stand(&self) -> Stand {
        self.stand
    }

    fn source(&self) -> u32 {
        self.cells[0].counters.task
    }

    /// Takes contributions from wherever; never waits.
    pub fn apply(&mut self, batch: &AckBatch, now_ns: u64) {
        self.ledger.apply(batch);
        for why in &batch.whys {
            let slot = RootId::from_bits(why.root).map(RootId::slot);
            let slot = slot.filter(|_| self.whys.len() < WHYS_KEPT);
            self.whys.extend(slot.map(|slot| (slot, why.text.clone())));
        }
        batch.resets.iter().for_each(|root| self.ledger.reset_timeout(*root, now_ns));
    }

    /// Fails what no knowledge explains: trees open for longer than the timeout, and the time that
    /// the oldest tuple waits in queues.
    pub fn expire(&mut self, waiting_ns: u64, exits: &Exits) {
        let waiting_ns = waiting_ns.saturating_add(self.holds_ns);
        self.ledger.expire(exits.now_ns(), self.timeout_ns, waiting_ns);
    }

    /// Says what the spout may do from now on.
    pub fn desire(&mut self, desired: Desired) {
        self.desired = desired;
    }

    fn open_due(&mut self, plan: &Plan, exits: &mut Exits) -> bool {
        let mut opened = false;
        let may_open = self.started && !self.leaves;
        let (cells, now) = (self.cells.iter_mut().filter(|_| may_open), exits.now);
        for cell in cells.filter(|cell| cell.state.is_due(now)) {
            exits.go_on(self.place);
            let text = match exits
                .watch
                .call((cell.counters.task, exits.now), || cell.task.open(&cell.cx))
            {
                Ok(Ok(())) => {
                    cell.state.opened();
                    cell.active = false;
                    opened = true;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(panic) => format!("panicked: {panic}"),
            };
            cell.state.failed(exits.now);
            plan.board.show(cell.counters.task, "factory", text);
        }
        opened
    }

    /// Asks a task for tuples once; false if it must not be asked now, or had nothing.
    fn ask(&mut self, at: usize, plan: &Plan, exits: &mut Exits) -> bool {
        let over_share = self.outbox.is_over_share(exits);
        let cell = &mut self.cells[at];
        let active = self.desired == Desired::Active && !self.leaves;
        if cell.state.open && cell.active != active {
            cell.active = active;
            if let Err(text) = guarded(|| cell.task.set_active(active)) {
                plan.board.show(cell.counters.task, "panic", text);
            }
        }
        if cell.waker.take() {
            // Not before the pause after an error is over.
            cell.idle_until = cell.idle_until.min(exits.now.max(cell.state.retry_at));
        }
        let room = u64::from(self.max_pending).saturating_sub(cell.counters.pending);
        let room = room.min(self.ledger.room().into());
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(BATCH_TUPLES);
        if !active || !cell.state.open || cell.finished {
            return false;
        }
        if over_share || exits.is_tight || room == 0 {
            let blocked = over_share || exits.is_tight;
            self.stand = if blocked { Stand::Blocked } else { Stand::Throttled };
            return false;
        }
        if exits.now < cell.idle_until {
            return false;
        }
        exits.go_on(self.place);
        let next = exits.watch.call((cell.counters.task, exits.now), || cell.task.next(room));
        let emitted = self.route(at, plan, exits);
        let cell = &mut self.cells[at];
        match next {
            Ok(Ok(Next::Emitted)) => {
                cell.emitted_at = exits.now;
                cell.state.works();
                self.stand = Stand::Ready;
                return emitted;
            }
            Ok(Ok(Next::Idle)) => {
                if emitted {
                    cell.emitted_at = exits.now;
                }
                cell.idle_until = exits.now + cell.pause(exits.now, exits.transport.is_some());
                return emitted;
            }
            Ok(Ok(Next::Finished)) => cell.finished = true,
            Ok(Err(error)) if error.is::<Unopened>() => {
                cell.state.failed(exits.now);
                plan.board.show(cell.counters.task, "factory", error.to_string());
            }
            Ok(Err(error)) => {
                plan.board.show(cell.counters.task, "error", error.to_string());
                // The instance stays: its source and its pending tuples are in it.
                cell.idle_until = exits.now + cell.state.failed(exits.now);
                cell.state.opened();
            }
            Err(panic) => {
                plan.board.show(cell.counters.task, "panic", panic);
                cell.idle_until = exits.now + cell.state.failed(exits.now);
                cell.state.opened();
            }
        }
        false
    }

    /// Routes what was emitted, and files or acks its message ids; tells whether there was any.
    fn route(&mut self, at: usize, plan: &Plan, exits: &mut Exits) -> bool {
        let cell = &mut self.cells[at];
        let task = cell.counters.task;
        let ids = cell.task.id_count();
        let tracked = if self.acking { ids } else { 0 };
        self.roots.clear();
        self.roots.resize(tracked, 0);
        self.given.clear();
        self.given.resize(tracked, 0);
        let room = self.ledger.room() as usize;
        self.roots.iter_mut().skip(room).for_each(|root| *root = Roots::REFUSED);
        let (now, now_ns) = (exits.now, exits.now_ns());
        if exits.tracer.is_on() {
            // Fused bolts need no root; who looks at a tree does.
            for root in self.roots.iter_mut().filter(|root| **root == 0) {
                let opened = self.ledger.open(task, now_ns);
                *root = opened.map_or(Roots::REFUSED, RootId::bits);
            }
            exits.tracer.opened(task, &self.roots, now);
        }
        let mut any = false;
        for stream in 0..self.streams {
            let Some(emitted) = cell.task.take(stream, &mut exits.pool) else { continue };
            any = true;
            cell.counters.emitted += emitted.rows.len() as u64;
            let mut anchoring = if tracked == 0 {
                Anchoring::Off
            } else {
                let (roots, given) = (&mut self.roots[..], &mut self.given[..]);
                Anchoring::Roots(Roots { ledger: &mut self.ledger, task, now_ns, roots, given })
            };
            self.outbox.route((task, stream), emitted, &mut anchoring, exits);
        }
        if ids > 0 {
            self.file(at, now_ns, plan, exits);
        }
        any
    }

    /// When it wants a turn without having been sent anything. Who makes room in a full outbox
    /// wakes the loop; nobody does when the worker's memory has room again.
    pub fn wakes_at(&self, exits: &Exits) -> Option<Instant> {
        let active = self.desired == Desired::Active && !self.leaves;
        let may_open = self.started && !self.leaves;
        let has_room = !self.outbox.is_over_share(exits);
        let earliest = if exits.is_tight { exits.now + UNTIL_ROOM } else { exits.now };
        let wakes = self.cells.iter().filter_map(|cell| {
            if !cell.state.open {
                return (may_open && !cell.state.ended).then_some(cell.state.retry_at);
            }
            let asks = active && !cell.finished && cell.counters.pending < self.max_pending.into();
            (asks && has_room).then_some(cell.idle_until.max(earliest))
        });
        let tick = self.tick.filter(|_| active).map(|_| self.next_tick);
        wakes.chain(tick).min()
    }

    /// Since when the oldest tuple waits that has no room ahead.
    pub fn oldest(&self) -> Option<Instant> {
        self.outbox.oldest()
    }

    /// Tells whether trees are open: their timeout must be watched.
    pub fn has_open_trees(&self) -> bool {
        self.ledger.open_count() > 0
    }
}
