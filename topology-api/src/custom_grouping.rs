//! Groupings of the author's own: which task gets which tuple, decided by code.
//!
//! The worker asks once a batch and checks the answer: a task that does not exist, or too few
//! answers, fail the tuples and nothing else.

use std::any::Any;
use std::sync::Arc;

use crate::Tuple;
use crate::rows::{Batch, Rows};

/// The tasks that a [`CustomGrouping`] may choose from: those of the bolt that reads the stream.
///
/// ```
/// use topology_api::GroupingTargets;
///
/// let targets = GroupingTargets { tasks: 4, local: vec![1, 3] };
/// assert!(targets.local.iter().all(|task| *task < targets.tasks));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupingTargets {
    /// How many there are: they are called 0, 1, ... up to one less than this.
    pub tasks: u32,
    /// Those that run in the sender's worker, in rising order.
    pub local: Vec<u32>,
}

/// Decides which task gets which tuple of a stream of `T`.
///
/// Each executor that emits to the stream has one of its own, made by the factory given to
/// [`BoltDeclarer::custom`](crate::BoltDeclarer::custom), so it may keep state without a lock, and
/// sees the tuples of that executor only. It is made again when its worker starts again. A closure
/// is one too.
///
/// ```
/// use topology_api::prelude::*;
/// use topology_api::{CustomGrouping, GroupingTargets};
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Reading { floor: u32, celsius: f64 }
///
/// /// The floors of a building, a few to each task.
/// struct ByFloor { tasks: u32 }
/// impl CustomGrouping<Reading> for ByFloor {
///     fn choose(&mut self, batch: &[Reading], tasks: &mut Vec<u32>) {
///         tasks.extend(batch.iter().map(|reading| (reading.floor / 4).min(self.tasks - 1)));
///     }
/// }
///
/// let mut by_floor = ByFloor { tasks: GroupingTargets { tasks: 3, local: vec![] }.tasks };
/// let mut chosen = Vec::new();
/// by_floor.choose(&[Reading { floor: 5, celsius: 21.0 }], &mut chosen);
/// assert_eq!(chosen, [1]);
/// ```
pub trait CustomGrouping<T>: Send + 'static {
    /// Appends to `tasks` one task for each tuple of the batch, in order.
    ///
    /// A batch has at least one tuple and comes in the order of emission. A tuple for which a task
    /// is chosen that there is not fails as `no-target`; if the number of answers is not that of
    /// the tuples, all of the batch do. After a panic the tuples fail as `panic`, and the factory
    /// makes the next one.
    fn choose(&mut self, batch: &[T], tasks: &mut Vec<u32>);
}

impl<T, F: FnMut(&[T], &mut Vec<u32>) + Send + 'static> CustomGrouping<T> for F {
    fn choose(&mut self, batch: &[T], tasks: &mut Vec<u32>) {
        self(batch, tasks);
    }
}

/// A custom grouping behind one dynamic interface.
pub trait Chooser: Any + Send {
    /// Appends one task for each tuple of the batch; what the author answers is not checked.
    fn choose(&mut self, rows: &dyn Rows, tasks: &mut Vec<u32>);
}

/// Makes the custom grouping of one sender.
pub type MakeChooser = Arc<dyn Fn(&GroupingTargets) -> Box<dyn Chooser> + Send + Sync>;

struct Typed<T, G> {
    grouping: G,
    tuples: std::marker::PhantomData<fn(T)>,
}

impl<T: Tuple, G: CustomGrouping<T>> Chooser for Typed<T, G> {
    fn choose(&mut self, rows: &dyn Rows, tasks: &mut Vec<u32>) {
        let rows: &Batch<T> =
            rows.as_any().downcast_ref().expect("batches of one stream have one type");
        self.grouping.choose(&rows.rows, tasks);
    }
}

pub(crate) fn make_chooser<T, G, F>(factory: F) -> MakeChooser
where
    T: Tuple,
    G: CustomGrouping<T>,
    F: Fn(&GroupingTargets) -> G + Send + Sync + 'static,
{
    Arc::new(move |targets| {
        Box::new(Typed { grouping: factory(targets), tuples: std::marker::PhantomData })
    })
}
