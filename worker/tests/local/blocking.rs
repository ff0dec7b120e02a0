//! Blocking components: calls on threads of their own, with the delivery of every other.

use std::collections::{BTreeSet, HashSet};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use topology_api::NoOutput;
use topology_api::prelude::*;

use crate::vocabulary::{Alone, Audit, Number, Pass, fused_and_not, run, topology};

#[test]
fn a_blocking_spout_and_bolt_deliver_each_tuple_once_and_in_order() {
    for acking in ["true", "false"] {
        fused_and_not(|fusion| {
            let audit = Audit::default();
            let mut t = topology("order", fusion);
            t.config("acking", acking).unwrap();
            let numbers = audit.declare(&mut t, 20_000).blocking().stream();
            let pass = t.bolt("pass", |_| Pass { trouble: |_| Ok(()) }).blocking();
            let passed = pass.shuffle(&numbers).stream();
            t.bolt("sink", audit.sink()).global(&passed);
            let finished = run(t);
            audit.assert_each_acked_once(20_000);
            let seen = audit.seen.lock().unwrap();
            assert!(seen.iter().map(|(_, n)| *n).eq(0..20_000), "first in, first out");
            let executed = finished.snapshot.tasks.iter().find(|t| t.component == "pass").unwrap();
            assert_eq!(executed.executed, 20_000, "each is counted");
            assert_eq!(executed.execute.len(), 20_000, "and timed");
        });
    }
}

#[test]
fn a_blocking_bolt_that_fails_or_panics_gets_its_inputs_again() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("trouble", fusion);
        let numbers = audit.spout(&mut t, 3_000);
        let tried = Arc::new(Mutex::new(HashSet::new()));
        let flaky = move |_: &Context| {
            let tried = Arc::clone(&tried);
            let trouble = move |n: u64| {
                let first = n % 500 == 250 && tried.lock().unwrap().insert(n);
                assert!(!first || n % 1_000 == 250, "trouble with {n}");
                if first { Err("first try".into()) } else { Ok(()) }
            };
            Pass { trouble }
        };
        let passed = t.bolt("flaky", flaky).blocking().shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&passed);
        let finished = run(t);
        audit.assert_each_acked_once(3_000);
        let mut failed = audit.failed.lock().unwrap().clone();
        failed.sort_unstable();
        let [error, panic] = ["error", "panic"];
        let expected = [
            (250, error),
            (750, panic),
            (1_250, error),
            (1_750, panic),
            (2_250, error),
            (2_750, panic),
        ];
        assert_eq!(failed, expected, "the inputs in hand, and no others");
        let told = |part| finished.snapshot.errors.iter().any(|e| e.text.contains(part));
        assert!(told("trouble with 750") && told("first try"), "both are shown");
    });
}

/// Sums pairs on its own thread, and lets another one say so.
#[derive(Default)]
struct Pairs {
    first: Option<Input<Number>>,
    drops: u32,
}

impl ExplicitBolt for Pairs {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, input: Input<Number>, out: &mut Output<Number>) -> BoltResult {
        if input.n % 100 == 99 && self.drops < 5 {
            self.drops += 1;
            return Ok(()); // the guard is dropped without a verdict
        }
        let Some(first) = self.first.take() else {
            self.first = Some(input);
            return Ok(());
        };
        out.emit_anchored([&first, &input], Number { n: first.n + input.n });
        thread::spawn(move || first.ack());
        input.ack();
        Ok(())
    }
}

#[test]
fn a_blocking_bolt_may_give_its_verdicts_itself() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("pairs", fusion);
        let numbers = audit.spout(&mut t, 2_000);
        let pairs = t.explicit_bolt("pairs", |_| Ok(Pairs::default())).blocking();
        t.bolt("sink", audit.sink()).global(&pairs.shuffle(&numbers).stream());
        run(t);
        audit.assert_each_acked_once(2_000);
        let failed = audit.failed.lock().unwrap();
        assert_eq!(failed.len(), 5, "each dropped guard failed its tuple");
        assert!(failed.iter().all(|(_, reason)| *reason == "dropped-guard"), "{failed:?}");
    });
}

/// Emits very much in one call, to both of its outputs.
struct Flood {
    side: topology_api::Port<Number>,
}

impl Bolt for Flood {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        for n in 0..50_000 {
            let number = Number { n: number.n * 50_000 + n };
            out.to(&self.side).emit(number.clone());
            out.emit(number);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Output<Number>) {
        out.emit(Number { n: 100_000 });
    }
}

