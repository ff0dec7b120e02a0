//! A tuple with its verdict in hand: what the explicit form of a bolt gets.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was processed.
    Ack,
    /// It was not, for this reason.
    Fail(String),
    /// It was not, since something is away, as this text says.
    Unavailable(String),
    /// Its call emitted more than its budget.
    TooMuchOutput,
    /// Its call took too long, as this text says.
    Late(String),
    /// Its guard was dropped without a word.
    Dropped,
    /// It is still being worked on: the clock of its trees starts again.
    ResetTimeout,
}

/// Where the guards of one task leave their verdicts, from whatever thread.
#[derive(Debug, Default)]
pub struct Verdicts {
    given: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    verdicts: Vec<(u32, Verdict)>,
    /// How many inputs were decided on in all.
    decided: u64,
    /// Woken by the first verdict after they were taken: it may come from another thread.
    waker: Option<Waker>,
}

impl Verdicts {
    /// Reserves room for the verdicts of `count` more inputs, so that giving one cannot fail.
    pub fn reserve(&self, count: usize) {
        self.lock().verdicts.reserve(count);
    }

    /// Says what to wake when there are verdicts to be taken.
    pub(crate) fn wake(&self, waker: Waker) {
        self.lock().waker = Some(waker);
    }

    pub(crate) fn give(&self, slot: u32, verdict: Verdict) {
        let mut given = self.lock();
        given.decided += u64::from(verdict != Verdict::ResetTimeout);
        given.verdicts.push((slot, verdict));
        if given.verdicts.len() == 1
            && let Some(waker) = &given.waker
        {
            waker.wake_by_ref();
        }
    }

    /// How many inputs were decided on so far, whether their verdicts were taken or not.
    pub(crate) fn decided(&self) -> u64 {
        self.lock().decided
    }

    /// Has this be the verdict on all guards that were dropped and not taken yet.
    pub(crate) fn blame(&self, verdict: &Verdict) {
        let given = &mut *self.lock();
        let dropped = given.verdicts.iter_mut().filter(|(_, given)| *given == Verdict::Dropped);
        dropped.for_each(|(_, given)| given.clone_from(verdict));
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the verdicts given so far.
    #[must_use]
    pub fn take(&self) -> Vec<(u32, Verdict)> {
        std::mem::take(&mut self.lock().verdicts)
    }
}

/// An input tuple that must be acked or failed; dropped without either, it fails.
///
/// It may be kept over calls and sent to other threads.
#[derive(Debug)]
pub struct Input<T> {
    value: T,
    slot: u32,
    /// `None` once the verdict was given.
    verdicts: Option<Arc<Verdicts>>,
}

impl<T> Input<T> {
    pub(crate) fn new(value: T, slot: u32, verdicts: Arc<Verdicts>) -> Self {
        Self { value, slot, verdicts: Some(verdicts) }
    }

    /// Says that the tuple was processed.
    pub fn ack(mut self) {
        self.settle(Verdict::Ack);
    }

    /// Says that the tuple could not be processed: its spout is told, with the reason.
    pub fn fail(mut self, reason: impl Into<String>) {
        self.settle(Verdict::Fail(reason.into()));
    }

    /// Says that the tuple could not be processed now, since something is away: it fails, but not by its
    /// own fault, see [`Unavailable`](crate::Unavailable).
    pub fn unavailable(mut self, reason: impl Into<String>) {
        self.settle(Verdict::Unavailable(reason.into()));
    }

    /// Says that the tuple is still being worked on: its timeout starts again.
    pub fn reset_timeout(&self) {
        if let Some(verdicts) = &self.verdicts {
            verdicts.give(self.slot, Verdict::ResetTimeout);
        }
    }

    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    fn settle(&mut self, verdict: Verdict) {
        if let Some(verdicts) = self.verdicts.take() {
            verdicts.give(self.slot, verdict);
        }
    }
}

impl<T> Deref for Input<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Input<T> {
    fn drop(&mut self) {
        self.settle(Verdict::Dropped);
    }
}
