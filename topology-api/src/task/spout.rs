//! The task of a spout: its message ids are kept here, by the slot of their tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::vec::IntoIter;

use super::{Factory, Filed, SpoutTask, Task};
use crate::output::{ENOUGH_BYTES, Emitted, MakeLane, SpoutOutput, UNANCHORED};
use crate::rows::{Pool, emptied, for_each_while};
use crate::{Context, Error, FailReason, Next, Spout};

/// Drives one instance of a spout.
pub(crate) struct SpoutDriver<S: Spout> {
    spout: Option<S>,
    pub(super) factory: Factory<S>,
    pub(super) out: SpoutOutput<S::Output, S::Id>,
    /// Message ids of open trees, by slot.
    filed: Filed<S::Id>,
    /// Message ids whose trees have ended and that are still to be acked.
    done: IntoIter<S::Id>,
    /// How often `next` was called, for other threads to see.
    progress: Arc<AtomicU32>,
}

impl<S: Spout> SpoutDriver<S> {
    pub(crate) fn new(factory: Factory<S>, side: &[MakeLane]) -> Self {
        let out = SpoutOutput::new(side);
        let (done, progress) = (Vec::new().into_iter(), Arc::default());
        Self { spout: None, factory, out, filed: Filed::new(), done, progress }
    }
}

impl<S: Spout> Task for SpoutDriver<S> {
    fn open(&mut self, cx: &Context) -> Result<(), Error> {
        self.out.output.set_context(cx);
        self.spout = Some((self.factory)(cx)?);
        Ok(())
    }

    fn tick(&mut self) {
        if let Some(spout) = &mut self.spout {
            spout.tick(&mut self.out);
        }
    }

    fn close(&mut self) {
        if let Some(mut spout) = self.spout.take() {
            spout.close();
        }
    }

    fn take(&mut self, stream: usize, pool: &mut Pool) -> Option<Emitted> {
        self.out.output.take(stream, pool)
    }

    fn take_several(&mut self) -> Vec<Vec<u32>> {
        Vec::new()
    }

    fn progress(&self) -> Option<Arc<AtomicU32>> {
        Some(Arc::clone(&self.progress))
    }
}

impl<S: Spout> SpoutTask for SpoutDriver<S> {
    fn next(&mut self, room: usize) -> Result<Next, Error> {
        let Some(spout) = &mut self.spout else { return Ok(Next::Idle) };
        self.out.output.begin(UNANCHORED);
        let progress = &*self.progress;
        let mut calls = progress.load(Relaxed);
        loop {
            let before = self.out.count();
            let next = spout.next(&mut self.out)?;
            calls = calls.wrapping_add(1);
            progress.store(calls, Relaxed);
            // Without anything emitted the loop must not keep the executor for itself.
            let goes_on = self.out.count() < room && self.out.count() > before;
            if next != Next::Emitted || !goes_on || self.out.output.call_weight() >= ENOUGH_BYTES {
                return Ok(next);
            }
        }
    }

    fn id_count(&self) -> usize {
        self.out.ids.len()
    }

    fn file_ids(&mut self, slots: &[u32]) {
        debug_assert!(self.done.len() == 0, "what is done must be acked before more is filed");
        if slots.is_empty() {
            let mut ids = emptied(&mut self.done);
            self.out.ids.swap(&mut ids);
            self.done = ids.into_iter();
            return;
        }
        let mut done = emptied(&mut self.done);
        self.filed.file(slots, self.out.ids.drain(), |id| done.push(id));
        self.done = done.into_iter();
    }

    fn end_acked(&mut self, slots: &[u32]) {
        debug_assert!(self.done.len() == 0, "what is done must be acked before more is");
        let mut done = emptied(&mut self.done);
        done.extend(self.filed.take_each(slots));
        self.done = done.into_iter();
    }

    fn ack_done(&mut self) {
        let Some(spout) = &mut self.spout else { return };
        for_each_while(&mut self.done, |id| {
            spout.ack(id);
            true
        });
    }

    fn fail(&mut self, slot: u32, reason: FailReason) {
        let Some(id) = self.filed.take(slot) else { return };
        if let Some(spout) = &mut self.spout {
            spout.fail(id, reason);
        }
    }

    fn set_active(&mut self, active: bool) {
        let Some(spout) = &mut self.spout else { return };
        if active {
            spout.activate();
        } else {
            spout.deactivate();
        }
    }
}
