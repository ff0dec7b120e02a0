//! Drives one instance of an async sink: gives its future what has come, and lets it go on when it was
//! woken.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use super::{Arrived, AsyncSink, Inputs};
use crate::async_bolt::{AsyncCalls, LongCalls};
use crate::input::{Input, Verdicts};
use crate::output::Emitted;
use crate::rows::{Pool, Rows};
use crate::task::{BoltTask, Factory, Fault, Hand, Task};
use crate::{BoltResult, Context, Error};

/// Drives one instance of an async sink.
pub(crate) struct SinkDriver<S: AsyncSink> {
    factory: Factory<S>,
    /// What `run` gave; nothing before the task is opened and after its end.
    running: Option<Pin<Box<dyn Future<Output = BoltResult>>>>,
    arrived: Rc<RefCell<Arrived<S::Input>>>,
    /// Something has come since the future was last looked at.
    has_news: bool,
    cx: Option<Context>,
    waker: Waker,
    /// How many tuples it may hold.
    most: u64,
    hand: Hand<S::Input>,
    verdicts: Arc<Verdicts>,
    /// Inputs given to the future.
    given: u64,
    /// Those that it had decided on when this was last asked.
    ended: u64,
    /// When those were given that are not among the ended, and how many at a time. It is taken for granted
    /// that they end in this order: of the time that they take together it says the same.
    since: VecDeque<(Duration, u64)>,
    now: Duration,
}

impl<S: AsyncSink> SinkDriver<S> {
    pub(crate) fn new(factory: Factory<S>) -> Self {
        let (inputs, ticked, finished, waker) = (Vec::new(), false, false, None);
        Self {
            factory,
            running: None,
            arrived: Rc::new(RefCell::new(Arrived { inputs, ticked, finished, waker })),
            has_news: false,
            cx: None,
            waker: Waker::noop().clone(),
            most: 1,
            hand: Hand::new(),
            verdicts: Arc::default(),
            given: 0,
            ended: 0,
            since: VecDeque::new(),
            now: Duration::ZERO,
        }
    }

    /// Inputs that wait for a verdict.
    fn held(&self) -> u64 {
        self.given.saturating_sub(self.verdicts.decided())
    }

    /// Has the future see what has come.
    fn tell(&mut self, change: impl FnOnce(&mut Arrived<S::Input>)) {
        let arrived = &mut *self.arrived.borrow_mut();
        change(arrived);
        self.has_news = true;
        if let Some(waker) = arrived.waker.take() {
            waker.wake();
        }
    }

    /// Drops the future and what it has not taken: without a verdict, these inputs fail.
    fn drop_running(&mut self) {
        drop(self.running.take());
        let left = std::mem::take(&mut self.arrived.borrow_mut().inputs);
        drop(left);
    }
}

impl<S: AsyncSink> Task for SinkDriver<S> {
    fn open(&mut self, cx: &Context) -> Result<(), Error> {
        self.verdicts.wake(cx.waker());
        self.waker = cx.waker();
        self.cx = Some(cx.clone());
        let sink = (self.factory)(cx)?;
        self.running = Some(Box::pin(sink.run(Inputs(Rc::clone(&self.arrived)))));
        self.has_news = true;
        Ok(())
    }

    fn tick(&mut self) {
        self.tell(|arrived| arrived.ticked = true);
    }

    fn close(&mut self) {
        self.drop_running();
    }

    fn take(&mut self, _: usize, _: &mut Pool) -> Option<Emitted> {
        None
    }

    fn take_several(&mut self) -> Vec<Vec<u32>> {
        Vec::new()
    }
}

impl<S: AsyncSink> BoltTask for SinkDriver<S> {
    fn load(&mut self, rows: Box<dyn Rows>, slots: &[u32]) {
        self.hand.load(rows, slots);
        self.verdicts.reserve(slots.len());
    }

    fn unload(&mut self, pool: &mut Pool) {
        self.hand.unload(pool);
    }

    fn run(&mut self, most: usize, _: usize) -> usize {
        let room = self.most.saturating_sub(self.held());
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let count = most.min(room).min(self.hand.input.len());
        if count == 0 {
            return 0;
        }
        let inputs = std::iter::from_fn(|| self.hand.next_held()).take(count);
        let inputs =
            inputs.map(|(tuple, slot)| Input::new(tuple, slot, Arc::clone(&self.verdicts)));
        self.arrived.borrow_mut().inputs.extend(inputs);
        self.given += count as u64;
        self.since.push_back((self.now, count as u64));
        match self.running {
            Some(_) => self.tell(|_| {}),
            // It has ended: what comes all the same fails.
            None => self.drop_running(),
        }
        count
    }

    fn has_work(&self) -> bool {
        self.hand.input.len() > 0
    }

    fn faults(&mut self) -> Vec<(u32, Fault)> {
        Vec::new()
    }

    fn panicked(&mut self) -> Option<u32> {
        // A panic of the future's `drop` is one more of a sink that is given up.
        drop(catch_unwind(AssertUnwindSafe(|| self.drop_running())));
        None
    }

    fn verdicts(&self) -> Option<&Arc<Verdicts>> {
        Some(&self.verdicts)
    }

    fn finish(&mut self) {
        self.tell(|arrived| arrived.finished = true);
    }
}

impl<S: AsyncSink> LongCalls for SinkDriver<S> {
    fn has_finished(&self) -> bool {
        let finishing = self.arrived.borrow().finished;
        self.held() == 0 && !(finishing && self.running.is_some())
    }

    fn limit(&mut self, limits: AsyncCalls) {
        self.most = limits.concurrency.into();
    }

    fn is_full(&self) -> bool {
        self.held() >= self.most
    }

    fn is_ready(&self) -> bool {
        self.has_news && self.running.is_some()
    }

    fn poll(&mut self, _: usize) -> Result<(), Error> {
        self.has_news = false;
        let Some(running) = &mut self.running else { return Ok(()) };
        let mut polled = task::Context::from_waker(&self.waker);
        let Poll::Ready(result) = running.as_mut().poll(&mut polled) else { return Ok(()) };
        self.drop_running();
        let finished = self.arrived.borrow().finished;
        let error: Error = match result {
            Err(error) => error,
            Ok(()) if finished => return Ok(()),
            Ok(()) => "`run` returned before its inputs had ended".into(),
        };
        self.verdicts.blame(&Fault::of(&error).into());
        match self.cx.as_ref().filter(|_| finished) {
            // There is nothing to begin anew for.
            Some(cx) => {
                cx.report_error(&error.to_string());
                Ok(())
            }
            None => Err(error),
        }
    }

    fn ended_calls(&mut self) -> (u64, Duration) {
        let decided = self.verdicts.decided();
        let ended = decided - std::mem::replace(&mut self.ended, decided);
        let (mut left, mut took) = (ended, Duration::ZERO);
        while let Some((since, count)) = self.since.front_mut().filter(|_| left > 0) {
            let these = left.min(*count);
            let each = self.now.saturating_sub(*since);
            took += each.saturating_mul(u32::try_from(these).unwrap_or(u32::MAX));
            (*count, left) = (*count - these, left - these);
            if *count == 0 {
                self.since.pop_front();
            }
        }
        (ended, took)
    }

    fn pass_time(&mut self, now: Duration) -> Option<Duration> {
        self.now = now;
        None
    }
}
