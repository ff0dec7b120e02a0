//! Guarantees of delivery, shown on whole topologies that run in this process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod asynchronous;
mod blocking;
mod efforts;
mod explicit;
mod fairness;
mod groupings;
mod limits;
mod manners;
mod memory;
mod metrics;
mod sinks;
mod streams;
mod ticks;
mod vocabulary;
mod waking;

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::sync::{Arc, Mutex};

use topology_api::prelude::*;
use topology_api::{NoOutput, Port};

use crate::vocabulary::{Audit, Number, Pass, fused_and_not, run, topology};

#[test]
fn every_tuple_is_acked_once_and_arrives_in_order() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("order", fusion);
        let numbers = audit.spout(&mut t, 50_000);
        let passed = t.bolt("pass", |_| Pass { trouble: |_| Ok(()) }).shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&passed);
        run(t);
        audit.assert_each_acked_once(50_000);
        let seen = audit.seen.lock().unwrap();
        assert!(seen.iter().map(|(_, n)| *n).eq(0..50_000), "first in, first out, and none lost");
    });
}

#[test]
fn a_key_always_meets_the_same_task() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("keys", fusion);
        let numbers = audit.spout(&mut t, 20_000);
        let pass = |_: &Context| Pass { trouble: |_| Ok(()) };
        let passed = t.bolt("pass", pass).parallelism(3).shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).parallelism(4).fields_named(&passed, &["n"]);
        t.bolt("again", audit.sink()).parallelism(4).fields(&passed, |number| &number.n);
        run(t);
        audit.assert_each_acked_once(20_000);
        let mut owners: BTreeMap<u64, HashSet<u32>> = BTreeMap::new();
        for (task, n) in audit.seen.lock().unwrap().iter() {
            owners.entry(*n).or_default().insert(*task);
        }
        assert!(
            owners.values().all(|tasks| tasks.len() == 1),
            "names and accessor lead the same key to the same task"
        );
    });
}

#[test]
fn all_grouping_gives_every_task_every_tuple() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("all", fusion);
        let numbers = audit.spout(&mut t, 1_000);
        t.bolt("sink", audit.sink()).parallelism(3).all(&numbers);
        run(t);
        audit.assert_each_acked_once(1_000);
        assert_eq!(audit.seen.lock().unwrap().len(), 3_000, "three copies of each");
    });
}

#[test]
fn an_error_fails_its_tuple_and_it_is_replayed() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("errors", fusion);
        let numbers = audit.spout(&mut t, 5_000);
        let flaky = |_: &Context| {
            let mut tried = HashSet::new();
            let trouble = move |n: u64| {
                if n.is_multiple_of(7) && tried.insert(n) {
                    Err("first try".into())
                } else {
                    Ok(())
                }
            };
            Pass { trouble }
        };
        let passed = t.bolt("flaky", flaky).shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&passed);
        let finished = run(t);
        audit.assert_each_acked_once(5_000);
        let failed = audit.failed.lock().unwrap();
        assert_eq!(failed.len(), 715, "each multiple of seven failed once");
        assert!(failed.iter().all(|(_, reason)| *reason == "error"), "and for this reason");
        assert!(finished.snapshot.errors.iter().any(|e| e.text == "first try"), "it is shown");
    });
}

#[test]
fn a_panic_fails_its_tuple_and_the_task_goes_on() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("panics", fusion);
        let numbers = audit.spout(&mut t, 3_000);
        let tried = Arc::new(Mutex::new(HashSet::new()));
        let flaky = move |_: &Context| {
            let tried = Arc::clone(&tried);
            let trouble = move |n: u64| {
                let first = n % 1_000 == 500 && tried.lock().unwrap().insert(n);
                assert!(!first, "trouble with {n}");
                Ok(())
            };
            Pass { trouble }
        };
        let passed = t.bolt("flaky", flaky).shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&passed);
        let finished = run(t);
        audit.assert_each_acked_once(3_000);
        let seen: HashSet<u64> = audit.seen.lock().unwrap().iter().map(|(_, n)| *n).collect();
        assert_eq!(seen.len(), 3_000, "nothing is lost");
        let shown =
            finished.snapshot.errors.iter().any(|error| error.text.contains("trouble with"));
        assert!(shown, "the panic's text is shown");
    });
}

/// Sends odd numbers to a side output.
struct Sort {
    odd: Port<Number>,
}

