//! A receipt: what became of one tuple that was sent into a topology.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What became of a tuple.
///
/// ```
/// use topology_api::Outcome;
///
/// assert_ne!(Outcome::Failed("timeout"), Outcome::Lost);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It and all that came of it was processed.
    Acked,
    /// It failed, for the reason of this name ([`FailReason::name`](crate::FailReason::name)).
    Failed(&'static str),
    /// Its spout ended before that was known.
    Lost,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    told: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The spout's end; dropped without a word, the tuple is lost.
#[derive(Debug)]
pub(super) struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// Tells the outcome; the first one holds.
    pub(super) fn tell(&self, outcome: Outcome) {
        let mut state = self.shared.state();
        state.outcome.get_or_insert(outcome);
        let waker = state.waker.take();
        drop(state);
        self.shared.told.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.tell(Outcome::Lost);
    }
}

/// Makes both ends.
pub(super) fn new() -> (Sender, Receipt) {
    let shared = Arc::<Shared>::default();
    (Sender { shared: Arc::clone(&shared) }, Receipt { shared })
}

/// What becomes of a tuple: to wait for, to look at, or to `await`.
///
/// ```
/// use topology_api::{Line, Outcome, channel};
///
/// let (feeder, spout) = channel(10);
/// let receipt = feeder.send_with_receipt(Line { text: "one".into() }).unwrap();
/// drop(spout);
/// assert_eq!(receipt.wait(), Outcome::Lost);
/// ```
#[derive(Debug)]
#[must_use = "dropped, it tells nobody: use `send` to have the tuple emitted again when it fails"]
pub struct Receipt {
    shared: Arc<Shared>,
}

impl Receipt {
    /// Gives the outcome, if it is known.
    pub fn outcome(&self) -> Option<Outcome> {
        self.shared.state().outcome
    }

    /// Waits until the outcome is known. Blocks the thread.
    pub fn wait(self) -> Outcome {
        let mut state = self.shared.state();
        loop {
            match state.outcome {
                Some(outcome) => return outcome,
                None => {
                    let told = self.shared.told.wait(state);
                    state = told.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Waits until the outcome is known, for so long at most; `None` if it is not known then.
    pub fn wait_for(&self, time: Duration) -> Option<Outcome> {
        let state = self.shared.state();
        let waited =
            self.shared.told.wait_timeout_while(state, time, |state| state.outcome.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.outcome
    }
}

impl Future for Receipt {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.shared.state();
        match state.outcome {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
