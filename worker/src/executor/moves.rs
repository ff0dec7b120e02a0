//! What this worker runs under which routing table, and how far it has come in letting go of what it
//! ran before.
//!
//! An executor that is another worker's by a new table is let go of in three steps: its loop has it
//! finish what it has, what it sent last is acknowledged, and the supervisor is told. Only then does
//! the new owner start.
//!
//! Nothing here acts or waits, so that simulations go through it as workers do.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::store::{Released as WireReleased, TaskRange};

use topology_api::Topology;

use crate::engine::routing::{Epoch, Released, Table};
use crate::executor::seating::{OwnExecutor, Seating};

/// How often the worker looks whether what an executor sent last has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long that may take: a worker that does not acknowledge must not keep another from starting.
const ARRIVE_MAX: Duration = Duration::from_secs(1);

/// An executor that is to leave, or has left.
#[derive(Debug)]
struct Leaving {
    seat: (usize, usize),
    tasks: Range<u32>,
    /// When it left its loop.
    left: Option<Instant>,
}

/// What this worker runs, and what it still has to let go of.
///
/// ```
/// use std::sync::Arc;
///
/// use topology_api::IterSpout;
/// use topology_api::prelude::*;
/// use worker::engine::routing::{Epoch, ExecutorPlace, Route, Table};
/// use worker::executor::moves::Moves;
/// use worker::executor::seating::Seating;
///
/// #[derive(Clone, Tuple)]
/// struct Number {
///     n: u64,
/// }
///
/// let mut t = TopologyBuilder::new("numbers");
/// t.spout("numbers", |_: &Context| IterSpout::new((0..9).map(|n| Number { n })));
/// let topology = t.build()?;
/// let place = |ownership| ExecutorPlace {
///     index: 0,
///     component: "numbers".into(),
///     tasks: 0..1,
///     incarnation: 0,
///     ownership,
///     formers: Vec::new(),
/// };
/// let route = |worker, executors| Route {
///     worker,
///     epoch: Epoch { revision: 3, restarts: 0 },
///     address: String::new(),
///     since_version: 4,
///     executors,
///     released: Default::default(),
/// };
/// let own = (0, Epoch { revision: 3, restarts: 0 });
/// let mut moves = Moves::default();
/// moves.begin(Arc::new(Seating::new(&topology, Vec::new(), 1, 1 << 20)));
/// let first = Table::new(4, vec![route(0, vec![place(0)]), route(1, Vec::new())]);
/// moves.adopt(&first.of_generation(1), own, &topology, 1 << 20);
/// assert!(moves.seating().seat_of(0).is_some(), "it is ours");
///
/// let second = Table::new(9, vec![route(0, Vec::new()), route(1, vec![place(1)])]);
/// moves.adopt(&second.of_generation(2), own, &topology, 1 << 20);
/// let holding = |moves: &Moves| moves.released().map(|released| released.holding.len());
/// assert_eq!(holding(&moves), Some(1), "it is another's, and has to end what it has");
/// let now = daemon::Clock::manual().now();
/// assert!(moves.settle(now, &[(0, 0)], |_| false), "it left its loop, and nothing is on its way");
/// assert_eq!(holding(&moves), Some(0), "who waits for that may start");
/// # Ok::<(), BuildError>(())
/// ```
#[derive(Debug, Default)]
pub struct Moves {
    seating: Arc<Seating>,
    /// None before the first table.
    released: Option<Released>,
    leaving: Vec<Leaving>,
}

impl Moves {
    /// Starts from the seating that the loops start from.
    pub fn begin(&mut self, seating: Arc<Seating>) {
        self.seating = seating;
    }

    /// Who sits where.
    #[must_use]
    pub fn seating(&self) -> Arc<Seating> {
        Arc::clone(&self.seating)
    }

    /// Seats the executors that are this worker's by a table, in a worker that may hold `limit`
    /// bytes; a table that is not about this incarnation changes nothing.
    pub fn adopt(
        &mut self,
        table: &Table,
        (worker, epoch): (u32, Epoch),
        topology: &Topology,
        limit: u64,
    ) {
        let route = table.worker(worker).filter(|own| own.epoch.revision == epoch.revision);
        let Some(route) = route else { return };
        let components = topology.components();
        let executors = route.executors.iter().filter_map(|place| {
            let executor = OwnExecutor {
                index: place.index,
                component: components.iter().position(|c| c.name == place.component)?,
                tasks: place.tasks.clone(),
                incarnation: place.incarnation,
                ownership: place.ownership,
            };
            Some((executor, table.may_start(place)))
        });
        let seating = self.seating.next(topology, executors.collect(), limit);
        self.leave(&seating);
        self.seating = Arc::new(seating);
        let generation = table.generation();
        let said = self.released.as_ref().map(|released| released.generation);
        let is_news = said.is_none_or(|said| {
            route.executors.is_empty()
                || !self.leaving.is_empty()
                || table.is_awaited(worker, epoch.revision, said)
        });
        if is_news {
            self.released = Some(Released { generation, holding: Vec::new() });
        }
    }

    fn leave(&mut self, seating: &Seating) {
        for seat in seating.seats().filter(|seat| seat.leaves) {
            let place = (seat.at, seat.place);
            if !self.leaving.iter().any(|leaving| leaving.seat == place) {
                let tasks = seat.executor.tasks.clone();
                self.leaving.push(Leaving { seat: place, tasks, left: None });
            }
        }
    }

    /// Takes note of executors that have `gone` from their loops, and of those of which the last has
    /// arrived: of what was sent until then nothing is pending. Tells whether there is something new.
    pub fn settle(
        &mut self,
        now: Instant,
        gone: &[(usize, usize)],
        is_pending_since: impl Fn(Instant) -> bool,
    ) -> bool {
        if self.leaving.is_empty() {
            return false;
        }
        for leaving in &mut self.leaving {
            if gone.contains(&leaving.seat) {
                leaving.left = Some(now);
            }
        }
        let before = self.leaving.len();
        self.leaving.retain(|leaving| {
            leaving.left.is_none_or(|left| {
                now.saturating_duration_since(left) < ARRIVE_MAX && is_pending_since(left)
            })
        });
        self.seating = Arc::new(self.seating.without(gone));
        !gone.is_empty() || self.leaving.len() < before
    }

    /// How long to wait before the next look, if there is nothing to do for `usual`.
    #[must_use]
    pub fn look_again(&self, usual: Duration) -> Duration {
        let arriving = self.leaving.iter().any(|leaving| leaving.left.is_some());
        if arriving { LOOK_EVERY } else { usual }
    }

    /// What the supervisor is told; none before the first table.
    #[must_use]
    pub fn released(&self) -> Option<WireReleased> {
        let generation = self.released.as_ref()?.generation;
        let tasks = self.leaving.iter().map(|leaving| &leaving.tasks);
        let range = |it: &Range<u32>| TaskRange { first_task: it.start, end_task: it.end };
        Some(WireReleased { generation, holding: tasks.map(range).collect() })
    }
}
