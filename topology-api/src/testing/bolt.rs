//! Drives one bolt: tuples in by hand, what was emitted, acked and failed out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Reports, Setup, Ticker, report_methods};
use crate::context::Context;
use crate::input::Verdict;
use crate::output::{Emitted, NOT_DIRECT, SEVERAL, UNANCHORED};
use crate::rows::{Batch, Pool, Rows};
use crate::task::{Automatic, BoltTask, Driver, Explicit};
use crate::{Bolt, Error, ExplicitBolt, IntoBolt, Topology, Tuple};

/// How many emitted tuples wait at most, before those of an `emit_from` are taken.
const ROOM: usize = 1_024;

/// The place of a tuple among those that a driver gave its bolt, from 0.
pub type TupleNumber = u32;

/// A tuple that a bolt emitted, and what it is tied to.
///
/// ```
/// use topology_api::testing::Emission;
///
/// let emission = Emission { tuple: "late", anchors: vec![0, 2], task: None };
/// assert!(emission.anchors.contains(&2), "it fails with the third input");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission<T> {
    /// The tuple.
    pub tuple: T,
    /// The inputs it is anchored to; none for an unanchored tuple.
    pub anchors: Vec<TupleNumber>,
    /// The task it is meant for, if it was emitted directly to one.
    pub task: Option<u32>,
}

/// Drives one bolt through the interface that a worker uses.
///
/// A panic of the bolt is the test's.
///
/// ```
/// use topology_api::prelude::*;
/// use topology_api::testing::BoltDriver;
///
/// #[derive(Clone, Debug, PartialEq, Tuple)]
/// struct Number { n: u64 }
///
/// struct Half;
/// impl Bolt for Half {
///     type Input = Number;
///     type Output = Number;
///     fn execute(&mut self, input: Number, out: &mut Output<Number>) -> BoltResult {
///         if input.n % 2 == 1 {
///             return Err(format!("{} is odd", input.n).into());
///         }
///         out.emit(Number { n: input.n / 2 });
///         Ok(())
///     }
/// }
///
/// let mut half = BoltDriver::new(|_| Half).unwrap();
/// let (eight, seven) = (half.execute(Number { n: 8 }), half.execute(Number { n: 7 }));
/// assert_eq!(half.emitted(), [Number { n: 4 }]);
/// assert_eq!(half.acked(), [eight]);
/// assert_eq!(half.failed(), [(seven, "7 is odd".to_owned())]);
/// ```
pub struct BoltDriver<I: Tuple, O: Tuple> {
    pub(super) task: Box<dyn BoltTask>,
    setup: Setup,
    pool: Pool,
    pub(super) reports: Reports,
    /// How much time has passed.
    now: Duration,
    ticker: Ticker,
    /// How many tuples it was given.
    given: TupleNumber,
    open: BTreeSet<TupleNumber>,
    acked: Vec<TupleNumber>,
    failed: Vec<(TupleNumber, String)>,
    emitted: Vec<Emission<O>>,
    /// What was emitted to side outputs, by stream.
    side: BTreeMap<usize, Box<dyn Rows>>,
    input: std::marker::PhantomData<fn(I)>,
}

impl<I: Tuple, O: Tuple> BoltDriver<I, O> {
    /// Makes the bolt as the only task of its component.
    ///
    /// # Errors
    /// The factory's.
    pub fn new<F, R>(factory: F) -> Result<Self, Error>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoBolt<Bolt: Bolt<Input = I, Output = O>>,
    {
        Self::with(Setup::new(), factory)
    }

    /// Makes the bolt in surroundings of the test's choice.
    ///
    /// # Errors
    /// The factory's.
    pub fn with<F, R>(setup: Setup, factory: F) -> Result<Self, Error>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoBolt<Bolt: Bolt<Input = I, Output = O>>,
    {
        let make = Arc::new(move |cx: &Context| factory(cx).into_bolt().map(Automatic));
        let budget = budget(&setup);
        let task = Driver::<Automatic<R::Bolt>>::new(make, &setup.lanes, budget);
        Self::open(setup, Box::new(task))
    }

