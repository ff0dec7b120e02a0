//! The thread of a blocking bolt: executes one input after the other, and leaves what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{News, Work};
use crate::Context;
use crate::blocking::{Calls, Desk, Parcel, guarded};
use crate::input::Verdict;
use crate::output::UNANCHORED;
use crate::rows::{Pool, Rows};
use crate::task::{BoltTask, Fault};

/// How many tuples of an iterator are handed over at once.
const PULL: usize = 128;

/// Leaves a parcel on the desk, once there is room for it.
fn leave(desk: &Desk<Work>, cx: &Context, parcel: Parcel, news: Option<News>) {
    let mut work = desk.lock();
    while work.parcel.is_full() && !work.common.gone {
        work = desk.wait(work);
    }
    work.parcel.merge(parcel);
    if news.is_some() {
        work.news = news;
    }
    drop(work);
    cx.waker().wake();
}

/// What an anchor of a call for the input `slot` stands for on the loop's side.
fn anchored(anchor: u32, slot: u32) -> u32 {
    if slot == EXPLICIT { anchor } else { slot }
}

/// Stands in for the slot where the anchors are slots already.
const EXPLICIT: u32 = UNANCHORED - 1;

/// What the thread is to do next.
enum Job {
    Open(Context),
    Batch(Box<dyn Rows>, Vec<u32>),
    Collect,
    /// With the batch at hand.
    GoOn,
    Tick,
    Finish,
    End,
}

/// The thread that makes the calls.
pub(super) struct Thread {
    desk: Arc<Desk<Work>>,
    /// Wakes the loop.
    cx: Context,
    task: Box<dyn BoltTask>,
    /// What emitted tuples are anchored to.
    slot: Arc<AtomicU32>,
    is_explicit: bool,
    streams: usize,
    calls: Calls,
    is_open: bool,
    pool: Pool,
}

impl Thread {
    /// Makes the thread of a task with so many streams, not opened yet.
    pub(super) fn new(
        desk: Arc<Desk<Work>>,
        cx: Context,
        mut task: Box<dyn BoltTask>,
        streams: usize,
    ) -> Self {
        let slot = Arc::new(AtomicU32::new(EXPLICIT));
        let (to, of, wake) = (Arc::clone(&desk), Arc::clone(&slot), cx.clone());
        task.hand_over_to(Box::new(move |stream, emitted, several| {
            let mut parcel = Parcel::default();
            let slot = of.load(Ordering::Relaxed);
            parcel.add(stream, emitted, several, |anchor| anchored(anchor, slot));
            leave(&to, &wake, parcel, None);
        }));
        let is_explicit = task.verdicts().is_some();
        let calls = Calls::new(&cx);
        Self {
            desk,
            cx,
            task,
            slot,
            is_explicit,
            streams,
            calls,
            is_open: false,
            pool: Pool::default(),
        }
    }

    pub(super) fn run(mut self) {
        let mut left: Option<(Box<dyn Rows>, Vec<u32>)> = None;
        loop {
            match self.next_job(left.is_some()) {
                Job::Open(cx) => self.open(&cx),
                Job::Batch(rows, slots) => left = Some((rows, slots)),
                Job::Collect => self.collect(Parcel::default(), None),
                Job::GoOn => {}
                Job::Tick => self.call_unanchored("tick", |task| task.tick()),
                Job::Finish => {
                    self.call_unanchored("finish", |task| task.finish());
                    if self.is_open {
                        leave(&self.desk, &self.cx, Parcel::default(), Some(News::Finished));
                    }
                }
                Job::End => break,
            }
            // One input at a time: what came of it leaves before the next one may take long.
            if let Some((mut rows, mut slots)) = left.take_if(|_| self.is_open) {
                let rest = rows.split_off(1);
                let slot = slots.remove(0);
                self.execute(rows, slot);
                left = (!slots.is_empty()).then_some((rest, slots));
            }
        }
        if self.is_open {
            drop(self.calls.make(|| self.task.close()));
        }
        self.desk.end();
    }

