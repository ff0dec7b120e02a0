//! Async sinks: one future for a task, which takes tuples in batches and decides on each of them.
//!
//! What writes to a database or to a broker does well to write many tuples at once. An async bolt has a call
//! for each, which costs about a microsecond however little it does; a sink has one future, to which a
//! tuple is a value with its verdict.

mod driver;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Polled, Poll, Waker};

pub(crate) use driver::SinkDriver;

use crate::async_bolt::AsyncCalls;
use crate::builder::output_stream;
use crate::task::Factory;
use crate::topology::{Calls, Kind, Make};
use crate::{BoltDeclarer, BoltResult, Context, Error, Input, NoOutput, TopologyBuilder, Tuple};

/// Stands for no calls: one future takes all tuples of a task.
#[derive(Debug)]
pub enum Sink {}

/// How many tuples a task holds at most, unless its topology says otherwise.
const HELD: u32 = 1_024;

/// Takes tuples in batches to where they belong: a database, a topic, a service.
///
/// `run` is called once for each task and lives as long as that. It takes what has come from its
/// [`Inputs`], writes it as it likes, and gives each input its verdict with [`Input::ack`],
/// [`Input::fail`] or [`Input::unavailable`]; an input that is dropped without one fails. It holds as many
/// as [`concurrency`](BoltDeclarer::concurrency) says, so it may write several batches at a time.
///
/// If `run` returns an error, or panics, its inputs fail and the task begins anew with another instance
/// after a pause. All runs on the loop of the executor: it may wait, but must not block.
///
/// Timers, sockets and clients that are made for tokio work: its context is entered around the factory
/// and `run`. Beyond that nothing here depends on it.
///
/// ```
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Sale { user: Text, cents: u64 }
///
/// /// Writes to a table, as many rows at a time as there are.
/// struct Table;
/// # impl Table { async fn insert(&self, rows: impl Iterator<Item = (&Text, u64)>) -> Result<usize, std::fmt::Error> { Ok(rows.count()) } }
///
/// impl AsyncSink for Table {
///     type Input = Sale;
///     async fn run(self, mut inputs: Inputs<Sale>) -> BoltResult {
///         while let Some(sales) = inputs.next().await {
///             match self.insert(sales.iter().map(|sale| (&sale.user, sale.cents))).await {
///                 Ok(_) => sales.into_iter().for_each(Input::ack),
///                 Err(error) => sales.into_iter().for_each(|sale| sale.fail(error.to_string())),
///             }
///         }
///         Ok(())
///     }
/// }
///
/// let mut t = TopologyBuilder::new("sales");
/// # struct Sales;
/// # impl Spout for Sales {
/// #     type Output = Sale;
/// #     type Id = ();
/// #     fn next(&mut self, _: &mut SpoutOutput<Sale, ()>) -> SpoutResult { Ok(Next::Finished) }
/// # }
/// # let sales = t.spout("sales", |_| Sales).stream();
/// t.async_sink("table", |_| Table).concurrency(10_000).shuffle(&sales);
/// assert!(t.build().is_ok());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async sink",
    label = "this is what the factory returns",
    note = "implement `topology_api::AsyncSink` for it: type `Input`, method `run`"
)]
pub trait AsyncSink: 'static {
    /// The tuples it reads.
    type Input: Tuple;

    /// Takes inputs until there are no more, and ends when all of them are decided on.
    ///
    /// # Errors
    ///
    /// Shown in the status. What it held fails with the error's text, as
    /// [`unavailable`](crate::Unavailable) if it is such an error, and another instance goes on.
    fn run(self, inputs: Inputs<Self::Input>) -> impl Future<Output = BoltResult>;
}

/// What the factory of an async sink may return: the sink, or a result with it.
pub trait IntoAsyncSink {
    /// The sink.
    type Sink: AsyncSink;
    /// Gives it.
    ///
    /// # Errors
    ///
    /// The factory's.
    fn into_async_sink(self) -> Result<Self::Sink, Error>;
}

