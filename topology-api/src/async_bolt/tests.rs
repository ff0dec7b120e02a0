//! Async bolts by hand, without a runtime.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::prelude::*;
use crate::testing::{BoltDriver, Setup};

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Number {
    n: u64,
}

/// Lets calls go on when a test says so, from whatever thread.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<BTreeMap<u64, Option<Waker>>>>);

impl Gate {
    fn open(&self, n: u64) {
        let waiting = self.0.lock().unwrap().insert(n, None);
        if let Some(waker) = waiting.flatten() {
            waker.wake();
        }
    }

    async fn pass(&self, n: u64) {
        poll_fn(|cx| {
            match self.0.lock().unwrap().entry(n).or_insert_with(|| Some(Waker::noop().clone())) {
                None => Poll::Ready(()),
                Some(waker) => {
                    waker.clone_from(cx.waker());
                    Poll::Pending
                }
            }
        })
        .await;
    }
}

struct Gated {
    gate: Gate,
    passed: RefCell<Vec<u64>>,
    cx: Context,
}

impl AsyncBolt for Gated {
    type Input = Number;
    type Output = Number;

    async fn execute(&self, number: Number, out: &mut Output<Number>) -> BoltResult {
        out.emit_unanchored(Number { n: 100 + number.n });
        self.gate.pass(number.n).await;
        self.passed.borrow_mut().push(number.n);
        out.emit(number);
        Ok(())
    }

    async fn finish(&self, _: &mut Output<Number>) -> BoltResult {
        self.gate.pass(99).await;
        self.cx.result(&*self.passed.borrow());
        Err("the end is shown, too".into())
    }
}

fn gated(gate: &Gate) -> BoltDriver<Number, Number> {
    let gate = gate.clone();
    let make = move |cx: &Context| Gated {
        gate: gate.clone(),
        passed: RefCell::default(),
        cx: cx.clone(),
    };
    BoltDriver::asynchronous(Setup::new(), make).unwrap()
}

#[test]
fn answers_leave_in_order_each_anchored_to_its_input() {
    let gate = Gate::default();
    let mut bolt = gated(&gate);
    let [first, second] = [0, 1].map(|n| bolt.execute(Number { n }));
    gate.open(1);
    bolt.advance(Duration::ZERO);
    assert!(bolt.emissions().is_empty() && bolt.acked().is_empty(), "the first is before it");
    let opens = gate.clone();
    let thread = std::thread::spawn(move || opens.open(0));
    bolt.wait();
    thread.join().unwrap();
    let emitted: Vec<_> = bolt.emissions().into_iter().map(|e| (e.tuple.n, e.anchors)).collect();
    let expected = [(100, vec![]), (0, vec![first]), (101, vec![]), (1, vec![second])];
    assert_eq!(emitted, expected, "in the order of the inputs");
    assert_eq!(bolt.acked(), [first, second]);
    gate.open(99);
    bolt.finish();
    assert_eq!(bolt.result().unwrap(), serde_json::json!([1, 0]), "`finish` is waited for");
    assert_eq!(bolt.errors(), ["the end is shown, too"]);
}

#[test]
fn a_call_past_its_deadline_is_dropped_and_those_behind_it_go_on() {
    let gate = Gate::default();
    let mut bolt = gated(&gate);
    let first = bolt.execute(Number { n: 0 });
    bolt.advance(Duration::from_secs(29));
    let second = bolt.execute(Number { n: 1 });
    gate.open(1);
    bolt.advance(Duration::from_secs(1));
    let failed = bolt.failed();
    assert_eq!(failed.len(), 1, "of two: {failed:?}");
    assert_eq!(failed[0].0, first, "the one that is late");
    assert!(failed[0].1.contains("had not returned after 22s500ms"), "it says why: {failed:?}");
    assert_eq!(bolt.acked(), [second]);
    gate.open(0);
    bolt.wait();
    let emitted: Vec<u64> = bolt.emitted().into_iter().map(|number| number.n).collect();
    assert_eq!(emitted, [101, 1], "what a late call emitted is gone");
}

#[test]
fn what_is_under_way_at_the_end_fails() {
    let mut bolt = gated(&Gate::default());
    let held = bolt.execute(Number { n: 0 });
    assert_eq!(bolt.held(), [held]);
    bolt.close();
    assert_eq!(bolt.failed().len(), 1, "its guard is dropped with it");
}
