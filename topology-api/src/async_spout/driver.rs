//! Drives one instance of an async spout: one call of `next` at a time, which may take several turns.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Polled, Poll, Waker};

use super::AsyncSpout;
use crate::output::{Emitted, MakeLane, SpoutOutput};
use crate::rows::Pool;
use crate::task::{Elsewhere, Factory, Filed, SpoutTask, Task};
use crate::{Context, Error, FailReason, Next, SpoutResult};

type Out<S> = SpoutOutput<<S as AsyncSpout>::Output, <S as AsyncSpout>::Id>;

/// What a call leaves: its output, which is used again, and its result.
pub(crate) type Returned<S> = (Out<S>, SpoutResult);

/// One call. It owns what it works with, so that the driver can keep it wherever it likes.
pub(crate) async fn call<S: AsyncSpout>(spout: Rc<S>, mut out: Out<S>) -> Returned<S> {
    let result = spout.next(&mut out).await;
    (out, result)
}

/// Drives one instance of an async spout; `start` makes the future of a call.
pub(crate) struct AsyncSpoutDriver<S: AsyncSpout, C, F> {
    spout: Option<Rc<S>>,
    factory: Factory<S>,
    start: C,
    /// The call that is under way, in a box that is used again.
    call: Pin<Box<Option<F>>>,
    /// It is being polled: seen from outside, it panicked.
    polled: bool,
    waker: Waker,
    out: Out<S>,
    spare: Option<Out<S>>,
    side: Vec<MakeLane>,
    /// Message ids of open trees, by slot.
    filed: Filed<S::Id>,
    /// Message ids whose trees have ended and that are still to be acked.
    done: VecDeque<S::Id>,
    cx: Option<Context>,
}

impl<S, C, F> AsyncSpoutDriver<S, C, F>
where
    S: AsyncSpout,
    C: Fn(Rc<S>, Out<S>) -> F + 'static,
    F: Future<Output = Returned<S>> + 'static,
{
    pub(crate) fn new(factory: Factory<S>, side: &[MakeLane], start: C) -> Self {
        Self {
            spout: None,
            factory,
            start,
            call: Box::pin(None),
            polled: false,
            waker: Waker::noop().clone(),
            out: SpoutOutput::new(side),
            spare: None,
            side: side.to_vec(),
            filed: Filed::new(),
            done: VecDeque::new(),
            cx: None,
        }
    }

    /// Lets a call go on, or begins one; nothing if it waits.
    fn poll(&mut self) -> Option<SpoutResult> {
        let Some(spout) = &self.spout else { return Some(Ok(Next::Idle)) };
        if std::mem::take(&mut self.polled) {
            self.call.set(None);
        }
        if self.call.is_none() {
            let out = self.spare.take().unwrap_or_else(|| {
                let mut out = SpoutOutput::new(&self.side);
                self.cx.iter().for_each(|cx| out.output.set_context(cx));
                out
            });
            self.call.set(Some((self.start)(Rc::clone(spout), out)));
        }
        let call = self.call.as_mut().as_pin_mut()?;
        self.polled = true;
        let polled = call.poll(&mut Polled::from_waker(&self.waker));
        self.polled = false;
        let Poll::Ready((mut out, result)) = polled else { return None };
        self.call.set(None);
        self.out.append(&mut out);
        self.spare = Some(out);
        Some(result)
    }
}

impl<S, C, F> Task for AsyncSpoutDriver<S, C, F>
where
    S: AsyncSpout,
    C: Fn(Rc<S>, Out<S>) -> F + 'static,
    F: Future<Output = Returned<S>> + 'static,
{
    fn open(&mut self, cx: &Context) -> Result<(), Error> {
        self.out.output.set_context(cx);
        self.cx = Some(cx.clone());
        self.spout = Some(Rc::new((self.factory)(cx)?));
        self.waker = cx.waker();
        Ok(())
    }

    fn tick(&mut self) {
        if let Some(spout) = &self.spout {
            spout.tick(&mut self.out);
        }
    }

    fn close(&mut self) {
        self.call.set(None);
        if let Some(mut spout) = self.spout.take()
            && let Some(spout) = Rc::get_mut(&mut spout)
        {
            spout.close();
        }
    }

    fn take(&mut self, stream: usize, pool: &mut Pool) -> Option<Emitted> {
        self.out.output.take(stream, pool)
    }

    fn take_several(&mut self) -> Vec<Vec<u32>> {
        Vec::new()
    }
}

impl<S, C, F> SpoutTask for AsyncSpoutDriver<S, C, F>
where
    S: AsyncSpout,
    C: Fn(Rc<S>, Out<S>) -> F + 'static,
    F: Future<Output = Returned<S>> + 'static,
{
    fn next(&mut self, room: usize) -> Result<Next, Error> {
        loop {
            let before = self.out.count();
            match self.poll() {
                None if self.out.count() > 0 => return Ok(Next::Emitted),
                None => return Ok(Next::Idle),
                // Without anything emitted the loop must not keep the executor for itself.
                Some(Ok(Next::Emitted)) if self.out.count() < room && self.out.count() > before => {
                }
                Some(next) => return next,
            }
        }
    }

    fn id_count(&self) -> usize {
        self.out.ids.len()
    }

    fn file_ids(&mut self, slots: &[u32]) {
        if slots.is_empty() {
            return self.done.extend(self.out.ids.drain());
        }
        self.filed.file(slots, self.out.ids.drain(), |id| self.done.push_back(id));
    }

    fn end_acked(&mut self, slots: &[u32]) {
        self.done.extend(self.filed.take_each(slots));
    }

    fn ack_done(&mut self) {
        let Some(spout) = &self.spout else { return };
        while let Some(id) = self.done.pop_front() {
            spout.ack(id);
        }
    }

    fn fail(&mut self, slot: u32, reason: FailReason) {
        let Some(id) = self.filed.take(slot) else { return };
        if let Some(spout) = &self.spout {
            spout.fail(id, reason);
        }
    }

    fn set_active(&mut self, active: bool) {
        let Some(spout) = &self.spout else { return };
        if active {
            spout.activate();
        } else {
            spout.deactivate();
        }
    }
}

impl<S, C, F> Elsewhere for AsyncSpoutDriver<S, C, F>
where
    S: AsyncSpout,
    C: Fn(Rc<S>, Out<S>) -> F + 'static,
    F: Future<Output = Returned<S>> + 'static,
{
    fn waits(&self) -> bool {
        self.call.is_some()
    }

    fn into_blocking(self: Box<Self>) -> Box<dyn SpoutTask> {
        // Its declarer has no such method.
        self
    }
}
