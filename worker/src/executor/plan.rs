//! What a worker runs: the topology, and what all its loops share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use topology_api::runtime::{Calls, Keeper, OutputName, Reporter, TaskFacts};
use topology_api::{Args, Context, Topology};

use crate::engine::flow::Budget;
use crate::executor::counters::Board;
use crate::executor::inbox::Inbox;
pub use crate::executor::seating::OwnExecutor;
use crate::executor::seating::Seating;
use crate::executor::taps::Taps;
use crate::executor::waker::TaskWaker;

/// What a worker runs: what of it is the same for its incarnation, and whom it begins with.
pub struct Plan {
    /// The topology, with the configuration that was chosen at submit.
    pub topology: Topology,
    /// Where tasks post what they count.
    pub board: Arc<Board>,
    arguments: Args,
    /// The number of the worker in the topology.
    pub worker: u32,
    /// Who sits where at first.
    pub seating: Arc<Seating>,
    /// How other threads reach the loops: one a loop.
    pub inboxes: Arc<[Arc<Inbox>]>,
    /// What the worker holds and may hold.
    pub budget: Arc<Budget>,
    /// Keeps dead letters that nobody reads; none where there is no supervisor.
    pub keeper: Option<Arc<dyn Keeper>>,
    /// Who looks at what is emitted; none where nobody can ask.
    pub taps: Option<Arc<Taps>>,
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
    ///
    /// With none, executors are still to come: then all loops are there.
    #[must_use]
    pub fn new(
        topology: Topology,
        arguments: Args,
        worker: u32,
        executors: Vec<OwnExecutor>,
        (loops, board, budget): (usize, Arc<Board>, Arc<Budget>),
    ) -> Self {
        let useful = if executors.is_empty() { usize::MAX } else { executors.len() };
        let loops = loops.clamp(1, useful);
        let seating = Arc::new(Seating::new(&topology, executors, loops, budget.limit()));
        let inboxes = (0..loops).map(|_| Arc::default()).collect();
        let (keeper, taps) = (None, None);
        Self { topology, board, arguments, worker, seating, inboxes, budget, keeper, taps }
    }

    /// The component of a task, by index.
    #[must_use]
    pub fn component_of(&self, task: u32) -> Option<usize> {
        (0..self.topology.components().len())
            .find(|component| self.topology.tasks(*component).contains(&task))
    }

    /// Tells whether executors of this worker may run async components.
    #[must_use]
    pub fn has_async(&self) -> bool {
        self.topology.components().iter().any(|it| matches!(it.calls, Calls::Async(_)))
    }

    /// The longest that tuples may be held on purpose, over all components.
    #[must_use]
    pub fn holds(&self) -> Duration {
        self.topology.components().iter().map(|component| component.holds).sum()
    }

    /// Makes the context of a task that runs on loop `at`, and what wakes it.
    ///
    /// # Panics
    ///
    /// If there is no such loop or task.
    #[must_use]
    pub fn context(&self, task: u32, at: usize) -> (Context, Arc<TaskWaker>) {
        let waker = TaskWaker::new(Arc::clone(&self.inboxes[at]));
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
                .enumerate()
                .map(|(at, output)| OutputName {
                    name: output.name.clone(),
                    tuple: output.tuple,
                    is_read: self.topology.is_read(component, at),
                })
                .collect(),
            peers: components
                .iter()
                .enumerate()
                .map(|(at, other)| (other.name.clone(), self.topology.tasks(at)))
                .collect(),
            reporter: Arc::clone(&self.board) as Arc<dyn Reporter>,
            waker: waker.as_waker(),
            keeper: self.keeper.clone(),
        });
        (context, waker)
    }
}
