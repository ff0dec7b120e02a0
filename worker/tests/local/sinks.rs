//! Async sinks: tuples in batches, each decided on once, whatever becomes of the sink.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use topology_api::prelude::*;

use crate::vocabulary::{Audit, Number, fused_and_not, run, topology};

/// How many tuples a sink may hold.
const HELD: u32 = 100;

/// Does not do well the first time, each time in another way, and waits now and then.
struct Writes {
    tried: Arc<Mutex<HashSet<u64>>>,
    seen: Arc<Mutex<HashSet<u64>>>,
    /// The most that ever came at once.
    most: Arc<AtomicUsize>,
}

impl AsyncSink for Writes {
    type Input = Number;

    async fn run(self, mut inputs: Inputs<Number>) -> BoltResult {
        while let Some(numbers) = inputs.next().await {
            self.most.fetch_max(numbers.len(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_micros(200)).await;
            for number in numbers {
                let n = number.n;
                let first = n.is_multiple_of(1_000) && self.tried.lock().unwrap().insert(n);
                match n / 1_000 {
                    1 if first => panic!("trouble with {n}"),
                    2 if first => return Err("the end of this one".into()),
                    3 if first => drop(number),
                    4 if first => number.fail("not now"),
                    5 if first => number.unavailable("away"),
                    6 if first => return Ok(()), // with inputs in its hands
                    _ => {
                        self.seen.lock().unwrap().insert(n);
                        number.ack();
                    }
                }
            }
        }
        Ok(())
    }
}

/// Writes when it ticks, and only then.
struct OnTick;

impl AsyncSink for OnTick {
    type Input = Number;

    async fn run(self, mut inputs: Inputs<Number>) -> BoltResult {
        let mut held = Vec::new();
        while let Some(numbers) = inputs.next().await {
            if numbers.is_empty() {
                held.drain(..).for_each(Input::ack);
            }
            held.extend(numbers);
        }
        Ok(())
    }
}

#[test]
fn a_sink_that_holds_all_that_it_may_still_ticks() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("ticks", fusion);
        let numbers = audit.spout(&mut t, 1_000);
        let sink = t.async_sink("sink", |_| OnTick).concurrency(HELD);
        sink.tick_every(Duration::from_millis(5)).shuffle(&numbers);
        run(t);
        audit.assert_each_acked_once(1_000);
    });
}

#[test]
fn a_sink_that_fails_panics_or_ends_too_soon_loses_nothing() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("trouble", fusion);
        let numbers = audit.spout(&mut t, 10_000);
        let (tried, seen, most) = <(Arc<Mutex<_>>, Arc<Mutex<HashSet<u64>>>, Arc<_>)>::default();
        let (has_seen, came) = (Arc::clone(&seen), Arc::clone(&most));
        let writes = move |_: &Context| Writes {
            tried: Arc::clone(&tried),
            seen: Arc::clone(&seen),
            most: Arc::clone(&most),
        };
        t.async_sink("writes", writes).concurrency(HELD).shuffle(&numbers);
        let finished = run(t);
        audit.assert_each_acked_once(10_000);
        assert_eq!(has_seen.lock().unwrap().len(), 10_000, "none is lost");
        let came = came.load(Ordering::Relaxed);
        assert!((2..=HELD as usize).contains(&came), "in batches, but no more than it may: {came}");
        let failed = audit.failed.lock().unwrap();
        let of = |n: u64| failed.iter().find(|(id, _)| *id == n).map(|(_, reason)| *reason);
        let reasons = [1, 2, 3, 4, 5, 6].map(|n| of(n * 1_000).unwrap_or("none"));
        let expected = ["panic", "error", "dropped-guard", "error", "unavailable", "error"];
        assert_eq!(reasons, expected, "of {failed:?}");
        let errors = &finished.snapshot.errors;
        let told = |text: &str| errors.iter().any(|error| error.text.contains(text));
        assert!(told("before its inputs had ended"), "the newest are kept: {errors:?}");
    });
}
