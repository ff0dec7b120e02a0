//! A task as the worker drives it: an author's component behind one dynamic interface.
//!
//! The worker hands over a batch and gets columns back; everything a tuple needs happens in between,
//! compiled for its type. A call that panics leaves the task in a state from which
//! [`BoltTask::panicked`] can go on.

mod elsewhere;
mod filed;
mod hand;
mod spout;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

pub(crate) use self::filed::Filed;
pub(crate) use self::hand::Hand;
pub(crate) use self::spout::SpoutDriver;

use crate::async_bolt::LongCalls;
use crate::input::{Input, Verdict, Verdicts};
use crate::output::{ENOUGH_BYTES, Emitted, MakeLane, Output, UNANCHORED};
use crate::rows::{Pool, Rows, for_each_while};
use crate::unavailable::is_unavailable;
use crate::{Bolt, BoltResult, Context, Error, ExplicitBolt, FailReason, Next};

pub use elsewhere::Elsewhere;

/// Why an input of an automatically acked bolt failed.
#[derive(Debug)]
pub enum Fault {
    /// `execute` returned this error.
    Error(String),
    /// `execute` returned an [`Unavailable`](crate::Unavailable) error.
    Unavailable(String),
    /// `execute` emitted more than its budget.
    TooMuchOutput,
}

impl Fault {
    /// What an error is, that a call returned.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match is_unavailable(error) {
            true => Self::Unavailable(error.to_string()),
            false => Self::Error(error.to_string()),
        }
    }
}

impl From<Fault> for Verdict {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Error(text) => Self::Fail(text),
            Fault::Unavailable(text) => Self::Unavailable(text),
            Fault::TooMuchOutput => Self::TooMuchOutput,
        }
    }
}

/// Stands for a slot: the tree of this message id has ended before it was filed.
pub const DONE: u32 = u32::MAX;

/// What every task has.
pub trait Task {
    /// Makes the author's instance, or makes it anew.
    ///
    /// # Errors
    ///
    /// The factory's.
    fn open(&mut self, cx: &Context) -> Result<(), Error>;
    /// Calls the author's `tick`.
    fn tick(&mut self);
    /// Calls the author's `close` and drops the instance.
    fn close(&mut self);
    /// Takes what was emitted to one of the component's streams; goes on with buffers of the pool.
    fn take(&mut self, stream: usize, pool: &mut Pool) -> Option<Emitted>;
    /// Takes the anchors of tuples that have several.
    fn take_several(&mut self) -> Vec<Vec<u32>>;
    /// A number that changes with each of the author's calls, where several are made in one of
    /// ours: who finds it unchanged for long knows that one of them does not come back.
    fn progress(&self) -> Option<Arc<AtomicU32>> {
        None
    }
}

/// A task of a bolt.
pub trait BoltTask: Task + LongCalls {
    /// Gives it the next batch; the last one must be used up. `slots` has one number an input for
    /// an explicit bolt, else nothing.
    fn load(&mut self, rows: Box<dyn Rows>, slots: &[u32]);
    /// Gives the emptied buffer of a batch that is used up to the pool.
    fn unload(&mut self, pool: &mut Pool);
    /// Executes inputs until the batch is used up, `most` are done with, or about `room` tuples (or
    /// a batch's bytes of them) wait to be taken; returns how many inputs are done with. Without a
    /// batch it pulls the iterators that `tick` or `finish` gave.
    fn run(&mut self, most: usize, room: usize) -> usize;
    /// Tells whether inputs, or iterators given to `emit_from`, are left.
    fn has_work(&self) -> bool;
    /// Takes the failures of the inputs done with, by number within the batch.
    fn faults(&mut self) -> Vec<(u32, Fault)>;
    /// After a panic: drops the instance and returns the number of the input it was working on, if
    /// it was one.
    fn panicked(&mut self) -> Option<u32>;
    /// The verdicts of an explicit bolt.
    fn verdicts(&self) -> Option<&Arc<Verdicts>>;
    /// Calls the author's `finish`.
    fn finish(&mut self);
}

