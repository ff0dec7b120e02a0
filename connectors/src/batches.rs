//! Calls of one task that share round trips: what waits goes out together, in order, one batch at a time.
//!
//! Each call of an async bolt leaves a job here and waits for its result. One of the calls that wait
//! drives the batch that is under way; when it has ended, whatever came meanwhile is the next batch. So
//! batches grow with the load, and a single tuple waits for nobody.
//!
//! Jobs that are to be tried again go back to the front, in their order, and nothing overtakes them:
//! that is how order is kept over retries.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::Retry;

/// What became of a job in one try.
#[cfg_attr(
    not(any(feature = "redis", test)),
    expect(dead_code, reason = "HTTP out tries its requests again by itself")
)]
#[derive(Debug)]
pub(crate) enum Outcome<R> {
    /// It is done, for good or ill.
    Done(Result<R, String>),
    /// It failed for this reason, and may go better another time.
    Again(String),
    /// It was not its turn, by no fault of its own.
    Untried,
}

/// What a try of a batch leaves: its jobs, in order, each with what became of it.
pub(crate) type Tried<J, R> = Vec<(J, Outcome<R>)>;

/// How large a batch may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    /// Most jobs.
    pub(crate) jobs: usize,
    /// Most bytes, as the jobs weigh; a single job may weigh more.
    pub(crate) bytes: usize,
}

/// A job that waits for its turn.
struct Waiting<J> {
    ticket: usize,
    job: J,
    bytes: usize,
    /// How many tries have failed.
    failed: u32,
}

/// The jobs that wait, in order.
struct Line<J> {
    waiting: VecDeque<Waiting<J>>,
    /// Of the batch that is under way: ticket, weight and failed tries of each of its jobs.
    away: Vec<(usize, usize, u32)>,
}

impl<J> Line<J> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), away: Vec::new() }
    }

    /// Takes the next batch from the front; nobody waits for those that `is_given_up`.
    fn take(&mut self, limits: BatchLimits, mut is_given_up: impl FnMut(usize) -> bool) -> Vec<J> {
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        while jobs.len() < limits.jobs {
            let Some(next) = self.waiting.front() else { break };
            if !jobs.is_empty() && bytes + next.bytes > limits.bytes {
                break;
            }
            let Some(next) = self.waiting.pop_front() else { break };
            if is_given_up(next.ticket) {
                continue;
            }
            bytes += next.bytes;
            self.away.push((next.ticket, next.bytes, next.failed));
            jobs.push(next.job);
        }
        jobs
    }

    /// Puts back what is to be tried again, and gives the results of the others by ticket.
    fn settle<R>(&mut self, tried: Tried<J, R>, retry: &Retry) -> Vec<(usize, Result<R, String>)> {
        let mut done = Vec::new();
        // From behind, so that those that go back to the front end up in their order.
        for ((ticket, bytes, failed), (job, outcome)) in self.away.drain(..).zip(tried).rev() {
            let failed = match outcome {
                Outcome::Done(result) => {
                    done.push((ticket, result));
                    continue;
                }
                Outcome::Untried => failed,
                Outcome::Again(why) if retry.wait(failed + 1, 1.0).is_none() => {
                    done.push((ticket, Err(format!("{why} (tried {} times)", failed + 1))));
                    continue;
                }
                Outcome::Again(_) => failed + 1,
            };
            self.waiting.push_front(Waiting { ticket, job, bytes, failed });
        }
        done.reverse();
        done
    }
}

/// What is known of a call.
struct Place<R> {
    waker: Option<Waker>,
    result: Option<Result<R, String>>,
    /// Its job waits or is away.
    is_open: bool,
    /// The call was dropped; its job is not to be tried any more.
    given_up: bool,
}

type Flight<J, R> = Pin<Box<dyn Future<Output = Tried<J, R>>>>;

struct State<J, R> {
    line: Line<J>,
    places: Vec<Place<R>>,
    free: Vec<usize>,
    flight: Option<Flight<J, R>>,
    /// The call that drives the batch.
    driver: Option<usize>,
}

