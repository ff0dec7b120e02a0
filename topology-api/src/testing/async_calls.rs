//! Drives async bolts, sinks and spouts: their calls wait, and so does the test.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Polled, Poll, Wake, Waker};
use std::thread::{Thread, current, park};

use super::bolt::{BoltDriver, budget};
use super::{Setup, SpoutDriver, SpoutEmission};
use crate::async_bolt::{AsyncBolt, AsyncCalls, AsyncDriver, IntoAsyncBolt, LongCalls, call};
use crate::async_sink::{AsyncSink, IntoAsyncSink, SinkDriver};
use crate::async_spout::{self, AsyncSpout, AsyncSpoutDriver, IntoAsyncSpout};
use crate::task::BoltTask;
use crate::{Context, Error, Next, NoOutput, Tuple};

/// Async bolts. Nothing here is a runtime: a call that waits for a timer or socket of tokio needs
/// tokio's context around it, as `#[tokio::test]` gives it.
impl<I: Tuple, O: Tuple> BoltDriver<I, O> {
    /// Makes an async bolt. Its calls go as far as they can when they are given their tuple, and on
    /// in [`ended`](Self::ended) or [`wait`](Self::wait).
    ///
    /// Emissions leave in the order of the tuples. A deadline falls due as
    /// [`advance`](Self::advance) lets time pass, after `message_timeout`.
    ///
    /// ```
    /// use topology_api::prelude::*;
    /// use topology_api::testing::{BoltDriver, Setup};
    ///
    /// #[derive(Clone, Debug, PartialEq, Tuple)]
    /// struct Number { n: u64 }
    ///
    /// struct Half;
    /// impl AsyncBolt for Half {
    ///     type Input = Number;
    ///     type Output = Number;
    ///     async fn execute(&self, number: Number, out: &mut Output<Number>) -> BoltResult {
    ///         let half = std::future::ready(number.n / 2).await;
    ///         out.emit(Number { n: half });
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut half = BoltDriver::asynchronous(Setup::new(), |_| Half).unwrap();
    /// let eight = half.execute(Number { n: 8 });
    /// half.wait(); // or, in an async test, half.ended().await
    /// assert_eq!(half.emitted(), [Number { n: 4 }]);
    /// assert_eq!(half.acked(), [eight]);
    /// ```
    ///
    /// # Errors
    /// The factory's.
    pub fn asynchronous<F, R>(setup: Setup, factory: F) -> Result<Self, Error>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoAsyncBolt<Bolt: AsyncBolt<Input = I, Output = O>>,
    {
        let make = Arc::new(move |cx: &Context| factory(cx).into_async_bolt());
        let mut task = AsyncDriver::new(make, &setup.lanes, budget(&setup), call::<R::Bolt>);
        task.limit(AsyncCalls::default());
        Self::open(setup, Box::new(task))
    }

    /// Waits until no call is under way.
    pub async fn ended(&mut self) {
        self.until(|task| task.has_finished()).await;
    }

    /// Blocks this thread until no call is under way: for calls that are woken by other threads.
    pub fn wait(&mut self) {
        self.wait_until(|task| task.has_finished());
    }

    async fn until(&mut self, enough: impl Fn(&dyn BoltTask) -> bool) {
        poll_fn(|cx| {
            // First, so that a wake that comes while the calls go on is not lost.
            self.reports.woken.pass_to(cx.waker());
            self.poll();
            if enough(&*self.task) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub(super) fn wait_until(&mut self, enough: impl Fn(&dyn BoltTask) -> bool) {
        if enough(&*self.task) {
            return;
        }
        block_on(self.until(enough));
    }
}

/// Async sinks; of runtimes the same holds as for async bolts.
impl<I: Tuple> BoltDriver<I, NoOutput> {
    /// Makes an async sink, which holds any number of tuples. It sees what it was given in
    /// [`ended`](Self::ended), [`wait`](Self::wait) or [`advance`](Self::advance).
    ///
    /// # Errors
    /// The factory's.
    pub fn sink<F, R>(setup: Setup, factory: F) -> Result<Self, Error>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoAsyncSink<Sink: AsyncSink<Input = I>>,
    {
        let make = Arc::new(move |cx: &Context| factory(cx).into_async_sink());
        let mut task = SinkDriver::new(make);
        task.limit(AsyncCalls { concurrency: u32::MAX, ..AsyncCalls::default() });
        Self::open(setup, Box::new(task))
    }
}

/// Async spouts; of runtimes the same holds as for async bolts.
impl<O: Tuple> SpoutDriver<O> {
    /// Makes an async spout. [`call_next`](Self::call_next) lets its call go as far as it can at once, and
    /// says that the spout is idle if it waits; [`ended`](Self::ended) and [`wait`](Self::wait) wait
    /// with it.
    ///
    /// # Errors
    /// The factory's.
    pub fn asynchronous<F, R>(setup: Setup, factory: F) -> Result<Self, Error>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoAsyncSpout<Spout: AsyncSpout<Output = O>>,
    {
        let make = Arc::new(move |cx: &Context| factory(cx).into_async_spout());
        let task = AsyncSpoutDriver::new(make, &setup.lanes, async_spout::call::<R::Spout>);
        Self::open_task(setup, Box::new(task))
    }

    /// Waits until a call of `next` has returned, and gives what was emitted to the main stream.
    ///
    /// # Errors
    /// The spout's.
    pub async fn ended(&mut self) -> Result<(Next, Vec<SpoutEmission<O>>), Error> {
        poll_fn(|cx| {
            self.reports.woken.pass_to(cx.waker());
            match self.call_next() {
                Ok((Next::Idle, emitted)) if emitted.is_empty() && self.task.waits() => {
                    Poll::Pending
                }
                ended => Poll::Ready(ended),
            }
        })
        .await
    }

    /// Blocks this thread until a call of `next` has returned, and gives what was emitted to the main
    /// stream: for calls that are woken by other threads.
    ///
    /// # Errors
    /// The spout's.
    pub fn wait(&mut self) -> Result<(Next, Vec<SpoutEmission<O>>), Error> {
        block_on(self.ended())
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Polled::from_waker(&waker)) {
            return output;
        }
        park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
