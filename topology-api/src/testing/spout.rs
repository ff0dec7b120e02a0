//! Drives one spout: asks it for tuples, and tells it what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Reports, Setup, Ticker, report_methods};
use crate::context::Context;
use crate::output::UNANCHORED;
use crate::rows::{Batch, Pool, Rows};
use crate::task::{SpoutDriver as Driver, SpoutTask};
use crate::topology::Component;
use crate::{Error, FailReason, IntoSpout, Next, Spout, Topology, Tuple};

/// A tuple that a spout emitted, and the number to ack or fail it by.
///
/// ```
/// use topology_api::testing::SpoutEmission;
///
/// let emission = SpoutEmission { tuple: "line", number: None };
/// assert!(emission.number.is_none(), "nobody tracks it");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoutEmission<T> {
    /// The tuple.
    pub tuple: T,
    /// Its place among the tracked tuples, from 0; none if it is not tracked.
    pub number: Option<u32>,
}

/// What was emitted to a side output, and the numbers to ack or fail it by.
type SideEmissions = (Box<dyn Rows>, Vec<Option<u32>>);

/// Drives one spout through the interface that a worker uses.
///
/// ```
/// use topology_api::FailReason;
/// use topology_api::prelude::*;
/// use topology_api::testing::SpoutDriver;
///
/// #[derive(Clone, Debug, PartialEq, Tuple)]
/// struct Number { n: u64 }
///
/// struct Three { again: Vec<u64>, next: u64 }
/// impl Spout for Three {
///     type Output = Number;
///     type Id = u64;
///     fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
///         let n = match self.again.pop() {
///             Some(n) => n,
///             None if self.next == 3 => return Ok(Next::Finished),
///             None => { self.next += 1; self.next - 1 }
///         };
///         out.emit(n, Number { n });
///         Ok(Next::Emitted)
///     }
///     fn fail(&mut self, n: u64, _: FailReason) {
///         self.again.push(n);
///     }
/// }
///
/// let mut three = SpoutDriver::new(|_| Three { again: vec![], next: 0 }).unwrap();
/// assert_eq!(three.run().unwrap().len(), 3);
/// three.ack(0);
/// three.fail(1, FailReason::new("timeout", true));
/// assert_eq!(three.run().unwrap(), [Number { n: 1 }], "what failed is emitted again");
/// ```
pub struct SpoutDriver<O: Tuple> {
    pub(super) task: Box<dyn SpoutTask>,
    setup: Setup,
    pool: Pool,
    pub(super) reports: Reports,
    ticker: Ticker,
    /// How many tracked tuples it emitted.
    tracked: u32,
    open: BTreeSet<u32>,
    /// What was emitted to side outputs, by stream.
    side: BTreeMap<usize, SideEmissions>,
    output: std::marker::PhantomData<fn() -> O>,
}

impl<O: Tuple> SpoutDriver<O> {
    /// Makes the spout as the only task of its component.
    ///
    /// # Errors
    /// The factory's.
    pub fn new<F, R>(factory: F) -> Result<Self, Error>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoSpout<Spout: Spout<Output = O>>,
    {
        Self::with(Setup::new(), factory)
    }

    /// Makes the spout in surroundings of the test's choice.
    ///
    /// # Errors
    /// The factory's.
    pub fn with<F, R>(setup: Setup, factory: F) -> Result<Self, Error>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoSpout<Spout: Spout<Output = O>>,
    {
        let make = Arc::new(move |cx: &Context| factory(cx).into_spout());
        let task = Driver::<R::Spout>::new(make, &setup.lanes);
        Self::open_task(setup, Box::new(task))
    }

    /// Makes a task of a spout of a topology, as the only one, with the topology's settings and the
    /// spout's side outputs and ticks; it emits `O`, which must be the spout's own type.
    ///
    /// # Errors
    /// There is no such spout; or the factory's.
    pub fn of(topology: &Topology, spout: &str) -> Result<Self, Error> {
        let setup = Setup::of(topology, spout)?;
        let component = topology.components().iter().find(|component| component.name == spout);
        let task = component.and_then(Component::spout_task);
        Self::open_task(setup, task.ok_or_else(|| format!("`{spout}` is no spout but a bolt"))?)
    }

    pub(super) fn open_task(setup: Setup, mut task: Box<dyn SpoutTask>) -> Result<Self, Error> {
        let reports = Reports::default();
        task.open(&setup.context(&reports))?;
        Ok(Self {
            task,
            ticker: Ticker::new(setup.tick),
            setup,
            pool: Pool::default(),
            reports,
            tracked: 0,
            open: BTreeSet::new(),
            side: BTreeMap::new(),
            output: std::marker::PhantomData,
        })
    }

