//! The thread of a blocking spout: asks the source, and tells it what became of its tuples.

use std::sync::Arc;
use std::time::Duration;

use super::{Failed, News, Source};
use crate::blocking::{Calls, Desk};
use crate::output::SpoutOutput;
use crate::said::saying;
use crate::task::Factory;
use crate::{Context, Next, Spout};

/// Longest pause of a spout that has nothing.
const IDLE_MAX: Duration = Duration::from_millis(10);

/// First pause after a spout had nothing.
const IDLE_FIRST: Duration = Duration::from_micros(100);

/// What the thread is to do next.
enum Job<Id> {
    Open(Context),
    Settle(Vec<(Id, Option<Failed>)>),
    Activate(bool),
    Tick,
    Next,
    End(Vec<(Id, Option<Failed>)>),
}

/// The thread that asks the source.
pub(super) struct Thread<S: Spout> {
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
    /// Makes the thread of a task that is not opened yet.
    pub(super) fn new(
        desk: Arc<Desk<Source<S::Id>>>,
        cx: Context,
        (factory, out): (Factory<S>, SpoutOutput<S::Output, S::Id>),
    ) -> Self {
        let calls = Calls::new(&cx);
        Self { desk, cx, spout: None, factory, out, calls, active: false, idle: IDLE_FIRST }
    }

    pub(super) fn run(mut self) {
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
        self.out.output.set_context(cx);
        let (opened, _) = self.calls.make(|| (self.factory)(cx));
        let text = match opened {
            Ok(Ok(spout)) => return self.spout = Some(spout),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panicked: {panic}"),
        };
        self.tell(News::Unopened(text));
    }

    fn settle(&mut self, settled: Vec<(S::Id, Option<Failed>)>) {
        for (id, failure) in settled {
            self.call("ack` or `fail", |spout, _| match failure {
                None => spout.ack(id),
                Some((reason, said)) => saying(said, || spout.fail(id, reason)),
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
