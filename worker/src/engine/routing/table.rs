//! The routing table: which worker has which task, and which incarnation of it is meant.
//!
//! A table is one version of the truth; a worker adopts them in rising order and may skip some.
//! Everything that depends on a table (routers, stamps, where verdicts go) is decided by the one in
//! hand when the decision is made.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use crate::engine::acking::{RootId, incarnation_order};

/// Which incarnation of a worker: ordered by assignment, then by restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Store revision at which the worker's assignment was created.
    pub revision: u64,
    /// Restarts since.
    pub restarts: u64,
}

/// One executor's place in the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorPlace {
    /// Its number in the topology; it stands in the ids of the roots it opens.
    pub index: u16,
    /// The component it runs.
    pub component: String,
    /// The tasks it runs.
    pub tasks: Range<u32>,
    /// Its incarnation as root ids have it ([`incarnation_of`]).
    pub incarnation: u8,
    /// Owner epoch of its tasks: raised when they move between live workers.
    pub ownership: u64,
}

/// One worker and what it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its number in the topology.
    pub worker: u32,
    /// Its incarnation.
    pub epoch: Epoch,
    /// Where it listens; empty while it is being started.
    pub address: String,
    /// The store revision that made this epoch known, and so retired the one before.
    pub since_version: u64,
    /// What it runs.
    pub executors: Vec<ExecutorPlace>,
}

/// The incarnation that stands in root ids: that of the assignment plus restarts, modulo 64.
#[must_use]
pub fn incarnation_of(base: u64, restarts: u64) -> u8 {
    (base.wrapping_add(restarts) % 64) as u8
}

/// What to do with a contribution or failure of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictRoute {
    /// Send it to this worker.
    Deliver(u32),
    /// Drop it and count it: the incarnation that opened the root is gone, and its roots with it.
    Late,
    /// Keep it and ask the next table: this one is behind the spout that opened the root.
    ///
    /// What waited for the hard limit of the timeout can be dropped: the root has failed by then.
    Wait,
}

/// Who has which task, at one version of the store.
///
/// ```
/// use worker::engine::acking::RootId;
/// use worker::engine::routing::{Epoch, ExecutorPlace, Route, Table, VerdictRoute};
///
/// let spout =
///     ExecutorPlace { index: 0, component: "lines".into(), tasks: 0..2, incarnation: 3, ownership: 1 };
/// let worker = Route {
///     worker: 7,
///     epoch: Epoch { revision: 40, restarts: 3 },
///     address: "127.0.0.1:7001".into(),
///     since_version: 52,
///     executors: vec![spout],
/// };
/// let table = Table::new(52, vec![worker]);
/// assert_eq!(table.worker_of_task(1).map(|route| route.worker), Some(7));
/// assert_eq!(table.verdict_route(RootId::new(0, 3, 9, 1)), VerdictRoute::Deliver(7));
/// assert_eq!(table.verdict_route(RootId::new(0, 2, 9, 1)), VerdictRoute::Late);
/// assert_eq!(table.verdict_route(RootId::new(0, 4, 9, 1)), VerdictRoute::Wait);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    version: u64,
    workers: Vec<Route>,
    /// Place of an executor (worker, executor there) by its index.
    executors: Vec<Option<(u32, u32)>>,
    /// Place of the executor of a task, by the task's number.
    tasks: HashMap<u32, (u32, u32)>,
}

impl Table {
    /// A table of these workers. Where two claim an executor or a task, the later epoch has it.
    #[must_use]
    pub fn new(version: u64, mut workers: Vec<Route>) -> Self {
        workers.sort_by_key(|route| route.epoch);
        let (mut executors, mut tasks) = (Vec::new(), HashMap::new());
        for (w, route) in (0..).zip(&workers) {
            for (e, place) in (0..).zip(&route.executors) {
                let index = usize::from(place.index);
                if executors.len() <= index {
                    executors.resize(index + 1, None);
                }
                executors[index] = Some((w, e));
                tasks.extend(place.tasks.clone().map(|task| (task, (w, e))));
            }
        }
        Self { version, workers, executors, tasks }
    }

