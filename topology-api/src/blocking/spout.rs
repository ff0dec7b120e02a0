//! A blocking spout: the task that the loop drives, and the thread that asks the source.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use super::{Calls, Common, Desk, State, Unopened};
use crate::output::{Emitted, SpoutOutput};
use crate::task::{Elsewhere, Factory, SpoutTask, Task};
use crate::{Context, Error, FailReason, Next, Spout};

/// Tuples that wait for the loop before the thread waits.
const TUPLES: usize = 128;

/// Bytes that wait before it waits.
const BYTES: usize = 1024 * 1024;

/// How many tuples a call emits before it hands over.
const HAND_OVER: usize = 32;

/// First pause after a spout had nothing.
const IDLE_FIRST: Duration = Duration::from_micros(100);

/// Longest pause of a spout that has nothing.
const IDLE_MAX: Duration = Duration::from_millis(10);

/// What a spout emitted and the loop has not taken.
struct Parcel<Id> {
    /// By stream; anchors are places among the ids.
    emitted: Vec<Option<Emitted>>,
    ids: Vec<Id>,
    tuples: usize,
    bytes: usize,
}

impl<Id> Default for Parcel<Id> {
    fn default() -> Self {
        Self { emitted: Vec::new(), ids: Vec::new(), tuples: 0, bytes: 0 }
    }
}

impl<Id> Parcel<Id> {
    fn is_full(&self) -> bool {
        self.tuples >= TUPLES || self.bytes >= BYTES
    }

    fn add(&mut self, emitted: Vec<Option<Emitted>>, ids: Vec<Id>) {
        let base = u32::try_from(self.ids.len()).expect("a parcel is small");
        self.ids.extend(ids);
        self.emitted.resize_with(emitted.len(), || None);
        for (before, emitted) in self.emitted.iter_mut().zip(emitted) {
            let Some(mut emitted) = emitted else { continue };
            self.tuples += emitted.rows.len();
            self.bytes += emitted.rows.weight();
            emitted.shift(base);
            match before {
                Some(before) => before.append(emitted),
                None => *before = Some(emitted),
            }
        }
    }
}

/// The desk of a spout.
struct Source<Id> {
    common: Common,
    /// Verdicts that the spout has not been told.
    settled: Vec<(Id, Option<FailReason>)>,
    active: Option<bool>,
    parcel: Parcel<Id>,
    news: Option<News>,
    /// The spout is not asked until the loop asks for more.
    rests: bool,
}

impl<Id> Default for Source<Id> {
    fn default() -> Self {
        let (settled, parcel) = (Vec::new(), Parcel::default());
        Self { common: Common::default(), settled, active: None, parcel, news: None, rests: false }
    }
}

impl<Id: Send + 'static> State for Source<Id> {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// What the loop is told behind the last parcel.
enum News {
    Unopened(String),
    Finished,
    Failed(Error),
    Panicked(String),
}

type Start<S> = (Factory<S>, SpoutOutput<<S as Spout>::Output, <S as Spout>::Id>);

/// A task of a blocking spout, as its loop sees it.
pub(crate) struct BlockingSpout<S: Spout> {
    desk: Arc<Desk<Source<S::Id>>>,
    /// What the thread takes with it.
    start: Option<Start<S>>,
    started: bool,
    parcel: Parcel<S::Id>,
    /// Message ids of open trees, by slot.
    filed: Vec<Option<S::Id>>,
}

impl<S: Spout> BlockingSpout<S> {
    pub(crate) fn new(factory: Factory<S>, out: SpoutOutput<S::Output, S::Id>) -> Self {
        Self {
            desk: Desk::new(),
            start: Some((factory, out)),
            started: false,
            parcel: Parcel::default(),
            filed: Vec::new(),
        }
    }
}

