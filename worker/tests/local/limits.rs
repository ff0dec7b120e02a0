//! Sizes that are bounded: what one tuple and one call may take.

use std::collections::HashSet;

use topology_api::prelude::*;
use topology_api::{NoOutput, Port};

use crate::vocabulary::{Audit, Number, fused_and_not, run, topology};

#[derive(Clone, Debug, Tuple)]
struct Blob {
    bytes: Vec<u8>,
}

/// Turns a number into so many bytes; the second time, into few.
#[derive(Default)]
struct Inflate {
    seen: HashSet<u64>,
}

impl Bolt for Inflate {
    type Input = Number;
    type Output = Blob;

    fn execute(&mut self, number: Number, out: &mut Output<Blob>) -> BoltResult {
        // Two bytes say how long the field is.
        let length = if self.seen.insert(number.n) { 1_000 + number.n } else { 1 };
        out.emit(Blob { bytes: vec![0; length as usize] });
        Ok(())
    }
}

struct Measure {
    cx: Context,
    longest: usize,
}

impl Bolt for Measure {
    type Input = Blob;
    type Output = NoOutput;

    fn execute(&mut self, blob: Blob, _: &mut Output<NoOutput>) -> BoltResult {
        self.longest = self.longest.max(blob.bytes.len());
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.cx.result(&self.longest);
    }
}

#[test]
fn a_tuple_at_the_size_limit_passes_and_one_over_it_fails() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("large", fusion);
        t.config("tuple.max_bytes", "1024").unwrap();
        let numbers = audit.spout(&mut t, 30);
        let blobs = t.bolt("inflate", |_| Inflate::default()).shuffle(&numbers).stream();
        t.bolt("measure", |cx| Measure { cx: cx.clone(), longest: 0 }).shuffle(&blobs);
        let finished = run(t);
        audit.assert_each_acked_once(30);
        assert!(finished.snapshot.results.values().eq(["1022"]), "the largest that fits came");
        let failed = audit.failed.lock().unwrap();
        let over: HashSet<u64> = failed.iter().map(|(n, _)| *n).collect();
        assert_eq!(over, (23..30).collect(), "each that was over the limit failed once");
        assert!(failed.iter().all(|(_, reason)| *reason == "too-large"), "{failed:?}");
        let errors = &finished.snapshot.errors;
        let told = errors.iter().any(|error| error.text.contains("`tuple.max_bytes` = 1KiB"));
        assert!(told, "what the limit is and how to raise it is shown: {errors:?}");
    });
}

/// Emits far more than its budget in one call, the first time.
struct Flood {
    calls: u32,
}

impl Bolt for Flood {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        self.calls += 1;
        let copies = if self.calls == 1 { 10_000_000 } else { 1 };
        (0..copies).for_each(|_| out.emit(number.clone()));
        Ok(())
    }
}

#[test]
fn a_call_that_emits_ten_million_tuples_fails_its_input_and_says_what_to_do() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("flood", fusion);
        t.config("output.budget", "64KiB").unwrap();
        let numbers = audit.spout(&mut t, 100);
        let flood = t.bolt("flood", |_| Flood { calls: 0 }).shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&flood);
        let finished = run(t);
        audit.assert_each_acked_once(100);
        let failed = audit.failed.lock().unwrap();
        assert_eq!(failed.as_slice(), [(0, "too-much-output")], "the call that emitted too much");
        let errors = &finished.snapshot.errors;
        let told = errors.iter().any(|error| error.text.contains("emit_from"));
        assert!(told, "the way out is shown: {errors:?}");
    });
}

/// Does not come back for two seconds, once.
struct Sleepy;

impl Bolt for Sleepy {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, number: Number, _: &mut Output<NoOutput>) -> BoltResult {
        if number.n == 5 {
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        Ok(())
    }
}

#[test]
fn a_call_that_does_not_come_back_is_reported_once_while_it_lasts() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("sleepy", fusion);
        t.config("stuck_after", "100ms").unwrap();
        let numbers = audit.spout(&mut t, 20);
        t.bolt("sleepy", |_| Sleepy).shuffle(&numbers);
        let finished = run(t);
        audit.assert_each_acked_once(20);
        let errors = finished.snapshot.errors;
        let stuck: Vec<_> = errors.iter().filter(|error| error.reason == "stuck").collect();
        assert_eq!(stuck.len(), 1, "told once: {errors:?}");
        assert_eq!(stuck[0].task, 1, "of the task that is called");
    });
}

/// Emits what it is told of as numbers through an iterator when there is no more.
#[derive(Default)]
struct AtTheEnd {
    told: u64,
}

impl Bolt for AtTheEnd {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, _: Number, _: &mut Output<Number>) -> BoltResult {
        self.told += 1;
        Ok(())
    }

    fn finish(&mut self, out: &mut Output<Number>) {
        out.emit_from((0..self.told).map(|n| Number { n }));
    }
}

#[test]
fn what_an_iterator_gives_in_finish_arrives() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("at-the-end", fusion);
        let numbers = audit.spout(&mut t, 50_000);
        let later = t.bolt("later", |_| AtTheEnd::default()).global(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&later);
        run(t);
        let seen = audit.seen.lock().unwrap();
        assert!(seen.iter().map(|(_, n)| *n).eq(0..50_000), "all of them, in order");
    });
}

/// Emits far more than its budget to its side output, the first time.
struct SideFlood {
    flooded: bool,
    side: Port<Number>,
}

impl Bolt for SideFlood {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, number: Number, out: &mut Output<NoOutput>) -> BoltResult {
        let copies = if std::mem::replace(&mut self.flooded, true) { 1 } else { 1_000_000 };
        (0..copies).for_each(|_| out.to(&self.side).emit(number.clone()));
        Ok(())
    }
}

#[test]
fn a_side_output_counts_against_the_budget_of_a_call() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("side", fusion);
        t.config("output.budget", "64KiB").unwrap();
        let numbers = audit.spout(&mut t, 100);
        let make = |cx: &Context| cx.port("side").map(|side| SideFlood { flooded: false, side });
        let flood = t.bolt("flood", make).shuffle(&numbers);
        t.bolt("sink", audit.sink()).global(&flood.output::<Number>("side"));
        run(t);
        audit.assert_each_acked_once(100);
        let failed = audit.failed.lock().unwrap();
        assert_eq!(failed.as_slice(), [(0, "too-much-output")], "the call that emitted too much");
    });
}

/// Emits many numbers in one call when there is no more.
struct Tail;

impl Bolt for Tail {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, _: Number, _: &mut Output<Number>) -> BoltResult {
        Ok(())
    }

    fn finish(&mut self, out: &mut Output<Number>) {
        (0..3_000).for_each(|n| out.emit(Number { n }));
    }
}

/// Takes its time.
struct Slow(Context, u64);

impl Bolt for Slow {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, _: Number, _: &mut Output<NoOutput>) -> BoltResult {
        self.1 += 1;
        (0..300_u64).for_each(|n| assert!(std::hint::black_box(n) < 300));
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.0.result(&self.1);
    }
}

#[test]
fn a_task_that_ends_with_more_than_its_target_has_room_for_is_known_to_have_ended() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("tail", fusion);
        let numbers = audit.spout(&mut t, 100);
        let tails = t.bolt("tail", |_| Tail).parallelism(4).shuffle(&numbers).stream();
        t.bolt("slow", |cx| Slow(cx.clone(), 0)).global(&tails);
        let results = run(t).snapshot.results;
        assert!(results.values().eq(["12000"]), "all of it came: {results:?}");
    });
}
