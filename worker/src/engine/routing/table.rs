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
    /// Who had tasks of it before and may have them still.
    pub formers: Vec<Former>,
}

/// A worker that is to let go of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Former {
    /// Its number in the topology.
    pub worker: u32,
    /// First part of its epoch.
    pub revision: u64,
    /// From this generation of assignments on it does not have them.
    pub generation: u64,
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
    /// How far it has come in letting go of what it had.
    pub released: Released,
}

/// How far a worker has come in letting go of what it had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// What it runs and is not in `holding` was given to it by this generation of assignments, or a
    /// newer one.
    pub generation: u64,
    /// Tasks of executors that it still has of before, to end them.
    pub holding: Vec<Range<u32>>,
}

impl Released {
    /// Whether tasks that a generation takes away are not there any more.
    #[must_use]
    pub fn has_let_go(&self, tasks: &Range<u32>, generation: u64) -> bool {
        let overlaps = |held: &Range<u32>| held.start < tasks.end && tasks.start < held.end;
        self.generation >= generation && !self.holding.iter().any(overlaps)
    }
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

/// What to do with a batch for a task that this worker does not have under the owner epoch that the
/// sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misrouted {
    /// Keep it: the sender's table is newer than this one, which does not know that owner yet.
    Early,
    /// Refuse it: its trees fail. Somebody else has the task by now.
    Late,
}

/// Who has which task, at one version of the store.
///
/// ```
/// use worker::engine::acking::RootId;
/// use worker::engine::routing::{Epoch, ExecutorPlace, Route, Table, VerdictRoute};
///
/// let spout = ExecutorPlace {
///     index: 0,
///     component: "lines".into(),
///     tasks: 0..2,
///     incarnation: 3,
///     ownership: 1,
///     formers: Vec::new(),
/// };
/// let worker = Route {
///     worker: 7,
///     epoch: Epoch { revision: 40, restarts: 3 },
///     address: "127.0.0.1:7001".into(),
///     since_version: 52,
///     executors: vec![spout],
///     released: Default::default(),
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
    generation: u64,
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
        Self { version, generation: 0, workers, executors, tasks }
    }

    /// Says which generation of assignments this table shows.
    #[must_use]
    pub fn of_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    /// The generation of assignments that it shows.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether an executor may start: each of its formers has let go of its tasks, or is not the
    /// incarnation any more that had them. A worker that is not in the table is no more.
    ///
    /// Until then two would own the same keys, and what the new one executes could come before what
    /// the old one still has.
    #[must_use]
    pub fn may_start(&self, executor: &ExecutorPlace) -> bool {
        executor.formers.iter().all(|former| {
            self.worker(former.worker).is_none_or(|route| {
                route.epoch.revision != former.revision
                    || route.released.has_let_go(&executor.tasks, former.generation)
            })
        })
    }

    /// Whether somebody waits to hear from a worker of this incarnation that it goes by a generation
    /// newer than `said`.
    #[must_use]
    pub fn is_awaited(&self, worker: u32, revision: u64, said: u64) -> bool {
        let places = self.workers.iter().flat_map(|route| &route.executors);
        let mut formers = places.flat_map(|place| &place.formers);
        formers.any(|former| {
            (former.worker, former.revision) == (worker, revision) && former.generation > said
        })
    }

    /// The owner epoch of a task; 0 if nobody has it.
    #[must_use]
    pub fn ownership_of(&self, task: u32) -> u64 {
        self.executor_of_task(task).map_or(0, |(_, place)| place.ownership)
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

    /// Judges a batch for a task that this worker does not have under this owner epoch.
    #[must_use]
    pub fn misrouted(&self, task: u32, ownership: u64) -> Misrouted {
        match self.executor_of_task(task) {
            Some((_, place)) if ownership <= place.ownership => Misrouted::Late,
            _ => Misrouted::Early,
        }
    }

    /// Whether somebody else has a task in `newer` than in this table, or another incarnation of the
    /// same worker: then its instance is another, which knows nothing of what the first was told.
    #[must_use]
    pub fn begins_anew(&self, task: u32, newer: &Self) -> bool {
        let owner = |table: &Self| {
            table.executor_of_task(task).map(|(route, place)| (route.epoch, place.ownership))
        };
        let was = owner(self);
        was.is_some() && was != owner(newer)
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
    /// since then that was. One that had nothing to run any more, and had let go of all, takes
    /// nothing with it when it goes. A worker that this table does not know yet may have been restarted
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
            None if self.is_drained(old) => None,
            None => Some(newer.version),
        };
        let newcomers = newer.workers.iter().filter(|new| self.worker(new.worker).is_none());
        let restarted = newcomers.filter(|new| new.epoch.restarts > 0);
        let ended = self.workers.iter().filter_map(retired_at);
        ended.chain(restarted.map(|new| new.since_version)).max()
    }

    /// Whether a worker of this table has nothing to run, and has let go of all that it had.
    fn is_drained(&self, route: &Route) -> bool {
        let released = &route.released;
        self.generation > 0
            && route.executors.is_empty()
            && released.generation >= self.generation
            && released.holding.is_empty()
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
