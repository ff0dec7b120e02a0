//! Bolts that give their verdicts themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use topology_api::NoOutput;
use topology_api::prelude::*;

use crate::vocabulary::{Audit, Number, fused_and_not, run, topology};

/// Sums pairs, anchored to both.
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
        std::thread::spawn(move || first.ack()).join().unwrap();
        input.ack();
        Ok(())
    }
}

#[test]
fn a_joined_tuple_holds_both_trees_open_and_a_dropped_guard_fails_its_own() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("pairs", fusion);
        let numbers = audit.spout(&mut t, 2_000);
        let pairs = t.explicit_bolt("pairs", |_| Ok(Pairs::default())).shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&pairs);
        run(t);
        audit.assert_each_acked_once(2_000);
        let failed = audit.failed.lock().unwrap();
        assert_eq!(failed.len(), 5, "each dropped guard failed its tuple");
        assert!(failed.iter().all(|(_, reason)| *reason == "dropped-guard"), "{failed:?}");
    });
}

/// Holds three tuples back and panics once with them in hand.
#[derive(Default)]
struct Hoarder {
    held: Vec<Input<Number>>,
    panicked: Arc<AtomicBool>,
}

impl ExplicitBolt for Hoarder {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, input: Input<Number>, _: &mut Output<NoOutput>) -> BoltResult {
        self.held.push(input);
        let first = self.held.len() == 4 && !self.panicked.swap(true, Ordering::Relaxed);
        assert!(!first, "four are too many");
        if self.held.len() >= 4 {
            self.held.drain(..).for_each(Input::ack);
        }
        Ok(())
    }
}

#[test]
fn a_panic_fails_all_that_was_held_for_that_reason() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("hoard", fusion);
        let numbers = audit.spout(&mut t, 1_000);
        let panicked = Arc::new(AtomicBool::new(false));
        let make = move |_: &Context| {
            let panicked = Arc::clone(&panicked);
            Ok(Hoarder { held: Vec::new(), panicked })
        };
        t.explicit_bolt("hoard", make).shuffle(&numbers);
        run(t);
        audit.assert_each_acked_once(1_000);
        let failed = audit.failed.lock().unwrap();
        assert_eq!(failed.len(), 4, "what was held and the tuple in hand: {failed:?}");
        assert!(failed.iter().all(|(_, reason)| *reason == "panic"), "{failed:?}");
    });
}

/// Keeps the first tuple for 45 ticks and says all the time that it is at work on it.
struct Patient {
    held: Option<Input<Number>>,
    ticks: u32,
}

impl ExplicitBolt for Patient {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, input: Input<Number>, _: &mut Output<NoOutput>) -> BoltResult {
        if self.held.is_none() && self.ticks == 0 {
            self.held = Some(input);
        } else {
            input.ack();
        }
        Ok(())
    }

    fn tick(&mut self, _: &mut Output<NoOutput>) {
        self.ticks += 1;
        match self.held.take() {
            Some(held) if self.ticks < 45 => {
                held.reset_timeout();
                self.held = Some(held);
            }
            Some(held) => held.ack(),
            None => {}
        }
    }
}

#[test]
fn a_timeout_that_is_reset_starts_again() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("patient", fusion);
        t.config("message_timeout", "2s").unwrap();
        let numbers = audit.spout(&mut t, 10);
        let patient = t.explicit_bolt("patient", |_| Ok(Patient { held: None, ticks: 0 }));
        patient.tick_every(Duration::from_millis(100)).shuffle(&numbers);
        run(t);
        audit.assert_each_acked_once(10);
        let failed = audit.failed.lock().unwrap();
        assert!(failed.is_empty(), "it was held for more than two timeouts: {failed:?}");
    });
}