    /// Makes an explicit bolt, which acks and fails by itself.
    ///
    /// # Errors
    /// The factory's.
    pub fn explicit<F, B>(setup: Setup, factory: F) -> Result<Self, Error>
    where
        F: Fn(&Context) -> Result<B, Error> + Send + Sync + 'static,
        B: ExplicitBolt<Input = I, Output = O>,
    {
        let make = Arc::new(move |cx: &Context| factory(cx).map(Explicit));
        let budget = budget(&setup);
        let task = Driver::<Explicit<B>>::new(make, &setup.lanes, budget);
        Self::open(setup, Box::new(task))
    }

    /// Makes a task of a bolt of a topology, as the only one: for bolts that are closures, and to
    /// test what is really declared. It has the topology's settings and the bolt's side outputs and
    /// ticks; it reads `I` and emits `O`, which must be the bolt's own types.
    ///
    /// # Errors
    /// There is no such bolt; or the factory's.
    pub fn of(topology: &Topology, bolt: &str) -> Result<Self, Error> {
        let setup = Setup::of(topology, bolt)?;
        let component = topology.components().iter().find(|component| component.name == bolt);
        let task = component.and_then(|component| component.bolt_task(budget(&setup)));
        Self::open(setup, task.ok_or_else(|| format!("`{bolt}` is no bolt but a spout"))?)
    }

    pub(super) fn open(setup: Setup, mut task: Box<dyn BoltTask>) -> Result<Self, Error> {
        let reports = Reports::default();
        task.open(&setup.context(&reports))?;
        Ok(Self {
            task,
            ticker: Ticker::new(setup.tick),
            setup,
            pool: Pool::default(),
            reports,
            now: Duration::ZERO,
            given: 0,
            open: BTreeSet::new(),
            acked: Vec::new(),
            failed: Vec::new(),
            emitted: Vec::new(),
            side: BTreeMap::new(),
            input: std::marker::PhantomData,
        })
    }

    /// Gives the bolt a tuple and says which number it has from now on. Of an async bolt, the call goes
    /// as far as it can at once; if no more may be under way, this waits until one has ended.
    pub fn execute(&mut self, tuple: I) -> TupleNumber {
        let number = self.given;
        self.given += 1;
        self.open.insert(number);
        let explicit = self.task.verdicts().is_some();
        let slots: &[u32] = if explicit { &[number] } else { &[] };
        self.task.load(Box::new(Batch { rows: vec![tuple] }), slots);
        let mut done = 0;
        while done == 0 || self.task.has_work() {
            self.wait_until(|task| !task.is_full());
            done += self.task.run(usize::MAX, ROOM);
            self.collect(number);
        }
        let fault = self.task.faults().pop().map(|(_, fault)| fault);
        match fault {
            // The guard has the verdict: the error of an explicit bolt is only shown.
            Some(fault) if explicit => {
                self.reports.told().errors.extend(reason_of(Verdict::from(fault)));
            }
            Some(fault) => self.settle(number, Verdict::from(fault)),
            None if explicit => {}
            None => self.settle(number, Verdict::Ack),
        }
        self.collect_verdicts();
        number
    }

    /// Takes the tuples emitted since the last call, to the main stream.
    pub fn emitted(&mut self) -> Vec<O> {
        self.emissions().into_iter().map(|emission| emission.tuple).collect()
    }

    /// Takes the tuples emitted since the last call, to the main stream, with their anchors.
    pub fn emissions(&mut self) -> Vec<Emission<O>> {
        std::mem::take(&mut self.emitted)
    }

    /// Takes the tuples emitted since the last call to a side output.
    ///
    /// # Panics
    /// If the setup declares no such output, or one of another type.
    pub fn emitted_to<S: Tuple>(&mut self, output: &str) -> Vec<S> {
        let Some(rows) = self.side.remove(&self.setup.stream(output)) else { return Vec::new() };
        let batch = rows.into_any().downcast::<Batch<S>>();
        batch.unwrap_or_else(|_| panic!("`{output}` carries another type of tuple")).rows
    }

    /// Takes the numbers of the tuples acked since the last call.
    pub fn acked(&mut self) -> Vec<TupleNumber> {
        self.collect_verdicts();
        std::mem::take(&mut self.acked)
    }

    /// Takes the numbers of the tuples failed since the last call, with the reasons.
    pub fn failed(&mut self) -> Vec<(TupleNumber, String)> {
        self.collect_verdicts();
        std::mem::take(&mut self.failed)
    }

