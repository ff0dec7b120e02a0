//! The calls that are under way: futures in a slab, and the list of those that were woken.
//!
//! A place in the slab is a box that is used again and again, so a call allocates nothing here; and
//! a future is only looked at when it was woken.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Which calls were woken, in order; wakers on any thread add to it.
#[derive(Debug)]
struct WakeList {
    woken: Mutex<Woken>,
}

#[derive(Debug)]
struct Woken {
    calls: Vec<u32>,
    /// Has the task called, once the list is no longer empty.
    task: Waker,
}

impl WakeList {
    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one place in the slab: a wake for a call that has ended is for its successor, which
/// is looked at once too often.
#[derive(Debug)]
struct CallWaker {
    at: u32,
    /// It is in the list.
    listed: AtomicBool,
    list: Arc<WakeList>,
}

impl Wake for CallWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut woken = self.list.lock();
        woken.calls.push(self.at);
        let first = (woken.calls.len() == 1).then(|| woken.task.clone());
        drop(woken);
        if let Some(task) = first {
            task.wake();
        }
    }
}

#[derive(Debug)]
struct Place<F> {
    future: Pin<Box<Option<F>>>,
    flag: Arc<CallWaker>,
    waker: Waker,
}

/// The futures of the calls that are under way.
#[derive(Debug)]
pub(super) struct Calls<F> {
    places: Vec<Place<F>>,
    free: Vec<u32>,
    list: Arc<WakeList>,
    /// Taken from the list and not looked at yet, the last one first.
    woken: Vec<u32>,
}

impl<F: Future> Calls<F> {
    pub(super) fn new() -> Self {
        let woken = Woken { calls: Vec::new(), task: Waker::noop().clone() };
        let list = Arc::new(WakeList { woken: Mutex::new(woken) });
        Self { places: Vec::new(), free: Vec::new(), list, woken: Vec::new() }
    }

    /// Says what to wake when a call was woken.
    pub(super) fn wake(&self, task: Waker) {
        self.list.lock().task = task;
    }

    /// How many places are taken.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Takes a place for a call, which is to be polled at once.
    pub(super) fn start(&mut self, future: F) -> u32 {
        if let Some(at) = self.free.pop() {
            self.places[at as usize].future.set(Some(future));
            return at;
        }
        let at = u32::try_from(self.places.len()).expect("the calls of a task are limited");
        let list = Arc::clone(&self.list);
        let flag = Arc::new(CallWaker { at, listed: AtomicBool::new(false), list });
        let waker = Waker::from(Arc::clone(&flag));
        self.places.push(Place { future: Box::pin(Some(future)), flag, waker });
        at
    }

    /// Lets a call go on; when it has returned, its future is dropped and its place still taken.
    pub(super) fn poll(&mut self, at: u32) -> Option<F::Output> {
        let place = &mut self.places[at as usize];
        let future = place.future.as_mut().as_pin_mut()?;
        match future.poll(&mut Context::from_waker(&place.waker)) {
            Poll::Pending => None,
            Poll::Ready(output) => {
                place.future.set(None);
                Some(output)
            }
        }
    }

    /// Drops the future of a call that has not returned; its place is still taken. Tells whether
    /// there was one.
    pub(super) fn cancel(&mut self, at: u32) -> bool {
        let place = &mut self.places[at as usize];
        let is_under_way = place.future.is_some();
        place.future.set(None);
        is_under_way
    }

    /// Tells whether the call at a place has not returned.
    pub(super) fn is_under_way(&self, at: u32) -> bool {
        self.places[at as usize].future.is_some()
    }

    /// Gives a place back.
    pub(super) fn release(&mut self, at: u32) {
        self.free.push(at);
    }

    /// The next call that was woken; a new list is only taken when `anew`, so that a call that wakes
    /// itself all the time does not keep the loop for itself.
    pub(super) fn next_woken(&mut self, anew: bool) -> Option<u32> {
        if anew && self.woken.is_empty() {
            std::mem::swap(&mut self.woken, &mut self.list.lock().calls);
            self.woken.reverse();
        }
        let at = self.woken.pop()?;
        self.places[at as usize].flag.listed.store(false, Ordering::Release);
        Some(at)
    }

    /// Tells whether calls that were woken are waiting to be looked at.
    pub(super) fn has_woken(&self) -> bool {
        !self.woken.is_empty()
    }
}