    /// Calls `next` until something was emitted, or there is nothing, and gives what was emitted
    /// to the main stream.
    ///
    /// # Errors
    /// The spout's.
    pub fn call_next(&mut self) -> Result<(Next, Vec<SpoutEmission<O>>), Error> {
        let next = self.task.next(1);
        let emitted = self.collect();
        next.map(|next| (next, emitted))
    }

    /// Calls `next` until the spout is idle or finished, or `max_pending` tuples are out, and
    /// gives what was emitted to the main stream. The tuples stay open: ack or fail them.
    ///
    /// # Errors
    /// The spout's.
    pub fn run(&mut self) -> Result<Vec<O>, Error> {
        let most = self.setup.config.max_pending() as usize;
        let mut tuples = Vec::new();
        while tuples.len() < most && self.open.len() < most {
            let (next, emitted) = self.call_next()?;
            tuples.extend(emitted.into_iter().map(|emission| emission.tuple));
            if next != Next::Emitted {
                break;
            }
        }
        Ok(tuples)
    }

    /// Takes the tuples emitted since the last call to a side output.
    ///
    /// # Panics
    /// If the setup declares no such output, or one of another type.
    pub fn emitted_to<S: Tuple>(&mut self, output: &str) -> Vec<SpoutEmission<S>> {
        let taken = self.side.remove(&self.setup.stream(output));
        let Some((rows, numbers)) = taken else { return Vec::new() };
        let batch = rows.into_any().downcast::<Batch<S>>();
        let batch = batch.unwrap_or_else(|_| panic!("`{output}` carries another type of tuple"));
        let emission = |(tuple, number)| SpoutEmission { tuple, number };
        batch.rows.into_iter().zip(numbers).map(emission).collect()
    }

    /// Gives the numbers of the tracked tuples that were neither acked nor failed.
    pub fn open(&self) -> Vec<u32> {
        self.open.iter().copied().collect()
    }

    /// Tells the spout that a tuple and all that came of it were processed.
    ///
    /// # Panics
    /// If the tuple is not open: a worker settles each once.
    pub fn ack(&mut self, number: u32) {
        assert!(self.open.remove(&number), "tuple {number} is not open: {:?}", self.open);
        self.task.end_acked(&[number]);
        self.task.ack_done();
    }

    /// Acks every open tuple, in the order of emission.
    pub fn ack_all(&mut self) {
        for number in self.open() {
            self.ack(number);
        }
    }

    /// Tells the spout that a tuple failed.
    ///
    /// # Panics
    /// If the tuple is not open: a worker settles each once.
    pub fn fail(&mut self, number: u32, reason: FailReason) {
        assert!(self.open.remove(&number), "tuple {number} is not open: {:?}", self.open);
        self.task.fail(number, reason);
    }

    /// Tells the spout that its topology was activated or deactivated.
    pub fn set_active(&mut self, active: bool) {
        self.task.set_active(active);
    }

    /// Lets the spout tick now, whatever time it is. What it emits comes with the next tuples.
    pub fn tick(&mut self) {
        self.task.tick();
    }

    /// Ends the spout in good order.
    pub fn close(&mut self) {
        self.task.close();
    }

    report_methods!();

    /// Of a spout, time asks for nothing but ticks.
    fn pass(&mut self, _: Duration) {}

    fn collect(&mut self) -> Vec<SpoutEmission<O>> {
        let count = u32::try_from(self.task.id_count()).expect("a call emits less than 2^32");
        let first = self.tracked;
        self.tracked += count;
        let numbers: Vec<u32> = (first..self.tracked).collect();
        self.task.file_ids(&numbers);
        self.open.extend(numbers);
        let number = |anchor: u32| (anchor != UNANCHORED).then(|| first + anchor);
        for stream in 1..self.setup.outputs.len() {
            let Some(mut emitted) = self.task.take(stream, &mut self.pool) else { continue };
            let numbers = emitted.anchors.into_iter().map(number);
            match self.side.get_mut(&stream) {
                Some((rows, before)) => {
                    rows.append(&mut *emitted.rows);
                    before.extend(numbers);
                }
                None => drop(self.side.insert(stream, (emitted.rows, numbers.collect()))),
            }
        }
        let Some(emitted) = self.task.take(0, &mut self.pool) else { return Vec::new() };
        let rows: Box<Batch<O>> = emitted
            .rows
            .into_any()
            .downcast()
            .expect("the main stream carries what the spout emits");
        let emission = |(tuple, anchor)| SpoutEmission { tuple, number: number(anchor) };
        rows.rows.into_iter().zip(emitted.anchors).map(emission).collect()
    }
}

impl<O: Tuple> fmt::Debug for SpoutDriver<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "driver of spout `{}` after {} tuples", self.setup.component, self.tracked)
    }
}