/// A task of a spout.
pub trait SpoutTask: Task + Elsewhere {
    /// Calls the author's `next` until about `room` tuples wait or it is idle.
    ///
    /// # Errors
    ///
    /// The author's.
    fn next(&mut self, room: usize) -> Result<Next, Error>;
    /// How many message ids came with the tuples not yet taken; anchors number them from 0.
    fn id_count(&self) -> usize;
    /// Files those message ids under these slots, in order. Those under [`DONE`] are acked by
    /// [`SpoutTask::ack_done`]; without any slots all of them are.
    fn file_ids(&mut self, slots: &[u32]);
    /// The message ids under these slots are done too.
    fn end_acked(&mut self, slots: &[u32]);
    /// Calls the author's `ack` for the message ids that are done. After a panic of it, the rest
    /// waits for another call.
    fn ack_done(&mut self);
    /// Calls the author's `fail` for the message id under a slot.
    fn fail(&mut self, slot: u32, reason: FailReason);
    /// Calls the author's `activate` or `deactivate`.
    fn set_active(&mut self, active: bool);
}

/// Makes an author's instance.
pub(crate) type Factory<C> = Arc<dyn Fn(&Context) -> Result<C, Error> + Send + Sync>;

/// How the two kinds of bolt differ for a [`Driver`].
pub(crate) trait Manner: Send + 'static {
    type In: crate::Tuple;
    type Out: crate::Tuple;
    const EXPLICIT: bool;
    fn call(
        &mut self,
        input: Self::In,
        slot: u32,
        out: &mut Output<Self::Out>,
        verdicts: &Arc<Verdicts>,
    ) -> BoltResult;
    fn tick(&mut self, out: &mut Output<Self::Out>);
    fn finish(&mut self, out: &mut Output<Self::Out>);
    fn close(&mut self);
}

/// A bolt whose inputs are acked by what `execute` returns.
pub(crate) struct Automatic<B>(pub(crate) B);

impl<B: Bolt> Manner for Automatic<B> {
    type In = B::Input;
    type Out = B::Output;
    const EXPLICIT: bool = false;
    #[inline]
    fn call(
        &mut self,
        input: B::Input,
        _: u32,
        out: &mut Output<B::Output>,
        _: &Arc<Verdicts>,
    ) -> BoltResult {
        self.0.execute(input, out)
    }
    fn tick(&mut self, out: &mut Output<B::Output>) {
        self.0.tick(out);
    }
    fn finish(&mut self, out: &mut Output<B::Output>) {
        self.0.finish(out);
    }
    fn close(&mut self) {
        self.0.close();
    }
}

/// A bolt that gives the verdicts itself.
pub(crate) struct Explicit<B>(pub(crate) B);

impl<B: ExplicitBolt> Manner for Explicit<B> {
    type In = B::Input;
    type Out = B::Output;
    const EXPLICIT: bool = true;
    fn call(
        &mut self,
        input: B::Input,
        slot: u32,
        out: &mut Output<B::Output>,
        verdicts: &Arc<Verdicts>,
    ) -> BoltResult {
        self.0.execute(Input::new(input, slot, Arc::clone(verdicts)), out)
    }
    fn tick(&mut self, out: &mut Output<B::Output>) {
        self.0.tick(out);
    }
    fn finish(&mut self, out: &mut Output<B::Output>) {
        self.0.finish(out);
    }
    fn close(&mut self) {
        self.0.close();
    }
}

/// Drives one instance of a bolt.
pub(crate) struct Driver<M: Manner> {
    bolt: Option<M>,
    factory: Factory<M>,
    hand: Hand<M::In>,
    /// The same for other threads to see.
    progress: Arc<AtomicU32>,
    /// An input whose iterators are still being pulled.
    pulling: bool,
    out: Output<M::Out>,
    faults: Vec<(u32, Fault)>,
    verdicts: Arc<Verdicts>,
}

