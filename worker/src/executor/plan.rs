//! What a worker runs: the topology, its own executors, and on which loop each is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use topology_api::runtime::{Calls, OutputName, Reporter, TaskFacts};
use topology_api::{Args, Context, Topology};

use crate::engine::flow::{Budget, Shares};
use crate::engine::placement::{PlacedExecutor, place};
use crate::executor::counters::Board;
use crate::executor::inbox::Inbox;
use crate::executor::mailbox::Gauge;
use crate::executor::waker::TaskWaker;

/// One executor of this worker.
#[derive(Clone, Debug)]
pub struct OwnExecutor {
    /// Its index in the topology.
    pub index: u16,
    /// The index of its component.
    pub component: usize,
    /// Its tasks.
    pub tasks: Range<u32>,
    /// Its incarnation, modulo 64.
    pub incarnation: u8,
}

/// Where an executor of this worker runs.
#[derive(Clone, Debug)]
pub struct Seat {
    /// On which loop.
    pub at: usize,
    /// Its place among the executors of that loop.
    pub place: usize,
    /// How full its mailbox is.
    pub gauge: Arc<Gauge>,
}

/// What a worker runs; fixed for its incarnation.
pub struct Plan {
    /// The topology, with the configuration that was chosen at submit.
    pub topology: Topology,
    /// Where tasks post what they count.
    pub board: Arc<Board>,
    arguments: Args,
    worker: u32,
    executors: Vec<OwnExecutor>,
    /// Where each of them runs, in the same order.
    seats: Vec<Seat>,
    /// By task, which of them runs it.
    owners: BTreeMap<u32, usize>,
    /// How other threads reach the loops: one a loop.
    pub inboxes: Arc<[Arc<Inbox>]>,
    /// What the worker holds and may hold.
    pub budget: Arc<Budget>,
    /// What each of its queues may.
    pub shares: Shares,
}

impl Plan {
    /// How long the oldest tuple waits before or behind an executor of this worker, in nanoseconds.
    #[must_use]
    pub fn waiting_ns(&self, now: Instant) -> u64 {
        let outside = self.inboxes.iter().filter_map(|inbox| inbox.oldest());
        let oldest = outside.chain(self.board.oldest()).min();
        let waiting = oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        u64::try_from(waiting.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Places the executors on `loops` loops, and divides the budget among their queues.
    #[must_use]
    pub fn new(
        topology: Topology,
        arguments: Args,
        worker: u32,
        executors: Vec<OwnExecutor>,
        (loops, board, budget): (usize, Arc<Board>, Arc<Budget>),
    ) -> Self {
        let loops = loops.clamp(1, executors.len().max(1));
        let placed: Vec<PlacedExecutor> = executors
            .iter()
            .map(|executor| PlacedExecutor { index: executor.index, component: executor.component })
            .collect();
        let ats = place(&placed, &joined(&topology), loops);
        let shares = shares(&topology, &executors, budget.limit());
        let mut places = vec![0; loops];
        // Downstream components first: what waits the longest way in moves on first.
        let mut order: Vec<usize> = (0..executors.len()).collect();
        order.sort_by_key(|own| std::cmp::Reverse(executors[*own].component));
        let mut seats = vec![None; executors.len()];
        for own in order {
            let at = ats[own];
            let gauge = Arc::new(Gauge::new(shares.mailbox));
            seats[own] = Some(Seat { at, place: places[at], gauge });
            places[at] += 1;
        }
        let owners = executors
            .iter()
            .enumerate()
            .flat_map(|(own, executor)| executor.tasks.clone().map(move |task| (task, own)))
            .collect();
        let seats = seats.into_iter().flatten().collect();
        let inboxes = (0..loops).map(|_| Arc::default()).collect();
        Self {
            topology,
            board,
            arguments,
            worker,
            executors,
            seats,
            owners,
            inboxes,
            budget,
            shares,
        }
    }

    /// The executor of this worker with this index in the topology.
    ///
    /// # Panics
    ///
    /// If it is not one of this worker's.
    #[must_use]
    pub fn executor(&self, index: u16) -> &OwnExecutor {
        self.executors
            .iter()
            .find(|executor| executor.index == index)
            .expect("a loop is given executors of its own worker")
    }

    /// The executors with their seats.
    pub fn seated(&self) -> impl Iterator<Item = (&OwnExecutor, &Seat)> {
        self.executors.iter().zip(&self.seats)
    }

    /// Where a task of this worker runs.
    #[must_use]
    pub fn seat_of(&self, task: u32) -> Option<&Seat> {
        self.owners.get(&task).map(|own| &self.seats[*own])
    }

    /// The component of a task, by index.
    #[must_use]
    pub fn component_of(&self, task: u32) -> Option<usize> {
        (0..self.topology.components().len())
            .find(|component| self.topology.tasks(*component).contains(&task))
    }

    /// Tells whether executors of this worker run async components.
    #[must_use]
    pub fn has_async(&self) -> bool {
        let components = self.topology.components();
        self.executors.iter().any(|own| matches!(components[own.component].calls, Calls::Async(_)))
    }

    /// The longest that tuples may be held on purpose, over all components.
    #[must_use]
    pub fn holds(&self) -> Duration {
        self.topology.components().iter().map(|component| component.holds).sum()
    }

    /// Makes the context of one of this worker's tasks, and what wakes it.
    ///
    /// # Panics
    ///
    /// If it is not one of this worker's.
    #[must_use]
    pub fn context(&self, task: u32) -> (Context, Arc<TaskWaker>) {
        let seat = self.seat_of(task).expect("a context is made where its task runs");
        let waker = TaskWaker::new(Arc::clone(&self.inboxes[seat.at]));
        let components = self.topology.components();
        let component = self.component_of(task).expect("every task belongs to a component");
        let context = Context::new(TaskFacts {
            topology: self.topology.name().to_owned(),
            component: components[component].name.clone(),
            task,
            tasks: self.topology.tasks(component),
            worker: self.worker,
            arguments: self.arguments.clone(),
            config: self.topology.config().clone(),
            outputs: components[component]
                .outputs
                .iter()
                .map(|output| OutputName { name: output.name.clone(), tuple: output.tuple })
                .collect(),
            peers: components
                .iter()
                .enumerate()
                .map(|(at, other)| (other.name.clone(), self.topology.tasks(at)))
                .collect(),
            reporter: Arc::clone(&self.board) as Arc<dyn Reporter>,
            waker: waker.as_waker(),
        });
        (context, waker)
    }
}

/// What each queue may hold: one mailbox an executor, and one place a target in its outbox.
fn shares(topology: &Topology, executors: &[OwnExecutor], limit: u64) -> Shares {
    let components = topology.components();
    let targets = |own: &OwnExecutor| {
        let readers = components.iter().enumerate().map(|(reader, component)| {
            let reads = component.inputs.iter().filter(|it| it.component == own.component).count();
            reads * topology.tasks(reader).len()
        });
        readers.sum::<usize>() as u64
    };
    Shares::of(limit, executors.len() as u64, executors.iter().map(targets).sum())
}

/// Pairs of components whose edge may stay on one loop.
fn joined(topology: &Topology) -> Vec<(usize, usize)> {
    let mut joined = Vec::new();
    if !topology.config().fusion() {
        // Nothing is executed inside the call that emitted it, so each may have a core of its own.
        return joined;
    }
    for (reader, component) in topology.components().iter().enumerate() {
        for input in &component.inputs {
            if input.grouping.may_stay() {
                joined.push((input.component, reader));
            }
        }
    }
    joined
}