impl<J, R> State<J, R> {
    fn enter(&mut self, job: J, bytes: usize) -> usize {
        let place = Place { waker: None, result: None, is_open: true, given_up: false };
        let ticket = match self.free.pop() {
            Some(ticket) => {
                self.places[ticket] = place;
                ticket
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        };
        self.line.waiting.push_back(Waiting { ticket, job, bytes, failed: 0 });
        ticket
    }

    /// The next batch, if there is one; gives back the places of those that were given up.
    fn next_batch(&mut self, limits: BatchLimits) -> Vec<J> {
        let (places, free) = (&self.places, &mut self.free);
        self.line.take(limits, |ticket| {
            let given_up = places[ticket].given_up;
            if given_up {
                free.push(ticket);
            }
            given_up
        })
    }

    fn settle(&mut self, tried: Tried<J, R>, retry: &Retry) {
        for (ticket, result) in self.line.settle(tried, retry) {
            let place = &mut self.places[ticket];
            if place.given_up {
                self.free.push(ticket);
                continue;
            }
            place.is_open = false;
            place.result = Some(result);
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }

    /// Nobody drives any more: somebody who waits is to go on.
    fn pass_on(&mut self) {
        self.driver = None;
        let away = self.line.away.iter().map(|(ticket, ..)| *ticket);
        let waiting = self.line.waiting.iter().map(|it| it.ticket);
        let next = away.chain(waiting).find(|ticket| !self.places[*ticket].given_up);
        if let Some(waker) = next.and_then(|ticket| self.places[ticket].waker.take()) {
            waker.wake();
        }
    }
}

/// Jobs of the calls of one task, in batches.
pub(crate) struct Batches<J, R> {
    state: RefCell<State<J, R>>,
    limits: BatchLimits,
    retry: Retry,
}

impl<J, R> Batches<J, R> {
    /// None yet; a job is tried as often as `retry` says.
    pub(crate) fn new(limits: BatchLimits, retry: Retry) -> Self {
        let (places, free) = (Vec::new(), Vec::new());
        let state = State { line: Line::new(), places, free, flight: None, driver: None };
        Self { state: RefCell::new(state), limits, retry }
    }

    /// Waits until a job is done; `attempt` tries a batch, the jobs of other calls among it.
    pub(crate) async fn call<A, F>(&self, job: J, bytes: usize, attempt: A) -> Result<R, String>
    where
        A: Fn(Vec<J>) -> F,
        F: Future<Output = Tried<J, R>> + 'static,
    {
        let ticket = self.state.borrow_mut().enter(job, bytes);
        let call = Call { batches: self, ticket };
        poll_fn(|cx| call.poll(cx, &attempt)).await
    }
}

/// A call that waits; gives its job up when it is dropped.
struct Call<'a, J, R> {
    batches: &'a Batches<J, R>,
    ticket: usize,
}

impl<J, R> Call<'_, J, R> {
    fn poll<A, F>(&self, cx: &mut Context<'_>, attempt: &A) -> Poll<Result<R, String>>
    where
        A: Fn(Vec<J>) -> F,
        F: Future<Output = Tried<J, R>> + 'static,
    {
        loop {
            let mut state = self.batches.state.borrow_mut();
            if let Some(result) = state.places[self.ticket].result.take() {
                return Poll::Ready(result);
            }
            state.places[self.ticket].waker = Some(cx.waker().clone());
            if state.driver.is_some_and(|driver| driver != self.ticket) {
                return Poll::Pending;
            }
            state.driver = Some(self.ticket);
            let flight = state.flight.take();
            let mut flight = match flight {
                Some(flight) => flight,
                None => {
                    let jobs = state.next_batch(self.batches.limits);
                    Box::pin(attempt(jobs)) as Flight<J, R>
                }
            };
            // Not borrowed while it goes on: what it wakes may want to look.
            drop(state);
            let polled = flight.as_mut().poll(cx);
            let mut state = self.batches.state.borrow_mut();
            match polled {
                Poll::Pending => {
                    state.flight = Some(flight);
                    return Poll::Pending;
                }
                Poll::Ready(tried) => state.settle(tried, &self.batches.retry),
            }
        }
    }
}

impl<J, R> Drop for Call<'_, J, R> {
    fn drop(&mut self) {
        let mut state = self.batches.state.borrow_mut();
        if state.places[self.ticket].is_open {
            state.places[self.ticket].given_up = true;
        } else {
            state.free.push(self.ticket);
        }
        if state.driver == Some(self.ticket) {
            state.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    fn retry() -> Retry {
        Retry::new(Duration::from_millis(1), Duration::from_millis(1))
    }

    proptest! {
        #[test]
        fn what_is_tried_again_keeps_its_order_and_nothing_is_lost(
            batches in prop::collection::vec((0_usize..20, any::<bool>(), 1_usize..9), 1..40),
        ) {
            let (mut line, mut pushed, mut done) = (Line::new(), 0, Vec::new());
            let mut turn = |line: &mut Line<usize>, fails: bool, most: usize| {
                let jobs = line.take(BatchLimits { jobs: most, bytes: 100 }, |_| false);
                assert!(jobs.len() <= 10, "ten bytes each");
                let outcome = |job| match fails {
                    true => (job, Outcome::Again("away".to_owned())),
                    false => (job, Outcome::Done(Ok(job))),
                };
                let settled = line.settle(jobs.into_iter().map(outcome).collect(), &retry());
                done.extend(settled.into_iter().map(|(_, result)| result.unwrap()));
            };
            for (more, fails, most) in batches {
                for job in pushed..pushed + more {
                    line.waiting.push_back(Waiting { ticket: job, job, bytes: 10, failed: 0 });
                }
                pushed += more;
                turn(&mut line, fails, most);
            }
            while !line.waiting.is_empty() {
                turn(&mut line, false, 100);
            }
            prop_assert_eq!(done, (0..pushed).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_job_is_given_up_after_its_tries_and_the_others_are_not() {
        let mut line = Line::new();
        for job in 0..2 {
            line.waiting.push_back(Waiting { ticket: job, job, bytes: 1, failed: 0 });
        }
        let limits = BatchLimits { jobs: 10, bytes: 10 };
        let twice = retry().attempts(2);
        let mut results = Vec::new();
        for _ in 0..2 {
            let jobs = line.take(limits, |_| false);
            let tried = jobs.into_iter().map(|job| match job {
                0 => (job, Outcome::Again("it is away".to_owned())),
                _ => (job, Outcome::Untried),
            });
            results.extend(line.settle::<()>(tried.collect(), &twice));
        }
        assert_eq!(results, [(0, Err("it is away (tried 2 times)".to_owned()))]);
        assert_eq!(line.waiting.len(), 1, "the one that was not tried waits on");
    }

    #[tokio::test]
    async fn what_comes_while_a_batch_is_under_way_goes_out_together() {
        let batches = Batches::new(BatchLimits { jobs: 100, bytes: 100 }, retry());
        let sizes = Rc::new(Cell::new((0, 0)));
        let attempt = |jobs: Vec<u32>| {
            let (count, most) = sizes.get();
            sizes.set((count + 1, jobs.len().max(most)));
            async move {
                tokio::task::yield_now().await;
                jobs.into_iter().map(|job| (job, Outcome::Done(Ok(job * 2)))).collect()
            }
        };
        let calls = (1..=5).map(|job| Box::pin(batches.call(job, 1, &attempt)));
        let mut calls: Vec<_> = calls.collect();
        let mut results = Vec::new();
        poll_fn(|cx| {
            calls.retain_mut(|call| match call.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    results.push(result.unwrap());
                    false
                }
                Poll::Pending => true,
            });
            if calls.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(results, [2, 4, 6, 8, 10]);
        assert_eq!(sizes.get(), (2, 4), "the first alone, then the four that came meanwhile");
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_leaves_its_batch_to_another() {
        let batches = Batches::new(BatchLimits { jobs: 1, bytes: 100 }, retry());
        let tried = Rc::new(RefCell::new(Vec::new()));
        let attempt = |jobs: Vec<u32>| {
            tried.borrow_mut().extend(jobs.iter().copied());
            async move {
                tokio::task::yield_now().await;
                jobs.into_iter().map(|job| (job, Outcome::Done(Ok(job)))).collect()
            }
        };
        let mut first = Box::pin(batches.call(1, 1, &attempt));
        let mut second = Box::pin(batches.call(2, 1, &attempt));
        let third = batches.call(3, 1, &attempt);
        let begun = poll_fn(|cx| {
            Poll::Ready((
                first.as_mut().poll(cx).is_pending(),
                second.as_mut().poll(cx).is_pending(),
            ))
        });
        assert_eq!(begun.await, (true, true));
        drop((first, second));
        assert_eq!(third.await, Ok(3));
        assert_eq!(*tried.borrow(), [1, 3], "the second was given up before its turn");
    }
}
