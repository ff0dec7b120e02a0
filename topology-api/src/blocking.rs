//! Blocking components: each task on a thread of its own, where a call may sleep, and where `emit`
//! waits for room.
//!
//! The executor stays on a loop, with its mailbox, its outbox and, for a spout, the ledger: acks are
//! folded, routing tables adopted and batches routed whatever the thread is busy with. Loop and
//! thread meet at a desk. The loop leaves batches, verdicts and the like there; the thread leaves
//! parcels: what was emitted, then the verdicts that depend on it. Neither waits for the other
//! but where the thread has left more than the loop could take.

mod bolt;
mod parcel;
mod spout;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

pub(crate) use bolt::BlockingBolt;
pub(crate) use parcel::Parcel;
pub(crate) use spout::BlockingSpout;

use crate::context::Watch;
use crate::{Context, Error};

/// How long a task that ends waits for its thread; one that is stuck is left behind.
const CLOSE: Duration = Duration::from_secs(1);

/// The factory of a blocking component failed, on its thread.
#[derive(Debug)]
pub struct Unopened(pub(crate) String);

impl std::fmt::Display for Unopened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unopened {}

/// What both sides of every desk know.
#[derive(Default)]
struct Common {
    /// The task is to be opened.
    open: Option<Context>,
    /// Somebody used the waker that the component has.
    woken: bool,
    tick: bool,
    /// Nobody takes parcels any more: the thread is to end.
    gone: bool,
    /// The thread has ended.
    ended: bool,
}

/// What lies on a desk.
trait State: Default + Send + 'static {
    fn common(&mut self) -> &mut Common;
}

/// Where a loop and the thread of a task meet.
struct Desk<S> {
    state: Mutex<S>,
    /// The thread looks again.
    changed: Condvar,
}

impl<S: State> Desk<S> {
    fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, S>) -> MutexGuard<'a, S> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(&self, state: MutexGuard<'a, S>, time: Duration) -> MutexGuard<'a, S> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Leaves something for the thread.
    fn tell(&self, change: impl FnOnce(&mut S)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Has the thread open its instance, and starts it before the first time.
    fn open(
        self: &Arc<Self>,
        cx: &Context,
        started: &mut bool,
        run: impl FnOnce(Arc<Self>, Context) + Send + 'static,
    ) -> Result<(), Error> {
        // Who wakes the component means its thread.
        let own = cx.with_waker(Waker::from(Arc::clone(self)));
        self.tell(|state| state.common().open = Some(own));
        if !*started {
            let (desk, cx) = (Arc::clone(self), cx.clone());
            let name = format!("{}-{}", cx.component(), cx.task_index());
            std::thread::Builder::new().name(name).spawn(move || run(desk, cx))?;
            *started = true;
        }
        Ok(())
    }

    /// Tells the thread to end, and waits for it a little.
    fn close(&self) {
        let mut state = self.lock();
        state.common().gone = true;
        self.changed.notify_all();
        let ended = |state: &mut S| !state.common().ended;
        drop(self.changed.wait_timeout_while(state, CLOSE, ended));
    }

    /// The thread ends.
    fn end(&self) {
        self.tell(|state| state.common().ended = true);
    }
}

impl<S: State> Wake for Desk<S> {
    fn wake(self: Arc<Self>) {
        self.tell(|state| state.common().woken = true);
    }
}

/// The calls of a thread, seen by whoever looks for stuck ones.
struct Calls {
    task: u32,
    watch: Option<Arc<dyn Watch>>,
}

impl Calls {
    fn new(cx: &Context) -> Self {
        Self { task: cx.task(), watch: cx.watch() }
    }

    /// Makes a call so that a panic stays its own; tells how long it took, too.
    fn make<R>(&self, call: impl FnOnce() -> R) -> (Result<R, String>, Duration) {
        let Some(watch) = &self.watch else { return (guarded(call), Duration::ZERO) };
        watch.begin(self.task);
        let result = guarded(call);
        (result, watch.end())
    }
}

/// Calls a component so that a panic of its stays its own.
///
/// # Errors
///
/// The text of the panic.
pub fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    result.map_err(|panic| {
        if let Some(text) = panic.downcast_ref::<&str>() {
            (*text).to_owned()
        } else if let Some(text) = panic.downcast_ref::<String>() {
            text.clone()
        } else {
            "panicked with something that is not text".to_owned()
        }
    })
}
