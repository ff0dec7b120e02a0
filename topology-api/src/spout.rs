//! Spouts: where streams begin.

use crate::{Error, SpoutOutput, Tuple};

/// What a call of [`Spout::next`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Something was emitted, or may be at once: call again soon.
    Emitted,
    /// There is nothing now: call again a little later.
    Idle,
    /// There will never be anything again, unless a tuple fails and is emitted again.
    Finished,
}

/// The result of [`Spout::next`].
pub type SpoutResult = Result<Next, Error>;

/// Why a tuple failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailReason {
    name: &'static str,
    own_fault: bool,
}

impl FailReason {
    /// Made by the worker.
    #[must_use]
    pub const fn new(name: &'static str, own_fault: bool) -> Self {
        Self { name, own_fault }
    }

    /// Its name: `error`, `panic`, `timeout`, `worker-lost`, `link-lost`, ...
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Tells whether the tuple itself is to blame (an error, a panic, a timeout), not a machine.
    #[must_use]
    pub fn is_own_fault(&self) -> bool {
        self.own_fault
    }
}

/// Reads an endless (or bounded) source and emits it as tuples.
///
/// All calls for one task happen on one thread, one after the other. What a spout emitted under a
/// message id is given back once, acked or failed, for as long as the task lives.
///
/// ```
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Number { n: u64 }
///
/// /// Counts to a million; numbers that fail are emitted again.
/// struct Count { next: u64, again: Vec<u64> }
///
/// impl Spout for Count {
///     type Output = Number;
///     type Id = u64;
///
///     fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
///         let n = match self.again.pop() {
///             Some(n) => n,
///             None if self.next == 1_000_000 => return Ok(Next::Finished),
///             None => { self.next += 1; self.next - 1 }
///         };
///         out.emit(n, Number { n });
///         Ok(Next::Emitted)
///     }
///
///     fn fail(&mut self, id: u64, _reason: FailReason) {
///         self.again.push(id);
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a spout",
    label = "this is what the factory returns",
    note = "implement `topology_api::Spout` for it: types `Output` and `Id`, method `next`"
)]
pub trait Spout: Send + 'static {
    /// The tuples of its main stream.
    type Output: Tuple;
    /// What names an emitted tuple when it is acked or failed; kept in memory until then.
    type Id: Send + 'static;

    /// Emits some tuples, or says that there are none. Must not block: the worker's loop waits.
    ///
    /// # Errors
    ///
    /// Shown in the status; the task goes on after a pause that grows.
    fn next(&mut self, out: &mut SpoutOutput<Self::Output, Self::Id>) -> SpoutResult;

    /// The tuple and all that came of it were processed.
    fn ack(&mut self, id: Self::Id) {
        drop(id);
    }

    /// The tuple, or something that came of it, failed or may be lost. Emit it again, or give up.
    fn fail(&mut self, id: Self::Id, reason: FailReason) {
        drop((id, reason));
    }

    /// Called each tick period, where the component declares one.
    fn tick(&mut self, out: &mut SpoutOutput<Self::Output, Self::Id>) {
        out.output.begin(crate::output::UNANCHORED);
    }

    /// The topology was activated.
    fn activate(&mut self) {}

    /// The topology was deactivated: `next` is not called until it is active again.
    fn deactivate(&mut self) {}

    /// The task ends in good order. Not called when the process is killed.
    fn close(&mut self) {}
}
