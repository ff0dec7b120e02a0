//! Async spouts: sources that are waited for without a thread of their own.

mod driver;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

pub(crate) use driver::{AsyncSpoutDriver, call};

use crate::async_bolt::AsyncCalls;
use crate::builder::output_stream;
use crate::declarer::{Async, SpoutDeclarer};
use crate::task::Factory;
use crate::topology::{Calls, Kind, Make};
use crate::{Context, Error, FailReason, SpoutOutput, SpoutResult, TopologyBuilder, Tuple};

/// Reads a source that has to be waited for, and emits it as tuples.
///
/// One call of `next` is under way at a time; between its steps `ack` and `fail` are called as
/// verdicts come, so a call that waits for an hour holds none of them up. This is why all methods
/// take `&self`: what they share stands in a `Cell` or a `RefCell` that is not borrowed across an
/// `.await`. All calls of a task run on one thread.
///
/// What a call emits leaves when it has returned, so return as soon as there is something. While
/// `max_pending` trees are open, or the topology is not active, a call that is under way is left
/// alone where it is.
///
/// Timers, sockets and clients that are made for tokio work: its context is entered around the
/// factory and every call.
///
/// ```
/// use std::cell::RefCell;
/// use topology_api::prelude::*;
/// # #[derive(Default)]
/// # struct Client;
/// # impl Client { async fn receive(&self) -> Result<(u64, String), std::fmt::Error> { Ok((7, "hello".to_owned())) } }
///
/// /// Receives messages; those that fail are emitted again.
/// #[derive(Default)]
/// struct Messages { client: Client, failed: RefCell<Vec<(u64, Text)>> }
///
/// impl AsyncSpout for Messages {
///     type Output = Line;
///     type Id = (u64, Text);
///
///     async fn next(&self, out: &mut SpoutOutput<Line, (u64, Text)>) -> SpoutResult {
///         let failed = self.failed.borrow_mut().pop();
///         let (n, text) = match failed {
///             Some(again) => again,
///             None => {
///                 let (n, text) = self.client.receive().await?;
///                 (n, text.into())
///             }
///         };
///         out.emit((n, text.clone()), Line { text });
///         Ok(Next::Emitted)
///     }
///
///     fn fail(&self, id: (u64, Text), _: FailReason) {
///         self.failed.borrow_mut().push(id);
///     }
/// }
///
/// let mut t = TopologyBuilder::new("chat");
/// let lines = t.async_spout("messages", |_| Messages::default()).stream();
/// # drop(lines);
/// assert!(t.build().is_ok());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async spout",
    label = "this is what the factory returns",
    note = "implement `topology_api::AsyncSpout` for it: types `Output` and `Id`, method `next`"
)]
pub trait AsyncSpout: 'static {
    /// The tuples of its main stream.
    type Output: Tuple;
    /// What names an emitted tuple when it is acked or failed; kept in memory until then.
    type Id: 'static;

    /// Emits some tuples, or says that there are none. May wait, but must not block: the worker's
    /// loop would wait too. A call is dropped at its `.await` only when the task ends.
    ///
    /// # Errors
    ///
    /// Shown in the status; the task goes on after a pause that grows.
    fn next(
        &self,
        out: &mut SpoutOutput<Self::Output, Self::Id>,
    ) -> impl Future<Output = SpoutResult>;

    /// The tuple and all that came of it were processed.
    fn ack(&self, id: Self::Id) {
        drop(id);
    }

    /// The tuple, or something that came of it, failed or may be lost. Emit it again, or give up. It
    /// does not end a call of `next` that waits: one that must look again is told by the author,
    /// with a channel or a `Notify`.
    fn fail(&self, id: Self::Id, reason: FailReason) {
        drop((id, reason));
    }

    /// Called each tick period, where the component declares one.
    fn tick(&self, out: &mut SpoutOutput<Self::Output, Self::Id>) {
        out.output.begin(crate::output::UNANCHORED);
    }

    /// The topology was activated.
    fn activate(&self) {}

    /// The topology was deactivated: `next` does not go on until it is active again.
    fn deactivate(&self) {}

    /// The task ends in good order; a call that was under way has been dropped. Not called when the
    /// process is killed.
    fn close(&mut self) {}
}

/// What the factory of an async spout may return: the spout, or a result with it.
pub trait IntoAsyncSpout {
    /// The spout.
    type Spout: AsyncSpout;
    /// Gives it.
    ///
    /// # Errors
    ///
    /// The factory's.
    fn into_async_spout(self) -> Result<Self::Spout, Error>;
}

impl<S: AsyncSpout> IntoAsyncSpout for S {
    type Spout = S;
    fn into_async_spout(self) -> Result<S, Error> {
        Ok(self)
    }
}

impl<S: AsyncSpout, E: Into<Error>> IntoAsyncSpout for Result<S, E> {
    type Spout = S;
    fn into_async_spout(self) -> Result<S, Error> {
        self.map_err(Into::into)
    }
}

impl TopologyBuilder {
    /// Declares an async spout; the factory makes one instance a task.
    #[track_caller]
    pub fn async_spout<F, R>(
        &mut self,
        name: &str,
        factory: F,
    ) -> SpoutDeclarer<<R::Spout as AsyncSpout>::Output, Async>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoAsyncSpout,
    {
        let make: Factory<R::Spout> = Arc::new(move |cx| factory(cx).into_async_spout());
        let make = Make::Spout(Arc::new(move |side| {
            Box::new(AsyncSpoutDriver::new(Arc::clone(&make), side, call::<R::Spout>))
        }));
        let output = output_stream::<<R::Spout as AsyncSpout>::Output>("default");
        let node = self.declare(name, Kind::Spout, make, output);
        node.with(|component| component.calls = Calls::Async(AsyncCalls::default()));
        SpoutDeclarer { node, tuples: PhantomData }
    }
}
