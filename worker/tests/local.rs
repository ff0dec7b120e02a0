//! Guarantees of delivery, shown on whole topologies that run in this process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::sync::{Arc, Mutex};

use topology_api::prelude::*;
use topology_api::{NoOutput, Port};
use worker::{Finished, run_here};

#[derive(Clone, Debug, Tuple)]
struct Number {
    n: u64,
}

/// Emits 0..count; what fails is emitted again.
struct Numbers {
    next: u64,
    count: u64,
    again: Vec<u64>,
    acked: Arc<Mutex<HashMap<u64, u32>>>,
    failed: Arc<Mutex<Vec<(u64, &'static str)>>>,
}

impl Spout for Numbers {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        let n = match self.again.pop() {
            Some(n) => n,
            None if self.next == self.count => return Ok(Next::Finished),
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        out.emit(n, Number { n });
        Ok(Next::Emitted)
    }

    fn ack(&mut self, id: u64) {
        *self.acked.lock().unwrap().entry(id).or_default() += 1;
    }

    fn fail(&mut self, id: u64, reason: FailReason) {
        self.failed.lock().unwrap().push((id, reason.name()));
        self.again.push(id);
    }
}

/// What tests look at afterwards.
#[derive(Clone, Default)]
struct Audit {
    acked: Arc<Mutex<HashMap<u64, u32>>>,
    failed: Arc<Mutex<Vec<(u64, &'static str)>>>,
    seen: Arc<Mutex<Vec<(u32, u64)>>>,
}

impl Audit {
    fn spout(&self, t: &mut TopologyBuilder, count: u64) -> Stream<Number> {
        let Self { acked, failed, .. } = self.clone();
        let numbers = move |_: &Context| Numbers {
            next: 0,
            count,
            again: Vec::new(),
            acked: Arc::clone(&acked),
            failed: Arc::clone(&failed),
        };
        t.spout("numbers", numbers).stream()
    }

    fn sink(&self) -> impl Fn(&Context) -> Sink + Send + Sync + 'static {
        let seen = Arc::clone(&self.seen);
        move |cx| Sink { task: cx.task_index(), seen: Arc::clone(&seen) }
    }

    fn assert_each_acked_once(&self, count: u64) {
        let acked = self.acked.lock().unwrap();
        assert_eq!(acked.len() as u64, count, "every tuple is acked in the end");
        assert!(acked.values().all(|times| *times == 1), "none is acked twice");
    }
}

struct Sink {
    task: u32,
    seen: Arc<Mutex<Vec<(u32, u64)>>>,
}

impl Bolt for Sink {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, number: Number, _: &mut Output<NoOutput>) -> BoltResult {
        self.seen.lock().unwrap().push((self.task, number.n));
        Ok(())
    }
}

/// Passes numbers on, or does what `trouble` says first.
struct Pass<F> {
    trouble: F,
}

impl<F> Bolt for Pass<F>
where
    F: FnMut(u64) -> BoltResult + Send + 'static,
{
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        (self.trouble)(number.n)?;
        out.emit(number);
        Ok(())
    }
}

fn run(t: TopologyBuilder) -> Finished {
    let finished = run_here(t.build().unwrap(), Args::default()).unwrap();
    assert!(finished.complete, "it ends by itself");
    finished
}

#[test]
fn every_tuple_is_acked_once_and_arrives_in_order() {
    let audit = Audit::default();
    let mut t = TopologyBuilder::new("order");
    let numbers = audit.spout(&mut t, 50_000);
    let passed = t.bolt("pass", |_| Pass { trouble: |_| Ok(()) }).shuffle(&numbers).stream();
    t.bolt("sink", audit.sink()).global(&passed);
    run(t);
    audit.assert_each_acked_once(50_000);
    let seen = audit.seen.lock().unwrap();
    assert!(seen.iter().map(|(_, n)| *n).eq(0..50_000), "first in, first out, and none lost");
}

#[test]
fn a_key_always_meets_the_same_task() {
    let audit = Audit::default();
    let mut t = TopologyBuilder::new("keys");
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
}

#[test]
fn all_grouping_gives_every_task_every_tuple() {
    let audit = Audit::default();
    let mut t = TopologyBuilder::new("all");
    let numbers = audit.spout(&mut t, 1_000);
    t.bolt("sink", audit.sink()).parallelism(3).all(&numbers);
    run(t);
    audit.assert_each_acked_once(1_000);
    assert_eq!(audit.seen.lock().unwrap().len(), 3_000, "three copies of each");
}

