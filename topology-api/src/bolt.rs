//! Bolts: what happens to tuples.

use crate::{Error, Input, Output, Tuple};

/// The result of a bolt's call: an error fails the input, with its text as the reason.
pub type BoltResult = Result<(), Error>;

/// Takes tuples and emits others.
///
/// What `execute` emits is anchored to its input. `Ok` acks the input, `Err` fails it: its spout is
/// told, and may emit it again.
///
/// ```
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Word { word: Text }
///
/// struct Exclaim;
///
/// impl Bolt for Exclaim {
///     type Input = Word;
///     type Output = Word;
///
///     fn execute(&mut self, input: Word, out: &mut Output<Word>) -> BoltResult {
///         out.emit(Word { word: format!("{}!", input.word).into() });
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a bolt",
    label = "this is what the factory returns",
    note = "implement `topology_api::Bolt` for it: types `Input` and `Output`, method `execute`"
)]
pub trait Bolt: Send + 'static {
    /// The tuples it reads. To read streams of several types, an enum with `From` for each.
    type Input: Tuple;
    /// The tuples of its main stream; [`NoOutput`](crate::NoOutput) for none.
    type Output: Tuple;

    /// Processes one tuple. Must be short and must not block: the worker's loop waits.
    ///
    /// # Errors
    ///
    /// Fails the input with the error's text.
    fn execute(&mut self, input: Self::Input, out: &mut Output<Self::Output>) -> BoltResult;

    /// Called each tick period, where the component declares one. Emits are tied to no input.
    fn tick(&mut self, out: &mut Output<Self::Output>) {
        out.begin(crate::output::UNANCHORED);
    }

    /// All spouts are finished and every tuple was processed: emit or report what is left.
    fn finish(&mut self, out: &mut Output<Self::Output>) {
        out.begin(crate::output::UNANCHORED);
    }

    /// The task ends in good order. Not called when the process is killed.
    fn close(&mut self) {}
}

/// A bolt with the verdict in its own hands: it may hold inputs over calls, anchor one tuple to
/// many, and ack or fail from any thread.
///
/// ```
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Number { n: u64 }
///
/// /// Sums pairs: each sum is anchored to both of its numbers.
/// #[derive(Default)]
/// struct Pairs { first: Option<Input<Number>> }
///
/// impl ExplicitBolt for Pairs {
///     type Input = Number;
///     type Output = Number;
///
///     fn execute(&mut self, input: Input<Number>, out: &mut Output<Number>) -> BoltResult {
///         let Some(first) = self.first.take() else {
///             self.first = Some(input);
///             return Ok(());
///         };
///         out.emit_anchored([&first, &input], Number { n: first.n + input.n });
///         first.ack();
///         input.ack();
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an explicit bolt",
    label = "this is what the factory returns",
    note = "implement `topology_api::ExplicitBolt` for it: types `Input` and `Output`, method `execute`"
)]
pub trait ExplicitBolt: Send + 'static {
    /// The tuples it reads.
    type Input: Tuple;
    /// The tuples of its main stream; [`NoOutput`](crate::NoOutput) for none.
    type Output: Tuple;

    /// Takes one tuple into its hands.
    ///
    /// # Errors
    ///
    /// Shown in the status; the verdict is still the guard's.
    fn execute(&mut self, input: Input<Self::Input>, out: &mut Output<Self::Output>) -> BoltResult;

    /// Called each tick period, where the component declares one.
    fn tick(&mut self, out: &mut Output<Self::Output>) {
        out.begin(crate::output::UNANCHORED);
    }

    /// All spouts are finished: emit or report what is left.
    fn finish(&mut self, out: &mut Output<Self::Output>) {
        out.begin(crate::output::UNANCHORED);
    }

    /// The task ends in good order.
    fn close(&mut self) {}
}