    /// Highest store revision of the records it was made from.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The workers, in the order of their epochs.
    #[must_use]
    pub fn workers(&self) -> &[Route] {
        &self.workers
    }

    /// The worker with this number.
    #[must_use]
    pub fn worker(&self, worker: u32) -> Option<&Route> {
        self.workers.iter().find(|route| route.worker == worker)
    }

    /// The worker that runs this task.
    #[must_use]
    pub fn worker_of_task(&self, task: u32) -> Option<&Route> {
        self.executor_of_task(task).map(|(route, _)| route)
    }

    /// The executor that runs this task, and its worker.
    #[must_use]
    pub fn executor_of_task(&self, task: u32) -> Option<(&Route, &ExecutorPlace)> {
        self.tasks.get(&task).map(|&place| self.place(place))
    }

    /// The executor with this index, and its worker.
    #[must_use]
    pub fn executor(&self, index: u16) -> Option<(&Route, &ExecutorPlace)> {
        self.executors.get(usize::from(index)).copied().flatten().map(|place| self.place(place))
    }

    /// The tasks of a component, in rising order: its target ordinals count through them.
    #[must_use]
    pub fn tasks_of(&self, component: &str) -> Vec<u32> {
        let executors = self.workers.iter().flat_map(|route| &route.executors);
        let of_component = executors.filter(|place| place.component == component);
        let mut tasks: Vec<u32> = of_component.flat_map(|place| place.tasks.clone()).collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }

    /// The latest version at which an incarnation was retired, of those after this table and up to
    /// `newer`: what a ledger that goes from this table to `newer` has to adopt.
    ///
    /// An incarnation is retired when its worker shows a later epoch, as of the version that made
    /// this epoch known; or when its worker is gone, as of `newer`, because it is not known when
    /// since then that was. A worker that this table does not know yet may have been restarted
    /// since it came. Tables in between that this worker never saw need not be looked at: epochs
    /// only rise, and `since_version` tells of the latest rise.
    ///
    /// From the empty table of a ledger that starts, this is what it has to adopt of its first one
    /// (see `Ledger::adopt`): the latest restart, as far as that table tells. No root of that ledger
    /// was sent to an incarnation before, but a bolt with an older table may send its children
    /// there. An incarnation that ended otherwise than by a restart is not seen. For its children
    /// there remains what the link that led to it tells, or the timeout; in exchange, workers of a
    /// topology that only just starts, and know different tables for a moment, do not fail each
    /// other's roots.
    #[must_use]
    pub fn retired_since(&self, newer: &Self) -> Option<u64> {
        let retired_at = |old: &Route| match newer.worker(old.worker) {
            Some(new) if new.epoch > old.epoch => Some(new.since_version),
            Some(_) => None,
            None => Some(newer.version),
        };
        let newcomers = newer.workers.iter().filter(|new| self.worker(new.worker).is_none());
        let restarted = newcomers.filter(|new| new.epoch.restarts > 0);
        let ended = self.workers.iter().filter_map(retired_at);
        ended.chain(restarted.map(|new| new.since_version)).max()
    }

    /// Where contributions and failures of a root go.
    #[inline]
    #[must_use]
    pub fn verdict_route(&self, root: RootId) -> VerdictRoute {
        let Some((route, place)) = self.executor(root.executor()) else {
            return VerdictRoute::Wait;
        };
        match incarnation_order(place.incarnation, root.incarnation()) {
            Ordering::Equal => VerdictRoute::Deliver(route.worker),
            Ordering::Less => VerdictRoute::Late,
            Ordering::Greater => VerdictRoute::Wait,
        }
    }

    fn place(&self, (worker, executor): (u32, u32)) -> (&Route, &ExecutorPlace) {
        let route = &self.workers[worker as usize];
        (route, &route.executors[executor as usize])
    }
}
