//! Drives an async bolt: its calls wait, and so does the test.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Polled, Poll, Wake, Waker};
use std::thread::{Thread, current, park};

use super::Setup;
use super::bolt::{BoltDriver, budget};
use crate::async_bolt::{AsyncBolt, AsyncCalls, AsyncDriver, IntoAsyncBolt, LongCalls, call};
use crate::task::BoltTask;
use crate::{Context, Error, Tuple};

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
        let waker = Waker::from(Arc::new(Unpark(current())));
        let mut waits = pin!(self.until(enough));
        while waits.as_mut().poll(&mut Polled::from_waker(&waker)).is_pending() {
            park();
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
