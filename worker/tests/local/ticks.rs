//! Ticks come while there is work.

use std::time::Duration;

use topology_api::prelude::*;

use crate::vocabulary::{Audit, Number, fused_and_not, run, topology};

/// Emits ten for one, and counts its ticks.
struct Ten {
    ticks: u32,
    cx: Context,
}

impl Bolt for Ten {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        (0..10).for_each(|_| out.emit(number.clone()));
        Ok(())
    }

    fn tick(&mut self, _: &mut Output<Number>) {
        self.ticks += 1;
    }

    fn finish(&mut self, _: &mut Output<Number>) {
        self.cx.result(&self.ticks);
    }
}

/// Takes its time.
struct Slow;

impl Bolt for Slow {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, _: Number, _: &mut Output<NoOutput>) -> BoltResult {
        std::thread::sleep(Duration::from_micros(100));
        Ok(())
    }
}

#[test]
fn a_bolt_that_waits_for_room_all_the_time_is_ticked_all_the_same() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("ticks", fusion);
        let numbers = audit.spout(&mut t, 1_000);
        let ten = |cx: &Context| Ten { ticks: 0, cx: cx.clone() };
        let many =
            t.bolt("ten", ten).tick_every(Duration::from_millis(20)).shuffle(&numbers).stream();
        t.bolt("slow", |_| Slow).shuffle(&many);
        let finished = run(t);
        let ticks: u32 = finished.snapshot.results.values().next().unwrap().parse().unwrap();
        assert!(ticks >= 5, "there was a second of work, with {ticks} ticks");
    });
}
