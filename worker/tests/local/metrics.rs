//! Metrics of an author's own reach the reports, and outlive the instance that used them.

use topology_api::prelude::*;
use topology_api::{Counter, Gauge, Histogram};

use crate::vocabulary::{Audit, Number, run, topology};

struct Measure {
    seen: Counter,
    newest: Gauge,
    values: Histogram,
}

impl Measure {
    fn new(cx: &Context) -> Self {
        let (seen, newest) = (cx.counter("seen"), cx.gauge("newest"));
        Self { seen, newest, values: cx.histogram("values") }
    }
}

impl Bolt for Measure {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        self.seen.add(1);
        self.newest.set(7.0);
        self.values.record(number.n % 10);
        // Once, when half of them are through.
        assert!(self.seen.get() != 500, "a panic takes the instance, not its metrics");
        out.emit(number);
        Ok(())
    }
}

#[test]
fn metrics_of_ones_own_are_reported_and_go_on_after_a_panic() {
    let audit = Audit::default();
    let mut t = topology("measured", true);
    let numbers = audit.spout(&mut t, 1_000);
    let measured = t.bolt("measure", Measure::new).shuffle(&numbers).stream();
    t.bolt("sink", audit.sink()).shuffle(&measured);
    let finished = run(t);
    let task = finished.snapshot.tasks.iter().find(|task| task.component == "measure").unwrap();
    // The tuple of the panic failed and came again.
    assert_eq!(task.counters["seen"], 1_001, "before the panic and after it");
    assert_eq!(task.gauges["newest"].to_bits(), 7_f64.to_bits());
    let values: u64 = task.histograms["values"].iter().map(|(_, count)| count).sum();
    assert_eq!((values, task.histograms["values"].len()), (1_001, 10), "by their last digit");
}