impl<S: Spout> Drop for BlockingSpout<S> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<S: Spout> Task for BlockingSpout<S> {
    fn open(&mut self, cx: &Context) -> Result<(), Error> {
        let start = &mut self.start;
        let took = start.take();
        self.desk.open(cx, &mut self.started, move |desk, cx| {
            let Some((factory, mut out)) = took else { return desk.end() };
            let (to, wake) = (Arc::clone(&desk), cx.waker());
            out.hand_over_at(
                HAND_OVER,
                Box::new(move |emitted, ids| {
                    let mut source = to.lock();
                    while source.parcel.is_full() && !source.common.gone {
                        source = to.wait(source);
                    }
                    source.parcel.add(emitted, ids);
                    drop(source);
                    wake.wake_by_ref();
                }),
            );
            let calls = Calls::new(&cx);
            let idle = IDLE_FIRST;
            Thread { desk, cx, spout: None, factory, out, calls, active: false, idle }.run();
        })
    }

    fn tick(&mut self) {
        self.desk.tell(|source| source.common.tick = true);
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.started) {
            self.desk.close();
        }
    }

    fn take(&mut self, stream: usize) -> Option<Emitted> {
        self.parcel.emitted.get_mut(stream)?.take()
    }

    fn take_several(&mut self) -> Vec<Vec<u32>> {
        Vec::new()
    }
}

impl<S: Spout> SpoutTask for BlockingSpout<S> {
    fn next(&mut self, _: usize) -> Result<Next, Error> {
        let mut source = self.desk.lock();
        if source.parcel.tuples > 0 {
            self.parcel = std::mem::take(&mut source.parcel);
            drop(source);
            self.desk.changed.notify_all();
            return Ok(Next::Emitted);
        }
        match source.news.take() {
            Some(News::Finished) => return Ok(Next::Finished),
            Some(News::Failed(error)) => return Err(error),
            Some(News::Unopened(text)) => return Err(Unopened(text).into()),
            Some(News::Panicked(text)) => {
                drop(source);
                // As if the call had been made here.
                resume_unwind(Box::new(text));
            }
            None => {}
        }
        source.rests = false;
        drop(source);
        self.desk.changed.notify_all();
        Ok(Next::Idle)
    }

    fn id_count(&self) -> usize {
        self.parcel.ids.len()
    }

    fn file_ids(&mut self, slots: &[u32]) {
        for (slot, id) in slots.iter().zip(self.parcel.ids.drain(..)) {
            let slot = *slot as usize;
            if slot >= self.filed.len() {
                self.filed.resize_with(slot + 1, || None);
            }
            self.filed[slot] = Some(id);
        }
    }

    fn ack_ids(&mut self) {
        let acked = self.parcel.ids.drain(..).map(|id| (id, None));
        self.desk.tell(|source| source.settled.extend(acked));
    }

    fn settle(&mut self, slot: u32, failure: Option<FailReason>) {
        let Some(id) = self.filed.get_mut(slot as usize).and_then(Option::take) else { return };
        self.desk.tell(|source| {
            source.settled.push((id, failure));
            if failure.is_some() && matches!(source.news, Some(News::Finished)) {
                // It has something again.
                source.news = None;
                source.rests = false;
            }
        });
    }

    fn set_active(&mut self, active: bool) {
        self.desk.tell(|source| source.active = Some(active));
    }
}

impl<S: Spout> Elsewhere for BlockingSpout<S> {
    fn waits(&self) -> bool {
        true
    }

    fn into_blocking(self: Box<Self>) -> Box<dyn SpoutTask> {
        self
    }
}

/// What the thread is to do next.
enum Job<Id> {
    Open(Context),
    Settle(Vec<(Id, Option<FailReason>)>),
    Activate(bool),
    Tick,
    Next,
    End(Vec<(Id, Option<FailReason>)>),
}

/// The thread that asks the source.
struct Thread<S: Spout> {
    desk: Arc<Desk<Source<S::Id>>>,
    /// Wakes the loop.
    cx: Context,
    spout: Option<S>,
    factory: Factory<S>,
    out: SpoutOutput<S::Output, S::Id>,
    calls: Calls,
    active: bool,
    /// How long the next pause is.
    idle: Duration,
}

