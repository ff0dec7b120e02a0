//! Groupings of the author's own: which task gets which tuple, decided by code.
//!
//! The worker asks once a batch and checks the answer: a task that does not exist, or too few
//! answers, fail the tuples and nothing else. A [`CustomGrouping`] names one task for each tuple, a
//! [`CustomCopies`] any number of them.

use std::any::Any;
use std::sync::Arc;

use crate::builder::{Reads, Stream};
use crate::grouping::Grouping;
use crate::rows::{Batch, Rows};
use crate::{BoltDeclarer, Tuple};

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

/// Decides which tasks get a copy of which tuple of a stream of `T`: any number of them, as the
/// `CustomStreamGrouping` of Apache Storm does with the list that its `chooseTasks` returns.
///
/// Each executor that emits to the stream has one of its own, as with [`CustomGrouping`], which is
/// quicker where one task is enough. Each copy is a tuple of its own: its tree is acked when all are.
///
/// ```
/// use topology_api::prelude::*;
/// use topology_api::{CustomCopies, GroupingTargets};
///
/// /// Numbers to the task of their remainder, and round ones to the first task too.
/// struct Remainders { tasks: u32 }
/// impl CustomCopies<u32> for Remainders {
///     fn choose(&mut self, number: &u32, tasks: &mut Vec<u32>) {
///         tasks.push(number % self.tasks);
///         tasks.extend((number % 100 == 0).then_some(0));
///     }
/// }
///
/// let mut remainders = Remainders { tasks: 3 };
/// let mut chosen = Vec::new();
/// remainders.choose(&500, &mut chosen);
/// assert_eq!(chosen, [2, 0]);
/// ```
pub trait CustomCopies<T>: Send + 'static {
    /// Appends to `tasks` each task that is to get a copy of the tuple; none if nobody is, and then
    /// the tuple is done with.
    ///
    /// A copy for a task that there is not fails as `no-target`. After a panic the tuples of the
    /// batch fail as `panic`, and the factory makes the next one.
    fn choose(&mut self, tuple: &T, tasks: &mut Vec<u32>);
}

impl<T, F: FnMut(&T, &mut Vec<u32>) + Send + 'static> CustomCopies<T> for F {
    fn choose(&mut self, tuple: &T, tasks: &mut Vec<u32>) {
        self(tuple, tasks);
    }
}

impl<I: Tuple, O: Tuple, C> BoltDeclarer<I, O, C> {
    /// Reads a stream so that code of the author's own decides which tasks get a copy of which tuple:
    /// several, one, or none. The factory makes one grouping for each executor that emits.
    ///
    /// ```
    /// use topology_api::prelude::*;
    /// # struct Sink;
    /// # impl Bolt for Sink {
    /// #     type Input = Line;
    /// #     type Output = Line;
    /// #     fn execute(&mut self, _: Line, _: &mut Output<Line>) -> BoltResult { Ok(()) }
    /// # }
    ///
    /// let mut t = TopologyBuilder::new("copies");
    /// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    /// t.bolt("sink", |_| Sink).parallelism(3).custom_copies(&lines, |targets| {
    ///     let last = targets.tasks - 1;
    ///     move |line: &Line, tasks: &mut Vec<u32>| {
    ///         tasks.push(0);
    ///         tasks.extend(line.text.starts_with("alert").then_some(last));
    ///     }
    /// });
    /// assert!(t.build().is_ok());
    /// ```
    #[track_caller]
    pub fn custom_copies<S, G, F>(self, stream: &Stream<S>, factory: F) -> Self
    where
        S: Tuple,
        I: Reads<S>,
        G: CustomCopies<S>,
        F: Fn(&GroupingTargets) -> G + Send + Sync + 'static,
    {
        let make: MakeChooser = Arc::new(move |targets| {
            Box::new(Copies { grouping: factory(targets), tuples: std::marker::PhantomData })
        });
        self.read(stream, Grouping::Custom(make))
    }
}

/// A custom grouping behind one dynamic interface.
pub trait Chooser: Any + Send {
    /// Appends the tasks of each tuple of the batch in order, and to `copies` how many each has; nothing
    /// if each has one. What the author answers is not checked.
    fn choose(&mut self, rows: &dyn Rows, tasks: &mut Vec<u32>, copies: &mut Vec<u32>);
}

/// Makes the custom grouping of one sender.
pub type MakeChooser = Arc<dyn Fn(&GroupingTargets) -> Box<dyn Chooser> + Send + Sync>;

struct Typed<T, G> {
    grouping: G,
    tuples: std::marker::PhantomData<fn(T)>,
}

impl<T: Tuple, G: CustomGrouping<T>> Chooser for Typed<T, G> {
    fn choose(&mut self, rows: &dyn Rows, tasks: &mut Vec<u32>, _: &mut Vec<u32>) {
        self.grouping.choose(typed(rows), tasks);
    }
}

struct Copies<T, G> {
    grouping: G,
    tuples: std::marker::PhantomData<fn(T)>,
}

impl<T: Tuple, G: CustomCopies<T>> Chooser for Copies<T, G> {
    fn choose(&mut self, rows: &dyn Rows, tasks: &mut Vec<u32>, copies: &mut Vec<u32>) {
        for row in typed::<T>(rows) {
            let before = tasks.len();
            self.grouping.choose(row, tasks);
            copies.push(u32::try_from(tasks.len() - before).unwrap_or(u32::MAX));
        }
    }
}

fn typed<T: Tuple>(rows: &dyn Rows) -> &[T] {
    let rows: &Batch<T> =
        rows.as_any().downcast_ref().expect("batches of one stream have one type");
    &rows.rows
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
