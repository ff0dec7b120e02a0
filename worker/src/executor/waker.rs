//! How other threads have a task called: a flag of its own, and a poke for the loop it is on.
//!
//! What a component waits for outside (a channel, a socket, a thread of its own) comes while its
//! loop sleeps, or while the task pauses because it had nothing. The task's waker ends both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use crate::executor::inbox::Inbox;

/// Has one task called soon; behind `Context::waker`.
///
/// ```
/// use std::sync::Arc;
/// use worker::executor::{inbox::Inbox, waker::TaskWaker};
///
/// let waker = TaskWaker::new(Arc::new(Inbox::default()));
/// waker.as_waker().wake();
/// assert!(waker.take(), "the task is to be called");
/// assert!(!waker.take(), "once");
/// ```
#[derive(Debug)]
pub struct TaskWaker {
    woken: AtomicBool,
    inbox: Arc<Inbox>,
}

impl TaskWaker {
    /// Makes the waker of a task on the loop with this inbox.
    #[must_use]
    pub fn new(inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self { woken: AtomicBool::new(false), inbox })
    }

    /// What the component gets.
    #[must_use]
    pub fn as_waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Tells whether the task was woken since this was last asked.
    #[inline]
    pub fn take(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::Acquire)
    }

    /// Tells whether the task was woken, and leaves it so.
    #[inline]
    #[must_use]
    pub fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.inbox.wake();
    }
}
