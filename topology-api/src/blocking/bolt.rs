//! A blocking bolt: the task that the loop drives. Its thread makes the calls.

mod thread;

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use self::thread::Thread;
use super::{Common, Desk, Parcel, State, Unopened};
use crate::async_bolt::LongCalls;
use crate::input::{Verdict, Verdicts};
use crate::output::{Emitted, MakeLane};
use crate::rows::{Pool, Rows};
use crate::task::{BoltTask, Fault, Task};
use crate::topology::MakeBolt;
use crate::{Context, Error};

/// What a call emits before it hands over, in bytes.
const HAND_OVER: usize = 64 * 1024;

/// The desk of a bolt.
#[derive(Default)]
struct Work {
    common: Common,
    batch: Option<(Box<dyn Rows>, Vec<u32>)>,
    finish: bool,
    parcel: Parcel,
    news: Option<News>,
}

impl State for Work {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// What the loop is told behind the last parcel.
enum News {
    Unopened(String),
    Panicked(String),
    Finished,
}

/// A task of a blocking bolt, as its loop sees it. Its inputs are held until the thread has decided.
pub(crate) struct BlockingBolt {
    desk: Arc<Desk<Work>>,
    make: Arc<MakeBolt>,
    side: Vec<MakeLane>,
    started: bool,
    /// Loaded, and not on the desk yet.
    input: Option<(Box<dyn Rows>, Vec<u32>)>,
    /// Inputs on the desk or with the thread.
    held: HashSet<u32>,
    parcel: Parcel,
    verdicts: Arc<Verdicts>,
    /// It was told to finish.
    finishing: bool,
    finished: bool,
}

impl BlockingBolt {
    pub(crate) fn new(make: Arc<MakeBolt>, side: Vec<MakeLane>) -> Self {
        Self {
            desk: Desk::new(),
            make,
            side,
            started: false,
            input: None,
            held: HashSet::new(),
            parcel: Parcel::default(),
            verdicts: Arc::default(),
            finishing: false,
            finished: false,
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.started) {
            self.desk.close();
        }
        for slot in self.held.drain() {
            self.verdicts.give(slot, Verdict::Dropped);
        }
    }
}

impl Drop for BlockingBolt {
    fn drop(&mut self) {
        self.end();
    }
}

impl Task for BlockingBolt {
    fn open(&mut self, cx: &Context) -> Result<(), Error> {
        let (make, side) = (Arc::clone(&self.make), self.side.clone());
        self.desk.open(cx, &mut self.started, move |desk, cx| {
            Thread::new(desk, cx, make(&side, HAND_OVER), side.len() + 1).run();
        })
    }

    fn tick(&mut self) {
        self.desk.tell(|work| work.common.tick = true);
    }

    fn close(&mut self) {
        self.end();
    }

    fn take(&mut self, stream: usize, _: &mut Pool) -> Option<Emitted> {
        self.parcel.take(stream)
    }

    fn take_several(&mut self) -> Vec<Vec<u32>> {
        self.parcel.take_several()
    }
}

impl BoltTask for BlockingBolt {
    fn load(&mut self, rows: Box<dyn Rows>, slots: &[u32]) {
        self.held.extend(slots);
        self.input = Some((rows, slots.to_vec()));
    }

    fn unload(&mut self, _: &mut Pool) {}

    fn run(&mut self, _: usize, _: usize) -> usize {
        if self.is_full() {
            return 0;
        }
        let Some((rows, slots)) = self.input.take() else { return 0 };
        let count = slots.len();
        self.desk.tell(|work| work.batch = Some((rows, slots)));
        count
    }

    fn has_work(&self) -> bool {
        self.input.is_some()
    }

    fn faults(&mut self) -> Vec<(u32, Fault)> {
        Vec::new()
    }

    fn panicked(&mut self) -> Option<u32> {
        // The thread has seen to it.
        None
    }

    fn verdicts(&self) -> Option<&Arc<Verdicts>> {
        Some(&self.verdicts)
    }

    fn finish(&mut self) {
        self.finishing = true;
        self.desk.tell(|work| work.finish = true);
    }
}

impl LongCalls for BlockingBolt {
    fn has_finished(&self) -> bool {
        self.held.is_empty() && self.finished == self.finishing
    }

    fn is_full(&self) -> bool {
        self.desk.lock().batch.is_some()
    }

    fn poll(&mut self, _: usize) -> Result<(), Error> {
        let mut work = self.desk.lock();
        self.parcel = std::mem::take(&mut work.parcel);
        let news = work.news.take();
        drop(work);
        self.desk.changed.notify_all();
        for (slot, verdict) in self.parcel.verdicts.drain(..) {
            if verdict != Verdict::ResetTimeout {
                self.held.remove(&slot);
            }
            self.verdicts.give(slot, verdict);
        }
        match news {
            None => {}
            Some(News::Finished) => self.finished = true,
            Some(News::Unopened(text)) => return Err(Unopened(text).into()),
            Some(News::Panicked(text)) => {
                // There is nothing to do again after a panic in `finish`.
                self.finished = self.finishing;
                // As if the call had been made here.
                resume_unwind(Box::new(text));
            }
        }
        Ok(())
    }

    fn ended_calls(&mut self) -> (u64, Duration) {
        std::mem::take(&mut self.parcel.calls)
    }
}