impl<M: Manner> Driver<M> {
    pub(crate) fn new(factory: Factory<M>, side: &[MakeLane], budget: usize) -> Self {
        Self {
            bolt: None,
            factory,
            hand: Hand::new(),
            progress: Arc::default(),
            pulling: false,
            out: Output::new(side, budget),
            faults: Vec::new(),
            verdicts: Arc::new(Verdicts::default()),
        }
    }
}

impl<M: Manner> Task for Driver<M> {
    fn open(&mut self, cx: &Context) -> Result<(), Error> {
        self.out.set_context(cx);
        self.bolt = Some((self.factory)(cx)?);
        self.verdicts.wake(cx.waker());
        Ok(())
    }

    fn tick(&mut self) {
        self.out.begin(UNANCHORED);
        if let Some(bolt) = &mut self.bolt {
            bolt.tick(&mut self.out);
        }
    }

    fn close(&mut self) {
        if let Some(mut bolt) = self.bolt.take() {
            bolt.close();
        }
    }

    fn take(&mut self, stream: usize, pool: &mut Pool) -> Option<Emitted> {
        self.out.take(stream, pool)
    }

    fn take_several(&mut self) -> Vec<Vec<u32>> {
        self.out.take_several()
    }

    fn progress(&self) -> Option<Arc<AtomicU32>> {
        Some(Arc::clone(&self.progress))
    }
}

impl<M: Manner> BoltTask for Driver<M> {
    fn load(&mut self, rows: Box<dyn Rows>, slots: &[u32]) {
        self.hand.load(rows, slots);
        if M::EXPLICIT {
            self.verdicts.reserve(slots.len());
        }
    }

    fn unload(&mut self, pool: &mut Pool) {
        self.hand.unload(pool);
    }

    fn run(&mut self, most: usize, room: usize) -> usize {
        let Some(bolt) = &mut self.bolt else { return 0 };
        let mut done = 0;
        if self.out.is_pulling() && !self.out.pull(room) {
            return done;
        }
        if std::mem::take(&mut self.pulling) {
            self.hand.cursor += 1;
            done += 1;
        }
        if self.out.count() >= room || done >= most {
            return done;
        }
        let mut bytes = 0;
        let progress = &*self.progress;
        for_each_while(&mut self.hand.input, |tuple| {
            let slot = if M::EXPLICIT {
                self.hand.slots[self.hand.cursor as usize]
            } else {
                self.hand.cursor
            };
            self.out.begin(slot);
            let result = bolt.call(tuple, slot, &mut self.out, &self.verdicts);
            if let Err(error) = result {
                self.out.abandon_pulls();
                self.faults.push((self.hand.cursor, Fault::of(&error)));
            } else if self.out.is_over_budget() {
                self.out.abandon_pulls();
                self.faults.push((self.hand.cursor, Fault::TooMuchOutput));
            }
            if self.out.is_pulling() && !self.out.pull(room) {
                self.pulling = true;
                return false;
            }
            self.hand.cursor += 1;
            progress.store(self.hand.cursor, Relaxed);
            done += 1;
            bytes += self.out.call_weight();
            done < most && self.out.count() < room && bytes < ENOUGH_BYTES
        });
        done
    }

    fn has_work(&self) -> bool {
        self.out.is_pulling() || self.pulling || self.hand.input.len() > 0
    }

    fn faults(&mut self) -> Vec<(u32, Fault)> {
        std::mem::take(&mut self.faults)
    }

    fn panicked(&mut self) -> Option<u32> {
        // The instance may be in any state: it goes, and a panic of its `drop` with it.
        let bolt = self.bolt.take();
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(bolt))));
        self.out.abandon_pulls();
        self.pulling = false;
        let input = self.hand.is_loaded().then_some(self.hand.cursor);
        self.hand.cursor += 1;
        input
    }

    fn verdicts(&self) -> Option<&Arc<Verdicts>> {
        M::EXPLICIT.then_some(&self.verdicts)
    }

    fn finish(&mut self) {
        self.out.begin(UNANCHORED);
        if let Some(bolt) = &mut self.bolt {
            bolt.finish(&mut self.out);
        }
    }
}
