//! Drives one instance of an async bolt: starts calls, lets those that were woken go on, and hands
//! over what the ended ones emitted, each with its verdict.

mod turns;

use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::calls::Calls;
use super::{AsyncBolt, AsyncCalls, LongCalls};
use crate::input::{Verdict, Verdicts};
use crate::output::{Emitted, MakeLane, Output, UNANCHORED};
use crate::rows::{Pool, Rows};
use crate::task::{BoltTask, Factory, Fault, Hand, Task};
use crate::{BoltResult, Context, Error, format_duration};

/// What a call is about.
pub(crate) enum Call<I> {
    Execute(I),
    Tick,
    Finish,
}

/// What a call leaves: its output, which is used again, and its result.
pub(crate) type Returned<T> = (Output<T>, BoltResult);

/// One call. It owns what it works with, so that the driver can keep it wherever it likes.
pub(crate) async fn call<B: AsyncBolt>(
    bolt: Rc<B>,
    call: Call<B::Input>,
    mut out: Output<B::Output>,
) -> Returned<B::Output> {
    let result = match call {
        Call::Execute(input) => bolt.execute(input, &mut out).await,
        Call::Tick => bolt.tick(&mut out).await,
        Call::Finish => bolt.finish(&mut out).await,
    };
    (out, result)
}

/// What is known of a call, by its place.
struct Record<T: crate::Tuple> {
    /// The slot of its input; none for a tick or the end.
    input: u32,
    since: Duration,
    /// It has ended, and what it left was not handed over yet.
    has_ended: bool,
    /// What it left; nothing if it was too late.
    returned: Option<Returned<T>>,
}

/// Drives one instance of an async bolt; `start` makes the future of a call.
pub(crate) struct AsyncDriver<B: AsyncBolt, S, F> {
    bolt: Option<Rc<B>>,
    factory: Factory<B>,
    start: S,
    cx: Option<Context>,
    limits: AsyncCalls,
    /// How long a call may take.
    deadline: Duration,
    hand: Hand<B::Input>,
    calls: Calls<F>,
    records: Vec<Record<B::Output>>,
    /// Ordered: all calls, as they began. Unordered: those that have ended.
    line: VecDeque<u32>,
    /// The slot of the input whose iterators are still being pulled.
    pulling: Option<u32>,
    out: Output<B::Output>,
    spare: Vec<Output<B::Output>>,
    side: Vec<MakeLane>,
    budget: usize,
    verdicts: Arc<Verdicts>,
    ticking: bool,
    ended_calls: (u64, Duration),
    now: Duration,
    /// No call is late before this.
    due: Option<Duration>,
}

impl<B, S, F> AsyncDriver<B, S, F>
where
    B: AsyncBolt,
    S: Fn(Rc<B>, Call<B::Input>, Output<B::Output>) -> F + 'static,
    F: Future<Output = Returned<B::Output>> + 'static,
{
    pub(crate) fn new(factory: Factory<B>, side: &[MakeLane], budget: usize, start: S) -> Self {
        Self {
            bolt: None,
            factory,
            start,
            cx: None,
            limits: AsyncCalls::default(),
            deadline: Duration::MAX,
            hand: Hand::new(),
            calls: Calls::new(),
            records: Vec::new(),
            line: VecDeque::new(),
            pulling: None,
            out: Output::new(side, budget),
            spare: Vec::new(),
            side: side.to_vec(),
            budget,
            verdicts: Arc::new(Verdicts::default()),
            ticking: false,
            ended_calls: (0, Duration::ZERO),
            now: Duration::ZERO,
            due: None,
        }
    }

    /// Makes a call and lets it go as far as it can at once.
    fn begin(&mut self, call: Call<B::Input>, input: u32) {
        let Some(bolt) = &self.bolt else { return };
        let mut out = self.spare.pop().unwrap_or_else(|| {
            let mut out = Output::new(&self.side, self.budget);
            self.cx.iter().for_each(|cx| out.set_context(cx));
            out
        });
        out.begin(if input == UNANCHORED { UNANCHORED } else { 0 });
        let at = self.calls.start((self.start)(Rc::clone(bolt), call, out));
        let record = Record { input, since: self.now, has_ended: false, returned: None };
        match self.records.get_mut(at as usize) {
            Some(place) => *place = record,
            None => self.records.push(record),
        }
        self.due.get_or_insert(self.now.saturating_add(self.deadline));
        if self.limits.ordered {
            self.line.push_back(at);
        }
        self.go_on(at);
    }

    fn go_on(&mut self, at: u32) {
        if let Some(returned) = self.calls.poll(at) {
            self.ended(at, Some(returned));
        }
    }

    fn ended(&mut self, at: u32, returned: Option<Returned<B::Output>>) {
        let record = &mut self.records[at as usize];
        record.has_ended = true;
        record.returned = returned;
        if record.input != UNANCHORED {
            self.ended_calls.0 += 1;
            self.ended_calls.1 += self.now.saturating_sub(record.since);
        }
        if !self.limits.ordered {
            self.line.push_back(at);
        }
    }

    /// The next call in line if it has ended: its input, and what it left.
    fn next_ended(&mut self) -> Option<(u32, Option<Returned<B::Output>>)> {
        let at = *self.line.front()?;
        let record = &mut self.records[at as usize];
        if !std::mem::take(&mut record.has_ended) {
            return None;
        }
        let returned = record.returned.take();
        self.line.pop_front();
        self.calls.release(at);
        Some((record.input, returned))
    }

    /// Hands over what ended calls emitted, until about `room` tuples wait to be taken.
    fn hand_over(&mut self, room: usize) {
        loop {
            if let Some(input) = self.pulling {
                if !self.out.pull(room) {
                    return;
                }
                self.pulling = None;
                self.settle(input, Verdict::Ack);
            }
            if self.out.count() >= room {
                return;
            }
            let Some((input, returned)) = self.next_ended() else { return };
            let verdict = match returned {
                None => self.late(),
                Some((mut out, result)) => {
                    let verdict = match result {
                        Err(error) => Fault::of(&error).into(),
                        Ok(()) if out.is_over_budget() => Verdict::TooMuchOutput,
                        Ok(()) => Verdict::Ack,
                    };
                    if verdict != Verdict::Ack {
                        out.abandon_pulls();
                    }
                    self.out.append(&mut out, |anchor| {
                        if anchor == UNANCHORED { UNANCHORED } else { input }
                    });
                    self.spare.push(out);
                    verdict
                }
            };
            if self.out.is_pulling() {
                self.pulling = Some(input);
            } else {
                self.settle(input, verdict);
            }
        }
    }

    /// Gives the verdict of an input; the end of a tick or of `finish` has none.
    fn settle(&mut self, input: u32, verdict: Verdict) {
        if input != UNANCHORED {
            return self.verdicts.give(input, verdict);
        }
        self.ticking = false;
        let (Verdict::Fail(text) | Verdict::Unavailable(text) | Verdict::Late(text)) = verdict
        else {
            return;
        };
        if let Some(cx) = &self.cx {
            cx.report_error(&text);
        }
    }

    /// The verdict on a call that was dropped.
    fn late(&self) -> Verdict {
        let after = format_duration(self.deadline);
        match self.bolt.as_ref().and_then(|bolt| bolt.late()) {
            Some(away) => Verdict::Unavailable(format!("{away} (given up after {after})")),
            None => Verdict::Late(format!(
                "a call had not returned after {after}; `.deadline(..)` says how long one may take"
            )),
        }
    }

    /// Drops every call that is under way; its input gets no verdict but that its guard is gone.
    fn drop_calls(&mut self) {
        for at in 0..self.records.len() {
            let cancel = || self.calls.cancel(at as u32);
            // A panic of a future's `drop` is one more of a bolt that is given up.
            let cancelled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(cancel));
            let record = &mut self.records[at];
            record.returned = None;
            if std::mem::take(&mut record.has_ended) || cancelled.unwrap_or(true) {
                self.calls.release(at as u32);
                let input = record.input;
                self.settle(input, Verdict::Dropped);
            }
        }
        if let Some(input) = self.pulling.take() {
            self.settle(input, Verdict::Dropped);
        }
        self.line.clear();
        self.out.abandon_pulls();
    }
}

