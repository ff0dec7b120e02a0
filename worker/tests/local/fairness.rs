//! One component that has too much to do, on the same loop, does not starve the others: while it is
//! in that state they make progress, counted in tuples.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use topology_api::IterSpout;
use topology_api::prelude::*;

use crate::vocabulary::{Number, Pass, fused_and_not, run, topology};

/// What the others must do while one is in its bad state.
const PROGRESS: u64 = 5_000;

/// What one test knows while its topology runs.
#[derive(Debug, Default)]
struct Watch {
    /// Tuples that the others executed.
    others: AtomicU64,
    /// What `others` was when the bad state began, and when it ended.
    began: AtomicU64,
    ended: AtomicU64,
    is_over: AtomicBool,
}

impl Watch {
    fn begin(&self) {
        self.began.store(self.others.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    fn end(&self) {
        self.ended.store(self.others.load(Ordering::SeqCst), Ordering::SeqCst);
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Adds a branch of its own that goes on until the bad state is over.
    fn add_others(self: &Arc<Self>, t: &mut TopologyBuilder) {
        let watch = Arc::clone(self);
        let numbers = t.spout("others", move |_| {
            let watch = Arc::clone(&watch);
            let going = move |_: &u64| !watch.is_over.load(Ordering::SeqCst);
            IterSpout::new((0..).take_while(going).map(|n| Number { n }))
        });
        let pass = |_: &Context| Pass { trouble: |_| Ok(()) };
        let passed = t.bolt("others-pass", pass).shuffle(&numbers.stream()).stream();
        self.add_count(t, "others-count", &passed);
    }

    /// Adds a sink whose progress is that of the others.
    fn add_count(self: &Arc<Self>, t: &mut TopologyBuilder, name: &str, stream: &Stream<Number>) {
        let watch = Arc::clone(self);
        let count = move |_: Number| {
            watch.others.fetch_add(1, Ordering::SeqCst);
        };
        t.for_each(name, count).global(stream);
    }

    fn assert_others_made_progress(&self) {
        assert!(self.is_over.load(Ordering::SeqCst), "the bad state was there and ended");
        let progress = self.ended.load(Ordering::SeqCst) - self.began.load(Ordering::SeqCst);
        assert!(progress >= PROGRESS, "the others executed {progress} tuples in the meantime");
    }
}

/// A topology on a single loop, where nothing goes on beside what has its turn.
fn on_one_loop(name: &str, fusion: bool) -> TopologyBuilder {
    let mut t = topology(name, fusion);
    t.config("worker.cores", "1").unwrap();
    t
}

/// Turns a number into a million.
struct FanOut(Arc<Watch>);

const MILLION: u64 = 1_000_000;

impl Bolt for FanOut {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, _: Number, out: &mut Output<Number>) -> BoltResult {
        self.0.begin();
        let watch = Arc::clone(&self.0);
        out.emit_from((0..MILLION).map(move |n| {
            if n + 1 == MILLION {
                watch.end();
            }
            Number { n }
        }));
        Ok(())
    }
}

#[test]
fn a_fan_out_of_a_million_does_not_starve_the_rest() {
    fused_and_not(|fusion| {
        let watch = Arc::new(Watch::default());
        let mut t = on_one_loop("fan-out", fusion);
        watch.add_others(&mut t);
        let one = t.spout("one", |_| IterSpout::new(std::iter::once(Number { n: 0 }))).stream();
        let of_bolt = Arc::clone(&watch);
        let many = t.bolt("fan-out", move |_| FanOut(Arc::clone(&of_bolt))).shuffle(&one).stream();
        let all = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&all);
        let count = move |_: Number| {
            told.fetch_add(1, Ordering::SeqCst);
        };
        t.for_each("all", count).parallelism(2).shuffle(&many);
        run(t);
        assert_eq!(all.load(Ordering::SeqCst), MILLION, "each of them came");
        watch.assert_others_made_progress();
    });
}

/// How many tuples have the hot key.
const HOT: u64 = 2_000;

#[test]
fn one_hot_key_does_not_starve_the_rest() {
    fused_and_not(|fusion| {
        let watch = Arc::new(Watch::default());
        let mut t = on_one_loop("hot-key", fusion);
        watch.add_others(&mut t);
        let hot = t.spout("hot", |_| IterSpout::new((0..HOT).map(|_| Number { n: 7 }))).stream();
        let (of_bolt, seen) = (Arc::clone(&watch), Arc::new(AtomicU64::new(0)));
        let slow = move |_: Number| {
            match seen.fetch_add(1, Ordering::SeqCst) + 1 {
                1 => of_bolt.begin(),
                HOT => of_bolt.end(),
                _ => {}
            }
            // The work for one tuple.
            std::thread::sleep(Duration::from_micros(100));
        };
        t.for_each("slow", slow).parallelism(4).fields(&hot, |number| &number.n);
        run(t);
        watch.assert_others_made_progress();
    });
}

#[test]
fn a_target_that_stands_still_does_not_starve_another_reader_by_shuffle() {
    fused_and_not(|fusion| {
        let watch = Arc::new(Watch::default());
        let mut t = on_one_loop("slow-target", fusion);
        t.config("max_pending", "100000").unwrap();
        let of_source = Arc::clone(&watch);
        let numbers = t.spout("numbers", move |_| {
            let watch = Arc::clone(&of_source);
            let going = move |_: &u64| !watch.is_over.load(Ordering::SeqCst);
            IterSpout::new((0..).take_while(going).map(|n| Number { n }))
        });
        // The first task cannot start before the others have done their part.
        let of_bolt = Arc::clone(&watch);
        let pass = move |cx: &Context| {
            let others = of_bolt.others.load(Ordering::SeqCst);
            if cx.task_index() == 0 && others < 10 * PROGRESS {
                return Err("stands still");
            }
            if cx.task_index() == 0 {
                of_bolt.end();
            }
            Ok(Pass { trouble: |_| Ok(()) })
        };
        let passed = t.bolt("pass", pass).parallelism(3).shuffle(&numbers.stream()).stream();
        watch.add_count(&mut t, "count", &passed);
        run(t);
        watch.assert_others_made_progress();
    });
}
