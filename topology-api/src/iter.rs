//! A spout that emits what an iterator gives.

use std::collections::VecDeque;
use std::fmt;

use crate::{FailReason, Next, Spout, SpoutOutput, SpoutResult, Tuple};

/// Emits what an iterator gives, until it ends; a tuple that fails is emitted again.
///
/// Each task makes its own iterator: with several, let each give its share by
/// [`Context::task_index`](crate::Context::task_index). `next` of the iterator must not block. An
/// open tuple is kept in memory, at most `max_pending` of them; for replays with pauses and a limit
/// see [`TopologyBuilder::replaying`](crate::TopologyBuilder::replaying).
///
/// ```
/// use topology_api::{IterSpout, prelude::*};
/// use topology_api::testing::SpoutDriver;
///
/// #[derive(Clone, Debug, PartialEq, Tuple)]
/// struct Number { n: u64 }
///
/// let numbers = |cx: &Context| {
///     let (first, step) = (cx.task_index().into(), cx.task_count() as usize);
///     IterSpout::new((first..3).step_by(step).map(|n| Number { n }))
/// };
/// let mut t = TopologyBuilder::new("numbers");
/// t.spout("numbers", numbers).parallelism(2);
/// assert!(t.build().is_ok());
///
/// let mut numbers = SpoutDriver::new(numbers).unwrap();
/// assert_eq!(numbers.run().unwrap().len(), 3);
/// numbers.fail(1, FailReason::new("timeout", true));
/// assert_eq!(numbers.run().unwrap(), [Number { n: 1 }]);
/// ```
pub struct IterSpout<I: Iterator> {
    tuples: I,
    ended: bool,
    again: VecDeque<I::Item>,
}

impl<I: Iterator> IterSpout<I> {
    /// Makes a spout of whatever can be iterated over.
    pub fn new(tuples: impl IntoIterator<IntoIter = I>) -> Self {
        Self { tuples: tuples.into_iter(), ended: false, again: VecDeque::new() }
    }
}

impl<I: Iterator> fmt::Debug for IterSpout<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a spout of an iterator, with {} tuples to emit again", self.again.len())
    }
}

impl<I> Spout for IterSpout<I>
where
    I: Iterator<Item: Tuple> + Send + 'static,
{
    type Output = I::Item;
    /// The tuple itself.
    type Id = I::Item;

    fn next(&mut self, out: &mut SpoutOutput<I::Item, I::Item>) -> SpoutResult {
        // An iterator that has ended must not be asked again: it may begin anew.
        let fresh = |tuples: &mut I| (!self.ended).then(|| tuples.next()).flatten();
        let Some(tuple) = self.again.pop_front().or_else(|| fresh(&mut self.tuples)) else {
            self.ended = true;
            return Ok(Next::Finished);
        };
        out.emit(tuple.clone(), tuple);
        Ok(Next::Emitted)
    }

    fn fail(&mut self, tuple: I::Item, _: FailReason) {
        self.again.push_back(tuple);
    }
}