impl<S: Spout> Thread<S> {
    fn run(mut self) {
        let mut pause = None;
        loop {
            match self.next_job(pause.take()) {
                Job::Open(cx) => self.open(&cx),
                Job::Settle(settled) => self.settle(settled),
                Job::Activate(active) => {
                    self.active = active;
                    self.call("activate", |spout, _| {
                        if active { spout.activate() } else { spout.deactivate() }
                    });
                }
                Job::Tick => self.call("tick", |spout, out| spout.tick(out)),
                Job::Next => pause = self.next(),
                Job::End(settled) => {
                    self.settle(settled);
                    break;
                }
            }
        }
        self.call("close", |spout, _| spout.close());
        self.desk.end();
    }

    /// Waits until there is something to do; only so long before the spout is asked again.
    fn next_job(&self, mut pause: Option<Duration>) -> Job<S::Id> {
        let mut source = self.desk.lock();
        loop {
            if source.common.gone {
                return Job::End(std::mem::take(&mut source.settled));
            }
            if let Some(cx) = source.common.open.take() {
                return Job::Open(cx);
            }
            if self.spout.is_some() {
                if !source.settled.is_empty() {
                    return Job::Settle(std::mem::take(&mut source.settled));
                }
                if let Some(active) = source.active.take() {
                    return Job::Activate(active);
                }
                if std::mem::take(&mut source.common.tick) {
                    return Job::Tick;
                }
                if std::mem::take(&mut source.common.woken) {
                    pause = None;
                }
                if self.active && !source.rests && !source.parcel.is_full() {
                    let Some(time) = pause.take() else { return Job::Next };
                    source = self.desk.wait_for(source, time);
                    continue;
                }
            }
            source = self.desk.wait(source);
        }
    }

    fn open(&mut self, cx: &Context) {
        let (opened, _) = self.calls.make(|| (self.factory)(cx));
        let text = match opened {
            Ok(Ok(spout)) => return self.spout = Some(spout),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panicked: {panic}"),
        };
        self.tell(News::Unopened(text));
    }

    fn settle(&mut self, settled: Vec<(S::Id, Option<FailReason>)>) {
        for (id, failure) in settled {
            self.call("ack` or `fail", |spout, _| match failure {
                None => spout.ack(id),
                Some(reason) => spout.fail(id, reason),
            });
        }
    }

    /// Asks the spout; if it had nothing, says how long to leave it alone.
    fn next(&mut self) -> Option<Duration> {
        let spout = self.spout.as_mut()?;
        let (next, _) = self.calls.make(|| spout.next(&mut self.out));
        let emitted = self.out.hand_over();
        match next {
            Ok(Ok(Next::Emitted)) => self.idle = IDLE_FIRST,
            Ok(Ok(Next::Idle)) => {
                let pause = if emitted { IDLE_FIRST } else { self.idle };
                self.idle = (pause * 2).min(IDLE_MAX);
                return Some(pause);
            }
            Ok(Ok(Next::Finished)) => self.tell(News::Finished),
            Ok(Err(error)) => self.tell(News::Failed(error)),
            Err(panic) => self.tell(News::Panicked(panic)),
        }
        None
    }

    /// Tells the loop, and rests until it asks for more.
    fn tell(&self, news: News) {
        self.desk.tell(|source| {
            let failed = source.settled.iter().any(|(_, failure)| failure.is_some());
            // A tuple that failed meanwhile may be emitted again.
            if !(failed && matches!(news, News::Finished)) {
                source.news = Some(news);
                source.rests = true;
            }
        });
        self.cx.waker().wake();
    }

    /// Makes a call that asks for no tuple; a panic is shown.
    fn call(&mut self, what: &str, call: impl FnOnce(&mut S, &mut SpoutOutput<S::Output, S::Id>)) {
        let Some(spout) = &mut self.spout else { return };
        let (called, _) = self.calls.make(|| call(spout, &mut self.out));
        self.out.hand_over();
        if let Err(text) = called {
            self.cx.report_error(&format!("panicked in `{what}`: {text}"));
        }
    }
}
