//! What this worker runs under which routing table, and how far it has come in letting go of what it
//! ran before.
//!
//! An executor that is another worker's by a new table is let go of in three steps: its loop has it
//! finish what it has, what it sent last is acknowledged, and the supervisor is told. Only then does
//! the new owner start.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::store::{Released as WireReleased, TaskRange};

use crate::engine::routing::{Epoch, Released, Table};
use crate::executor::counters::Board;
use crate::executor::plan::{OwnExecutor, Plan};
use crate::executor::seating::Seating;
use crate::local::counters_of;
use crate::transport::Transport;

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
#[derive(Debug, Default)]
pub(super) struct Moves {
    seating: Arc<Seating>,
    /// None before the first table.
    released: Option<Released>,
    leaving: Vec<Leaving>,
}

impl Moves {
    /// Starts from the seating that the loops start from.
    pub(super) fn begin(&mut self, seating: Arc<Seating>) {
        self.seating = seating;
    }

    pub(super) fn seating(&self) -> Arc<Seating> {
        Arc::clone(&self.seating)
    }

    /// Seats the executors that are this worker's by a table; one that is not about this incarnation
    /// changes nothing.
    pub(super) fn adopt(&mut self, table: &Table, (worker, epoch): (u32, Epoch), plan: &Plan) {
        let route = table.worker(worker).filter(|own| own.epoch.revision == epoch.revision);
        let Some(route) = route else { return };
        let components = plan.topology.components();
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
        let limit = plan.budget.limit();
        let seating = self.seating.next(&plan.topology, executors.collect(), limit);
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

    /// Takes note of executors that have left their loops, and of those of which the last has
    /// arrived; tells whether there is something new.
    pub(super) fn settle(&mut self, now: Instant, board: &Board, transport: &Transport) -> bool {
        if self.leaving.is_empty() {
            return false;
        }
        let gone: Vec<_> = board.take_let_go();
        for leaving in &mut self.leaving {
            if gone.contains(&leaving.seat) {
                leaving.left = Some(now);
            }
        }
        let before = self.leaving.len();
        self.leaving.retain(|leaving| {
            leaving.left.is_none_or(|left| {
                now.saturating_duration_since(left) < ARRIVE_MAX && transport.is_pending_since(left)
            })
        });
        self.seating = Arc::new(self.seating.without(&gone));
        !gone.is_empty() || self.leaving.len() < before
    }

    /// Shows on the board which tasks are this worker's.
    pub(super) fn show(&self, plan: &Plan) {
        let seats = || self.seating.seats().filter(|seat| seat.leaves);
        let leaves = |task: u32| seats().any(|seat| seat.executor.tasks.contains(&task));
        plan.board.own(&counters_of(plan, &self.seating), leaves);
    }

    /// How long to wait before the next look, if there is nothing to do for `usual`.
    pub(super) fn look_again(&self, usual: Duration) -> Duration {
        let arriving = self.leaving.iter().any(|leaving| leaving.left.is_some());
        if arriving { LOOK_EVERY } else { usual }
    }

    /// What the supervisor is told.
    pub(super) fn released(&self) -> Option<WireReleased> {
        let generation = self.released.as_ref()?.generation;
        let tasks = self.leaving.iter().map(|leaving| &leaving.tasks);
        let range = |it: &Range<u32>| TaskRange { first_task: it.start, end_task: it.end };
        Some(WireReleased { generation, holding: tasks.map(range).collect() })
    }
}