#[test]
fn an_error_fails_its_tuple_and_it_is_replayed() {
    let audit = Audit::default();
    let mut t = TopologyBuilder::new("errors");
    let numbers = audit.spout(&mut t, 5_000);
    let flaky = |_: &Context| {
        let mut tried = HashSet::new();
        let trouble = move |n: u64| {
            if n.is_multiple_of(7) && tried.insert(n) { Err("first try".into()) } else { Ok(()) }
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
}

#[test]
fn a_panic_fails_its_tuple_and_the_task_goes_on() {
    let audit = Audit::default();
    let mut t = TopologyBuilder::new("panics");
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
    let shown = finished.snapshot.errors.iter().any(|error| error.text.contains("trouble with"));
    assert!(shown, "the panic's text is shown");
}

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
    let audit = Audit::default();
    let mut t = TopologyBuilder::new("pairs");
    let numbers = audit.spout(&mut t, 2_000);
    let pairs = t.explicit_bolt("pairs", |_| Ok(Pairs::default())).shuffle(&numbers).stream();
    t.bolt("sink", audit.sink()).global(&pairs);
    run(t);
    audit.assert_each_acked_once(2_000);
    let failed = audit.failed.lock().unwrap();
    assert_eq!(failed.len(), 5, "each dropped guard failed its tuple");
    assert!(failed.iter().all(|(_, reason)| *reason == "dropped-guard"), "{failed:?}");
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
    let (evens, odds) = (Audit::default(), Audit::default());
    let mut t = TopologyBuilder::new("sides");
    let numbers = evens.spout(&mut t, 1_000);
    let sort = t.bolt("sort", |cx| cx.port("odd").map(|odd| Sort { odd })).shuffle(&numbers);
    t.bolt("odds", odds.sink()).shuffle(&sort.output::<Number>("odd"));
    t.bolt("evens", evens.sink()).shuffle(&sort.stream());
    run(t);
    evens.assert_each_acked_once(1_000);
    assert!(evens.seen.lock().unwrap().iter().all(|(_, n)| n % 2 == 0), "evens on the main one");
    assert_eq!(odds.seen.lock().unwrap().len(), 500, "odds on the side one");
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
    let audit = Audit::default();
    let mut t = TopologyBuilder::new("burst");
    let numbers = audit.spout(&mut t, 3);
    let many = t.bolt("burst", |_| Burst).shuffle(&numbers).stream();
    let total = |cx: &Context| Total { total: 0, cx: cx.clone() };
    t.bolt("total", total).global(&many);
    let finished = run(t);
    audit.assert_each_acked_once(3);
    let results = &finished.snapshot.results;
    assert!(results.values().eq(["900000"]), "one task leaves a result: {results:?}");
}

#[test]
fn without_acking_everything_is_acked_at_once() {
    let audit = Audit::default();
    let mut t = TopologyBuilder::new("unacked");
    t.config("acking", "false").unwrap();
    let numbers = audit.spout(&mut t, 10_000);
    t.bolt("sink", audit.sink()).shuffle(&numbers);
    run(t);
    audit.assert_each_acked_once(10_000);
    assert_eq!(audit.seen.lock().unwrap().len(), 10_000, "nothing is lost while all live");
}

#[test]
fn a_factory_that_fails_is_tried_again() {
    let audit = Audit::default();
    let tries = Arc::new(Mutex::new(0));
    let mut t = TopologyBuilder::new("factory");
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
}

#[test]
fn words_of_files_are_counted_as_a_plain_count_does() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for n in 0..20_000 {
        writeln!(file, "line {} of {}", n, n % 97).unwrap();
    }
    let path = file.path().to_owned();
    let audit = Audit::default();
    let mut t = TopologyBuilder::new("lines");
    let lines = t.spout("lines", move |cx| LineFiles::open(vec![path.clone()], cx)).stream();
    let words = t.bolt("split", |_| Lengths).parallelism(2).local_or_shuffle(&lines).stream();
    t.bolt("sink", audit.sink()).parallelism(2).fields(&words, |number| &number.n);
    run(t);
    assert_eq!(audit.seen.lock().unwrap().len(), 80_000, "four words a line");
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
