//! Async bolts: many calls under way at a time, each of which may wait.
//!
//! A bolt that asks a service for each tuple spends its time waiting. As an async bolt it waits for
//! many answers at once, on the loop of its executor: no thread a call, and no lock, since all its
//! calls run on one thread.

mod calls;
mod driver;
mod long_calls;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use driver::{AsyncDriver, call};
pub use long_calls::LongCalls;

use crate::builder::output_stream;
use crate::task::Factory;
use crate::topology::{Kind, Make};
use crate::{Async, BoltDeclarer, BoltResult, Context, Error, Output, TopologyBuilder, Tuple};

/// How many calls of a task are under way at most, unless its topology says otherwise.
const CONCURRENCY: u32 = 64;

/// Takes tuples and emits others, and may wait for something in between.
///
/// `execute` is called for the next tuple while earlier calls still wait, up to
/// [`concurrency`](BoltDeclarer::concurrency) of them. All calls of a task run on one thread, so
/// what they share needs no lock: a `Cell` or a `RefCell` that is not borrowed across an `.await`.
///
/// A call's output leaves when the call has returned, anchored to its input. `Ok` acks the input,
/// `Err` fails it with the error's text. A panic fails all inputs whose calls are under way and
/// makes the task a new instance. A call that takes longer than the
/// [`deadline`](BoltDeclarer::deadline) is dropped at its `.await` and fails as `timeout`, or as
/// [`late`](AsyncBolt::late) says, so what must not be done by halves belongs in a task of its own.
///
/// Timers, sockets and clients that are made for tokio work: its context is entered around the
/// factory and every call. Beyond that nothing here depends on it.
///
/// ```
/// use std::cell::Cell;
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, PartialEq, Tuple)]
/// struct City { name: Text }
/// #[derive(Clone, Debug, PartialEq, Tuple)]
/// struct Heat { name: Text, celsius: f64 }
///
/// /// Asks a weather service.
/// struct Lookup { asked: Cell<u64> }
/// # impl Lookup { async fn ask(&self, city: &str) -> Result<f64, std::num::ParseFloatError> { "21".parse() } }
///
/// impl AsyncBolt for Lookup {
///     type Input = City;
///     type Output = Heat;
///     async fn execute(&self, city: City, out: &mut Output<Heat>) -> BoltResult {
///         self.asked.set(self.asked.get() + 1);
///         let celsius = self.ask(&city.name).await?; // others go on meanwhile
///         out.emit(Heat { name: city.name, celsius });
///         Ok(())
///     }
/// }
///
/// let mut t = TopologyBuilder::new("weather");
/// # struct Cities;
/// # impl Spout for Cities {
/// #     type Output = City;
/// #     type Id = ();
/// #     fn next(&mut self, _: &mut SpoutOutput<City, ()>) -> SpoutResult { Ok(Next::Finished) }
/// # }
/// # let cities = t.spout("cities", |_| Cities).stream();
/// t.async_bolt("lookup", |_| Lookup { asked: Cell::new(0) })
///     .concurrency(200)
///     .unordered()
///     .shuffle(&cities);
/// assert!(t.build().is_ok());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async bolt",
    label = "this is what the factory returns",
    note = "implement `topology_api::AsyncBolt` for it: types `Input` and `Output`, method `execute`"
)]
pub trait AsyncBolt: 'static {
    /// The tuples it reads.
    type Input: Tuple;
    /// The tuples of its main stream; [`NoOutput`](crate::NoOutput) for none.
    type Output: Tuple;

    /// Processes one tuple. May wait, but must not block: the worker's loop would wait too.
    ///
    /// # Errors
    ///
    /// Fails the input with the error's text.
    fn execute(
        &self,
        input: Self::Input,
        out: &mut Output<Self::Output>,
    ) -> impl Future<Output = BoltResult>;

    /// Called each tick period, where the component declares one, unless the last one still waits.
    /// Emits are tied to no input.
    ///
    /// # Errors
    ///
    /// Shown in the status.
    fn tick(&self, out: &mut Output<Self::Output>) -> impl Future<Output = BoltResult> {
        out.begin(crate::output::UNANCHORED);
        std::future::ready(Ok(()))
    }

    /// All spouts are finished and every tuple was processed: emit, store or report what is left.
    ///
    /// # Errors
    ///
    /// Shown in the status.
    fn finish(&self, out: &mut Output<Self::Output>) -> impl Future<Output = BoltResult> {
        out.begin(crate::output::UNANCHORED);
        std::future::ready(Ok(()))
    }

    /// A call was dropped as it took longer than its [`deadline`](BoltDeclarer::deadline): what it waited
    /// for, if that is away. Its input then fails as `unavailable`, see
    /// [`Unavailable`](crate::Unavailable), and otherwise as `timeout`.
    fn late(&self) -> Option<String> {
        None
    }

    /// The task ends in good order; calls that were under way have been dropped. Not called when
    /// the process is killed.
    fn close(&mut self) {}
}