#[test]
fn emit_waits_for_room_on_a_thread_of_its_own() {
    fused_and_not(|fusion| {
        let (main, side) = (Audit::default(), Audit::default());
        let mut t = topology("flood", fusion);
        t.config("output.budget", "64KiB").unwrap();
        let numbers = main.spout(&mut t, 2);
        let make = |cx: &Context| cx.port("side").map(|side| Flood { side });
        let flood = t.bolt("flood", make).blocking().shuffle(&numbers);
        t.bolt("side", side.sink()).global(&flood.output::<Number>("side"));
        t.bolt("main", main.sink()).global(&flood.stream());
        run(t);
        main.assert_each_acked_once(2);
        assert!(main.failed.lock().unwrap().is_empty(), "nothing is too much");
        let seen = |audit: &Audit| audit.seen.lock().unwrap().clone().into_iter().map(|(_, n)| n);
        assert!(seen(&main).eq(0..=100_000), "all in order, and the end behind it");
        assert!(seen(&side).eq(0..100_000), "all in order");
    });
}

/// Emits all its numbers in one call.
struct AtOnce {
    left: u64,
    acked: u64,
    cx: Context,
}

impl Spout for AtOnce {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        (0..std::mem::take(&mut self.left)).for_each(|n| out.emit(n, Number { n }));
        Ok(Next::Finished)
    }

    fn ack(&mut self, _: u64) {
        self.acked += 1;
    }

    fn fail(&mut self, id: u64, reason: FailReason) {
        self.cx.report_error(&format!("{id} failed: {}", reason.name()));
    }

    fn close(&mut self) {
        self.cx.result(&self.acked);
    }
}

#[test]
fn a_spout_may_emit_any_amount_in_one_call() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("at-once", fusion);
        t.config("max_pending", "10").unwrap();
        let make = |cx: &Context| AtOnce { left: 100_000, acked: 0, cx: cx.clone() };
        let numbers = t.spout("at-once", make).blocking().stream();
        t.bolt("sink", audit.sink()).shuffle(&numbers);
        let finished = run(t);
        assert!(finished.snapshot.errors.is_empty(), "none fails: {:?}", finished.snapshot.errors);
        assert!(finished.snapshot.results.values().eq(["100000"]), "each is acked");
    });
}

/// Emits ten, and then does not come back until it is let go.
struct Stuck {
    left: u64,
    go: Receiver<()>,
}

impl Spout for Stuck {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        if self.left == 0 {
            self.go.recv().ok();
            return Ok(Next::Finished);
        }
        self.left -= 1;
        out.emit(self.left, Number { n: self.left });
        Ok(Next::Emitted)
    }
}

#[test]
fn acks_are_folded_while_a_spout_is_in_a_call() {
    let audit = Audit::default();
    let mut t = topology("stuck", true);
    let (let_go, go) = mpsc::channel();
    let go = Mutex::new(Some(go));
    let stuck = move |_: &Context| Stuck { left: 10, go: go.lock().unwrap().take().unwrap() };
    let numbers = t.spout("stuck", stuck).blocking().stream();
    t.bolt("sink", audit.sink()).shuffle(&numbers);
    let (alone, board) = Alone::start(t);
    while board.snapshot().tasks.first().is_none_or(|spout| spout.acked < 10) {
        thread::yield_now();
    }
    while board.snapshot().errors.is_empty() {
        board.show_stuck(Duration::from_millis(1));
        thread::yield_now();
    }
    let errors = board.snapshot().errors;
    assert_eq!((errors[0].reason, errors[0].task), ("stuck", 0), "its call is told of");
    let_go.send(()).unwrap();
    while !board.snapshot().is_ended() {
        thread::yield_now();
    }
    alone.stop();
}

/// Says on which thread it is called.
struct Where(Arc<Mutex<BTreeSet<String>>>);

impl Bolt for Where {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, _: Number, _: &mut Output<NoOutput>) -> BoltResult {
        let name = thread::current().name().map(str::to_owned);
        self.0.lock().unwrap().extend(name);
        thread::sleep(Duration::from_micros(100));
        Ok(())
    }
}

#[test]
fn each_task_has_its_thread_and_its_factory_is_tried_there_until_it_works() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let threads: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let tries = Arc::new(Mutex::new(0));
        let mut t = topology("threads", fusion);
        let numbers = audit.spout(&mut t, 2_000);
        let shared = Arc::clone(&threads);
        let make = move |cx: &Context| {
            assert!(thread::current().name().unwrap().starts_with("where-"), "on its own thread");
            let mut tries = tries.lock().unwrap();
            *tries += u32::from(cx.task_index() == 0);
            if cx.task_index() == 0 && *tries < 3 {
                Err("not yet")
            } else {
                Ok(Where(Arc::clone(&shared)))
            }
        };
        t.bolt("where", make).parallelism(3).blocking().shuffle(&numbers);
        let finished = run(t);
        audit.assert_each_acked_once(2_000);
        assert!(threads.lock().unwrap().iter().eq(["where-0", "where-1", "where-2"]), "three");
        let shown = finished.snapshot.errors.iter().filter(|e| e.text == "not yet").count();
        assert_eq!(shown, 2, "each failed try is shown");
    });
}