impl Bolt for Sort {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        if number.n % 2 == 1 {
            out.to(&self.odd).emit(number);
        } else {
            out.emit(number);
        }
        Ok(())
    }
}

#[test]
fn a_side_output_is_a_stream_of_its_own() {
    fused_and_not(|fusion| {
        let (evens, odds) = (Audit::default(), Audit::default());
        let mut t = topology("sides", fusion);
        let numbers = evens.spout(&mut t, 1_000);
        let sort = t.bolt("sort", |cx| cx.port("odd").map(|odd| Sort { odd })).shuffle(&numbers);
        t.bolt("odds", odds.sink()).shuffle(&sort.output::<Number>("odd"));
        t.bolt("evens", evens.sink()).shuffle(&sort.stream());
        run(t);
        evens.assert_each_acked_once(1_000);
        assert!(
            evens.seen.lock().unwrap().iter().all(|(_, n)| n % 2 == 0),
            "evens on the main one"
        );
        assert_eq!(odds.seen.lock().unwrap().len(), 500, "odds on the side one");
    });
}

/// One tuple becomes many, pulled as there is room.
struct Burst;

impl Bolt for Burst {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        out.emit_from((0..300_000).map(move |n| Number { n: number.n * 1_000_000 + n }));
        Ok(())
    }
}

/// Counts, and leaves the count as its result.
struct Total {
    total: u64,
    cx: Context,
}

impl Bolt for Total {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, _: Number, _: &mut Output<NoOutput>) -> BoltResult {
        self.total += 1;
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.cx.result(&self.total);
    }
}

#[test]
fn one_tuple_may_become_very_many_and_finish_sees_them_all() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("burst", fusion);
        let numbers = audit.spout(&mut t, 3);
        let many = t.bolt("burst", |_| Burst).shuffle(&numbers).stream();
        let total = |cx: &Context| Total { total: 0, cx: cx.clone() };
        t.bolt("total", total).global(&many);
        let finished = run(t);
        audit.assert_each_acked_once(3);
        let results = &finished.snapshot.results;
        assert!(results.values().eq(["900000"]), "one task leaves a result: {results:?}");
    });
}

#[test]
fn without_acking_everything_is_acked_at_once() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("unacked", fusion);
        t.config("acking", "false").unwrap();
        let numbers = audit.spout(&mut t, 10_000);
        t.bolt("sink", audit.sink()).shuffle(&numbers);
        run(t);
        audit.assert_each_acked_once(10_000);
        assert_eq!(audit.seen.lock().unwrap().len(), 10_000, "nothing is lost while all live");
    });
}

#[test]
fn a_factory_that_fails_is_tried_again() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let tries = Arc::new(Mutex::new(0));
        let mut t = topology("factory", fusion);
        let numbers = audit.spout(&mut t, 100);
        let make = move |_: &Context| {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            if *tries < 3 { Err("not yet") } else { Ok(Pass { trouble: |_| Ok(()) }) }
        };
        let passed = t.bolt("late", make).shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).shuffle(&passed);
        let finished = run(t);
        audit.assert_each_acked_once(100);
        let shown = finished.snapshot.errors.iter().filter(|e| e.text == "not yet").count();
        assert_eq!(shown, 2, "each failed try is shown");
    });
}

#[test]
fn words_of_files_are_counted_as_a_plain_count_does() {
    fused_and_not(|fusion| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for n in 0..20_000 {
            writeln!(file, "line {} of {}", n, n % 97).unwrap();
        }
        let path = file.path().to_owned();
        let audit = Audit::default();
        let mut t = topology("lines", fusion);
        let lines = t.spout("lines", move |cx| LineFiles::open(vec![path.clone()], cx)).stream();
        let words = t.bolt("split", |_| Lengths).parallelism(2).local_or_shuffle(&lines).stream();
        t.bolt("sink", audit.sink()).parallelism(2).fields(&words, |number| &number.n);
        run(t);
        assert_eq!(audit.seen.lock().unwrap().len(), 80_000, "four words a line");
    });
}

/// Emits the length of each word.
struct Lengths;

impl Bolt for Lengths {
    type Input = Line;
    type Output = Number;

    fn execute(&mut self, line: Line, out: &mut Output<Number>) -> BoltResult {
        for word in line.text.split_whitespace() {
            out.emit(Number { n: word.len() as u64 });
        }
        Ok(())
    }
}