impl<B, S, F> Task for AsyncDriver<B, S, F>
where
    B: AsyncBolt,
    S: Fn(Rc<B>, Call<B::Input>, Output<B::Output>) -> F + 'static,
    F: Future<Output = Returned<B::Output>> + 'static,
{
    fn open(&mut self, cx: &Context) -> Result<(), Error> {
        self.bolt = Some(Rc::new((self.factory)(cx)?));
        self.calls.wake(cx.waker());
        let fails_after = cx.config().message_timeout().saturating_add(self.limits.holds);
        self.deadline = self.limits.deadline.unwrap_or(fails_after / 4 * 3);
        self.cx = Some(cx.clone());
        Ok(())
    }

    fn tick(&mut self) {
        if !std::mem::replace(&mut self.ticking, true) {
            self.begin(Call::Tick, UNANCHORED);
        }
    }

    fn close(&mut self) {
        self.drop_calls();
        if let Some(mut bolt) = self.bolt.take()
            && let Some(bolt) = Rc::get_mut(&mut bolt)
        {
            bolt.close();
        }
    }

    fn take(&mut self, stream: usize, pool: &mut Pool) -> Option<Emitted> {
        self.out.take(stream, pool)
    }

    fn take_several(&mut self) -> Vec<Vec<u32>> {
        Vec::new()
    }
}

impl<B, S, F> BoltTask for AsyncDriver<B, S, F>
where
    B: AsyncBolt,
    S: Fn(Rc<B>, Call<B::Input>, Output<B::Output>) -> F + 'static,
    F: Future<Output = Returned<B::Output>> + 'static,
{
    fn load(&mut self, rows: Box<dyn Rows>, slots: &[u32]) {
        self.hand.load(rows, slots);
        self.verdicts.reserve(slots.len());
    }

    fn unload(&mut self, pool: &mut Pool) {
        self.hand.unload(pool);
    }

    fn run(&mut self, most: usize, room: usize) -> usize {
        let mut begun = 0;
        while begun < most && self.bolt.is_some() && !self.is_full() && self.out.count() < room {
            let Some((tuple, slot)) = self.hand.next_held() else { break };
            begun += 1;
            self.begin(Call::Execute(tuple), slot);
            self.hand_over(room);
        }
        begun
    }

    fn has_work(&self) -> bool {
        self.hand.input.len() > 0
    }

    fn faults(&mut self) -> Vec<(u32, Fault)> {
        Vec::new()
    }

    fn panicked(&mut self) -> Option<u32> {
        self.drop_calls();
        let bolt = self.bolt.take();
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(bolt))));
        self.hand.cursor.checked_sub(1)
    }

    fn verdicts(&self) -> Option<&Arc<Verdicts>> {
        Some(&self.verdicts)
    }

    fn finish(&mut self) {
        self.begin(Call::Finish, UNANCHORED);
    }
}