    /// Waits until there is something to do; with a batch at hand that is so at once.
    fn next_job(&self, at_hand: bool) -> Job {
        let mut work = self.desk.lock();
        loop {
            if work.common.gone {
                return Job::End;
            }
            if let Some(cx) = work.common.open.take() {
                return Job::Open(cx);
            }
            if std::mem::take(&mut work.common.woken) {
                return Job::Collect;
            }
            if self.is_open && std::mem::take(&mut work.common.tick) {
                return Job::Tick;
            }
            if self.is_open && at_hand {
                return Job::GoOn;
            }
            if self.is_open
                && let Some((rows, slots)) = work.batch.take()
            {
                drop(work);
                // There is room for the next one.
                self.cx.waker().wake();
                return Job::Batch(rows, slots);
            }
            if self.is_open && std::mem::take(&mut work.finish) {
                return Job::Finish;
            }
            work = self.desk.wait(work);
        }
    }

    fn open(&mut self, cx: &Context) {
        let text = match self.calls.make(|| self.task.open(cx)).0 {
            Ok(Ok(())) => return self.is_open = true,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panicked: {panic}"),
        };
        leave(&self.desk, &self.cx, Parcel::default(), Some(News::Unopened(text)));
    }

    fn execute(&mut self, row: Box<dyn Rows>, slot: u32) {
        self.slot.store(if self.is_explicit { EXPLICIT } else { slot }, Ordering::Relaxed);
        self.task.load(row, if self.is_explicit { std::slice::from_ref(&slot) } else { &[] });
        let mut took = Duration::ZERO;
        loop {
            let (ran, now) = self.calls.make(|| self.task.run(1, PULL));
            took += now;
            let mut parcel = Parcel::default();
            if let Err(text) = ran {
                if !self.is_explicit {
                    parcel.verdicts.push((slot, Verdict::Dropped));
                }
                return self.give_up(text, parcel);
            }
            if !self.task.has_work() {
                let fault = self.task.faults().pop().map(|(_, fault)| fault);
                self.task.unload(&mut self.pool);
                parcel.calls = (1, took);
                self.decide(slot, fault, &mut parcel);
                return self.collect(parcel, None);
            }
            self.collect(parcel, None);
        }
    }

    /// The verdict of an input that was executed.
    fn decide(&self, slot: u32, fault: Option<Fault>, parcel: &mut Parcel) {
        match fault.map_or(Verdict::Ack, Verdict::from) {
            verdict if !self.is_explicit => parcel.verdicts.push((slot, verdict)),
            // The guard has the verdict.
            Verdict::Fail(text) | Verdict::Unavailable(text) => self.cx.report_error(&text),
            _ => {}
        }
    }

    fn call_unanchored(&mut self, what: &str, call: impl FnOnce(&mut dyn BoltTask)) {
        self.slot.store(EXPLICIT, Ordering::Relaxed);
        let mut called = self.calls.make(|| call(&mut *self.task)).0;
        // What it gave to `emit_from` leaves as the loop takes it.
        while called.is_ok() && self.task.has_work() {
            self.collect(Parcel::default(), None);
            called = self.calls.make(|| self.task.run(1, PULL)).0.map(|_| ());
        }
        match called {
            Ok(()) => self.collect(Parcel::default(), None),
            Err(text) => self.give_up(format!("in `{what}`: {text}"), Parcel::default()),
        }
    }

    /// The instance panicked: it goes, and the loop opens another after a pause.
    fn give_up(&mut self, text: String, parcel: Parcel) {
        self.is_open = false;
        drop(guarded(|| self.task.panicked()));
        self.collect(parcel, Some(News::Panicked(text)));
    }

    /// Leaves what was emitted and decided since the last time: first the tuples, then the verdicts.
    fn collect(&mut self, decided: Parcel, news: Option<News>) {
        let slot = self.slot.load(Ordering::Relaxed);
        let mut parcel = Parcel::default();
        let mut several = self.task.take_several();
        for stream in 0..self.streams {
            if let Some(emitted) = self.task.take(stream, &mut self.pool) {
                let several = std::mem::take(&mut several);
                parcel.add(stream, emitted, several, |anchor| anchored(anchor, slot));
            }
        }
        if let Some(verdicts) = self.task.verdicts() {
            parcel.verdicts = verdicts.take();
        }
        parcel.merge(decided);
        if news.is_some() || !parcel.is_empty() {
            leave(&self.desk, &self.cx, parcel, news);
        }
    }
}