    /// Gives the numbers of the tuples that the bolt holds: neither acked nor failed.
    pub fn held(&mut self) -> Vec<TupleNumber> {
        self.collect_verdicts();
        self.open.iter().copied().collect()
    }

    /// Lets the bolt tick now, whatever time it is.
    pub fn tick(&mut self) {
        self.task.tick();
        self.collect_rest();
    }

    /// Tells the bolt that all spouts are finished and every tuple was processed.
    pub fn finish(&mut self) {
        self.task.finish();
        self.collect_rest();
        self.wait();
    }

    /// Ends the bolt in good order; what it still holds fails.
    pub fn close(&mut self) {
        self.task.close();
        self.collect_verdicts();
    }

    report_methods!();

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.task.pass_time(self.now);
        self.poll();
    }

    /// Lets calls that are under way go on as far as they can, and takes what came of it.
    pub(super) fn poll(&mut self) {
        loop {
            if let Err(error) = self.task.poll(ROOM) {
                panic!("the factory failed: {error}");
            }
            self.collect(UNANCHORED);
            if !self.task.is_ready() {
                return self.collect_verdicts();
            }
        }
    }

    /// Takes what a call without input emitted, to the end of its iterators.
    fn collect_rest(&mut self) {
        while self.task.has_work() {
            self.collect(UNANCHORED);
            self.task.run(usize::MAX, ROOM);
        }
        self.collect(UNANCHORED);
        self.collect_verdicts();
    }

    /// Takes what was emitted; an automatic bolt's only anchor is the input in hand, `number`.
    fn collect(&mut self, number: TupleNumber) {
        let explicit = self.task.verdicts().is_some();
        let main = self.task.take(0, &mut self.pool);
        let sides: Vec<(usize, Option<Emitted>)> = (1..self.setup.outputs.len())
            .map(|stream| (stream, self.task.take(stream, &mut self.pool)))
            .collect();
        let several = self.task.take_several();
        for (stream, mut emitted) in sides.into_iter().filter_map(|(at, e)| Some((at, e?))) {
            match self.side.get_mut(&stream) {
                Some(rows) => rows.append(&mut *emitted.rows),
                None => drop(self.side.insert(stream, emitted.rows)),
            }
        }
        let Some(Emitted { rows, anchors, direct, .. }) = main else { return };
        let rows: Box<Batch<O>> =
            rows.into_any().downcast().expect("the main stream carries what the bolt emits");
        for (at, tuple) in rows.rows.into_iter().enumerate() {
            let anchors = match anchors[at] {
                UNANCHORED => Vec::new(),
                _ if !explicit => vec![number],
                anchor if anchor & SEVERAL != 0 => several[(anchor & !SEVERAL) as usize].clone(),
                anchor => vec![anchor],
            };
            let task = direct.get(at).copied().filter(|task| *task != NOT_DIRECT);
            self.emitted.push(Emission { tuple, anchors, task });
        }
    }

    fn collect_verdicts(&mut self) {
        let given = self.task.verdicts().map(|verdicts| verdicts.take()).unwrap_or_default();
        for (number, verdict) in given {
            self.settle(number, verdict);
        }
    }

    fn settle(&mut self, number: TupleNumber, verdict: Verdict) {
        if verdict == Verdict::ResetTimeout {
            return;
        }
        self.open.remove(&number);
        match reason_of(verdict) {
            None => self.acked.push(number),
            Some(reason) => self.failed.push((number, reason)),
        }
    }
}

pub(super) fn budget(setup: &Setup) -> usize {
    usize::try_from(setup.config.output_budget()).unwrap_or(usize::MAX)
}

impl<I: Tuple, O: Tuple> fmt::Debug for BoltDriver<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "driver of bolt `{}` after {} tuples", self.setup.component, self.given)
    }
}

/// What a verdict says of a tuple that failed.
fn reason_of(verdict: Verdict) -> Option<String> {
    match verdict {
        Verdict::Ack | Verdict::ResetTimeout => None,
        Verdict::Fail(reason) | Verdict::Unavailable(reason) | Verdict::Late(reason) => {
            Some(reason)
        }
        Verdict::TooMuchOutput => Some("too-much-output".to_owned()),
        Verdict::Dropped => Some("dropped without a verdict".to_owned()),
    }
}