impl<S: AsyncSink> IntoAsyncSink for S {
    type Sink = S;
    fn into_async_sink(self) -> Result<S, Error> {
        Ok(self)
    }
}

impl<S: AsyncSink, E: Into<Error>> IntoAsyncSink for Result<S, E> {
    type Sink = S;
    fn into_async_sink(self) -> Result<S, Error> {
        self.map_err(Into::into)
    }
}

/// What has come for a task and was not taken yet.
struct Arrived<T> {
    inputs: Vec<Input<T>>,
    ticked: bool,
    /// Nothing comes any more.
    finished: bool,
    /// Who waits for more.
    waker: Option<Waker>,
}

/// Where an async sink takes its tuples from.
///
/// ```
/// use topology_api::prelude::*;
/// use topology_api::testing::{BoltDriver, Setup};
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Number { n: u64 }
///
/// struct Even;
/// impl AsyncSink for Even {
///     type Input = Number;
///     async fn run(self, mut inputs: Inputs<Number>) -> BoltResult {
///         while let Some(numbers) = inputs.next().await {
///             for number in numbers {
///                 if number.n % 2 == 0 { number.ack() } else { number.fail("odd") }
///             }
///         }
///         Ok(())
///     }
/// }
///
/// let mut even = BoltDriver::sink(Setup::new(), |_| Even).unwrap();
/// let [two, three] = [2, 3].map(|n| even.execute(Number { n }));
/// even.wait();
/// assert_eq!(even.acked(), [two]);
/// assert_eq!(even.failed(), [(three, "odd".to_owned())]);
/// ```
pub struct Inputs<T>(Rc<RefCell<Arrived<T>>>);

impl<T> std::fmt::Debug for Inputs<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} inputs", self.0.borrow().inputs.len())
    }
}

impl<T> Inputs<T> {
    /// Waits for tuples and takes all that are there, in the order in which they came; none comes after
    /// `None`. Where the component declares a tick period, it gives what is there each period, which may
    /// be nothing.
    pub async fn next(&mut self) -> Option<Vec<Input<T>>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for who waits for several things at once.
    pub fn poll_next(&mut self, cx: &mut Polled<'_>) -> Poll<Option<Vec<Input<T>>>> {
        let arrived = &mut *self.0.borrow_mut();
        if !arrived.inputs.is_empty() || std::mem::take(&mut arrived.ticked) {
            arrived.ticked = false;
            return Poll::Ready(Some(std::mem::take(&mut arrived.inputs)));
        }
        if arrived.finished {
            return Poll::Ready(None);
        }
        arrived.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl TopologyBuilder {
    /// Declares an async sink; the factory makes one instance a task.
    #[track_caller]
    pub fn async_sink<F, R>(
        &mut self,
        name: &str,
        factory: F,
    ) -> BoltDeclarer<<R::Sink as AsyncSink>::Input, NoOutput, Sink>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoAsyncSink,
    {
        let make: Factory<R::Sink> = Arc::new(move |cx| factory(cx).into_async_sink());
        let make = Make::Bolt(Arc::new(move |_, _| Box::new(SinkDriver::new(Arc::clone(&make)))));
        let output = output_stream::<NoOutput>("default");
        let node = self.declare(name, Kind::ExplicitBolt, make, output);
        let calls = AsyncCalls { concurrency: HELD, ..AsyncCalls::default() };
        node.with(|component| component.calls = Calls::Async(calls));
        BoltDeclarer { node, tuples: PhantomData }
    }
}

impl<I: Tuple> BoltDeclarer<I, NoOutput, Sink> {
    /// Sets how many tuples each of its tasks holds at most, taken or not, 1,024 unless this says otherwise;
    /// then it gets no more until it has decided on one. At least 1.
    pub fn concurrency(self, tuples: u32) -> Self {
        let concurrency = tuples.max(1);
        let calls = AsyncCalls { concurrency, ..AsyncCalls::default() };
        self.node.with(|component| component.calls = Calls::Async(calls));
        self
    }
}