/// What the factory of an async bolt may return: the bolt, or a result with it.
pub trait IntoAsyncBolt {
    /// The bolt.
    type Bolt: AsyncBolt;
    /// Gives it.
    ///
    /// # Errors
    ///
    /// The factory's.
    fn into_async_bolt(self) -> Result<Self::Bolt, Error>;
}

impl<B: AsyncBolt> IntoAsyncBolt for B {
    type Bolt = B;
    fn into_async_bolt(self) -> Result<B, Error> {
        Ok(self)
    }
}

impl<B: AsyncBolt, E: Into<Error>> IntoAsyncBolt for Result<B, E> {
    type Bolt = B;
    fn into_async_bolt(self) -> Result<B, Error> {
        self.map_err(Into::into)
    }
}

type InputOf<R> = <<R as IntoAsyncBolt>::Bolt as AsyncBolt>::Input;
type OutputOf<R> = <<R as IntoAsyncBolt>::Bolt as AsyncBolt>::Output;

/// What holds for the calls of one async component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncCalls {
    /// How many may be under way in each task.
    pub concurrency: u32,
    /// What they emit leaves in the order of their inputs.
    pub ordered: bool,
    /// How long one may take; without this, three quarters of the timeout of tuples and what `holds`
    /// adds to it.
    pub deadline: Option<Duration>,
    /// For how long the component holds inputs on purpose.
    pub holds: Duration,
}

impl Default for AsyncCalls {
    fn default() -> Self {
        Self { concurrency: CONCURRENCY, ordered: true, deadline: None, holds: Duration::ZERO }
    }
}

impl TopologyBuilder {
    /// Declares an async bolt; the factory makes one instance a task.
    #[track_caller]
    pub fn async_bolt<F, R>(
        &mut self,
        name: &str,
        factory: F,
    ) -> BoltDeclarer<InputOf<R>, OutputOf<R>, Async>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoAsyncBolt,
    {
        let make: Factory<R::Bolt> = Arc::new(move |cx| factory(cx).into_async_bolt());
        let make = Make::Bolt(Arc::new(move |side, budget| {
            Box::new(AsyncDriver::new(Arc::clone(&make), side, budget, call::<R::Bolt>))
        }));
        let output = output_stream::<OutputOf<R>>("default");
        let node = self.declare(name, Kind::ExplicitBolt, make, output);
        let declarer = BoltDeclarer { node, tuples: PhantomData };
        declarer.async_calls(|_| {})
    }
}

impl<I: Tuple, T: Tuple> BoltDeclarer<I, T, Async> {
    /// Sets how many calls of each of its tasks may be under way, 64 unless this says otherwise;
    /// then the task takes no more input until one has ended. At least 1.
    pub fn concurrency(self, calls: u32) -> Self {
        self.async_calls(|own| own.concurrency = calls.max(1))
    }

    /// Lets what it emits leave in the order of its inputs, as that of every other bolt does. This
    /// is how it is unless [`unordered`](Self::unordered) says otherwise: making a bolt async must
    /// not shuffle a stream by the way. The price is that an answer waits for those before it, and
    /// counts among the calls under way until then.
    pub fn ordered(self) -> Self {
        self.async_calls(|own| own.ordered = true)
    }

    /// Lets what a call emits leave as soon as it has returned: one slow call holds up no other.
    pub fn unordered(self) -> Self {
        self.async_calls(|own| own.ordered = false)
    }

    /// Sets how long a call may take before it is dropped and its input fails as `timeout`. Without
    /// this it is three quarters of `message_timeout` and what [`holds`](Self::holds) adds: a quarter for
    /// the way here, and then its tuple would fail anyway, without a word of this bolt.
    pub fn deadline(self, deadline: Duration) -> Self {
        self.async_calls(|own| own.deadline = Some(deadline))
    }
}
