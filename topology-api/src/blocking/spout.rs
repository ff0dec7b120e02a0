//! A blocking spout: the task that the loop drives, and the thread that asks the source.

mod thread;

use std::panic::resume_unwind;
use std::sync::Arc;

use self::thread::Thread;
use super::{Common, Desk, State, Unopened};
use crate::output::{Emitted, SpoutOutput};
use crate::rows::Pool;
use crate::said::said;
use crate::task::{Elsewhere, Factory, Filed, SpoutTask, Task};
use crate::{Context, Error, FailReason, Next, Spout};

/// Tuples that wait for the loop before the thread waits.
const TUPLES: usize = 128;

/// Bytes that wait before it waits.
const BYTES: usize = 1024 * 1024;

/// How many tuples a call emits before it hands over.
const HAND_OVER: usize = 32;

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
            self.bytes += emitted.weight;
            emitted.shift(base);
            match before {
                Some(before) => before.append(emitted),
                None => *before = Some(emitted),
            }
        }
    }
}

/// Why a tuple failed, and what was said of it.
type Failed = (FailReason, Option<Box<str>>);

/// The desk of a spout.
struct Source<Id> {
    common: Common,
    /// Verdicts that the spout has not been told.
    settled: Vec<(Id, Option<Failed>)>,
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
    filed: Filed<S::Id>,
    /// Message ids that the thread is to ack.
    done: Vec<S::Id>,
}

impl<S: Spout> BlockingSpout<S> {
    pub(crate) fn new(factory: Factory<S>, out: SpoutOutput<S::Output, S::Id>) -> Self {
        Self {
            desk: Desk::new(),
            start: Some((factory, out)),
            started: false,
            parcel: Parcel::default(),
            filed: Filed::new(),
            done: Vec::new(),
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
            Thread::new(desk, cx, (factory, out)).run();
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

    fn take(&mut self, stream: usize, _: &mut Pool) -> Option<Emitted> {
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
        if slots.is_empty() {
            return self.done.append(&mut self.parcel.ids);
        }
        self.filed.file(slots, self.parcel.ids.drain(..), |id| self.done.push(id));
    }

    fn end_acked(&mut self, slots: &[u32]) {
        self.done.extend(self.filed.take_each(slots));
    }

    fn ack_done(&mut self) {
        if !self.done.is_empty() {
            let acked = self.done.drain(..).map(|id| (id, None));
            self.desk.tell(|source| source.settled.extend(acked));
        }
    }

    fn fail(&mut self, slot: u32, reason: FailReason) {
        let Some(id) = self.filed.take(slot) else { return };
        self.desk.tell(|source| {
            source.settled.push((id, Some((reason, said()))));
            if matches!(source.news, Some(News::Finished)) {
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
