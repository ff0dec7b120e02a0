//! The routing table as the supervisor sends it, and as the worker uses it.

use proto::store::ExecutorRecord;
use proto::supervisor::{RoutingTable, WorkerRoute};

use super::{Epoch, ExecutorPlace, Former, Released, Route, Table, incarnation_of};

impl Table {
    /// Reads a routing table. Of its own incarnation (`own`) a worker knows more than a table does
    /// that was made while it started.
    #[must_use]
    pub fn read(wire: &RoutingTable, own: (u32, Epoch)) -> Self {
        let routes = wire.workers.iter().map(|it| route(it, own)).collect();
        Self::new(wire.version, routes).of_generation(wire.generation)
    }
}

fn route(wire: &WorkerRoute, (worker, own): (u32, Epoch)) -> Route {
    let epoch = wire.epoch.unwrap_or_default();
    let epoch = Epoch { revision: epoch.revision, restarts: epoch.restarts };
    let is_own = wire.worker == worker && epoch.revision == own.revision;
    let restarts = if is_own { epoch.restarts.max(own.restarts) } else { epoch.restarts };
    let released = wire.released.clone().unwrap_or_default();
    let holding = released.holding.iter().map(|tasks| tasks.first_task..tasks.end_task);
    Route {
        worker: wire.worker,
        epoch,
        address: wire.address.clone(),
        since_version: wire.since_version,
        executors: wire.executors.iter().map(|it| place(it, restarts)).collect(),
        released: Released { generation: released.generation, holding: holding.collect() },
    }
}

fn place(record: &ExecutorRecord, restarts: u64) -> ExecutorPlace {
    let formers = record.formers.iter().map(|former| Former {
        worker: former.worker,
        revision: former.epoch_revision,
        generation: former.generation,
    });
    ExecutorPlace {
        index: u16::try_from(record.index).unwrap_or(u16::MAX),
        component: record.component.clone(),
        tasks: record.first_task..record.end_task,
        incarnation: incarnation_of(record.incarnation, restarts),
        ownership: record.ownership,
        formers: formers.collect(),
    }
}
