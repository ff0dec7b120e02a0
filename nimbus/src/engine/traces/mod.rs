//! Tuple trees of a sample: what the workers noted of them, joined into trees with their times.
//!
//! Each worker notes what its own tasks do, by the id of the tree and of the tuple. Here that becomes
//! trees, whatever part of it arrives and in whatever order: what is missing is named, and nothing is
//! made up for it. Times of one worker are measured by one clock. Those of different workers are held
//! together by their wall clocks; where that would make a tuple arrive before it was sent, its worker's
//! times are moved until it does not, and the tree says by how much.

mod gather;
mod join;
mod model;
#[cfg(test)]
mod tests;
mod times;

pub use gather::{Asked, Gathered};
pub use model::{Hop, HopState, Outcome, Traces, Tree};

use std::collections::BTreeMap;
use std::ops::Range;

use super::Engine;

/// Who has which tasks.
#[derive(Clone, Debug, Default)]
pub struct Cast {
    /// The components, with their tasks.
    pub components: Vec<(String, Range<u32>)>,
    /// Executors: their tasks, and the number of the worker they are at.
    pub executors: Vec<(Range<u32>, u32)>,
    /// Workers by number: supervisor and host.
    pub workers: BTreeMap<u32, (String, String)>,
}

impl Cast {
    /// Who has the tasks of a topology (by its id) now.
    #[must_use]
    pub fn of(engine: &Engine, topology: &str) -> Self {
        let mut cast = Self::default();
        let mut first = 0;
        let spec = engine.view().find(topology).and_then(|it| it.record.spec.as_ref());
        for component in spec.iter().flat_map(|spec| &spec.components) {
            cast.components.push((component.name.clone(), first..first + component.tasks));
            first += component.tasks;
        }
        for assignment in engine.view().in_force(topology) {
            let record = &assignment.record;
            let host = engine.supervisors().get(&record.supervisor).map(|it| it.host.clone());
            let place = (record.supervisor.clone(), host.unwrap_or_default());
            cast.workers.insert(record.worker, place);
            let tasks =
                record.executors.iter().map(|it| (it.first_task..it.end_task, record.worker));
            cast.executors.extend(tasks);
        }
        cast
    }

    /// The component of a task.
    #[must_use]
    pub fn component_of(&self, task: u32) -> &str {
        let found = self.components.iter().find(|(_, tasks)| tasks.contains(&task));
        found.map_or("", |(name, _)| name)
    }

    fn worker_of(&self, task: u32) -> Option<u32> {
        self.executors.iter().find(|(tasks, _)| tasks.contains(&task)).map(|(_, worker)| *worker)
    }
}
