//! What the test drivers show of a component, and what the builder says of a wrong topology.

use std::time::Duration;

use topology_api::prelude::*;
use topology_api::testing::{BoltDriver, Emission, Setup, SpoutDriver};
use topology_api::{Port, TopologyConfig};

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Number {
    n: u64,
}

fn number(n: u64) -> Number {
    Number { n }
}

/// Passes small numbers on, large ones to the output `large`, and counts both.
struct Sort {
    large: Port<Number>,
    cx: Context,
    seen: u64,
}

impl Sort {
    fn open(cx: &Context) -> Result<Self, topology_api::Error> {
        Ok(Self { large: cx.port("large")?, cx: cx.clone(), seen: 0 })
    }
}

impl Bolt for Sort {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, input: Number, out: &mut Output<Number>) -> BoltResult {
        self.seen += 1;
        self.cx.count("seen", 1);
        if input.n >= 100 {
            out.to(&self.large).emit(input);
        } else {
            out.emit(input);
        }
        Ok(())
    }

    fn tick(&mut self, out: &mut Output<Number>) {
        out.emit(number(self.seen));
    }

    fn finish(&mut self, _: &mut Output<Number>) {
        self.cx.result(&self.seen);
    }
}

#[test]
fn a_bolt_shows_its_outputs_counters_ticks_and_result() {
    let setup = Setup::new().output::<Number>("large").tick_every(Duration::from_secs(10));
    let mut sort = BoltDriver::with(setup, Sort::open).expect("the output is declared");
    sort.execute(number(5));
    sort.execute(number(500));
    sort.execute(number(600));
    assert_eq!(sort.emitted(), [number(5)]);
    assert_eq!(sort.emitted_to::<Number>("large"), [number(500), number(600)]);
    assert_eq!(sort.counter("seen"), 3);
    assert_eq!(sort.acked(), [0, 1, 2]);

    sort.advance(Duration::from_secs(25));
    let tick = Emission { tuple: number(3), anchors: Vec::new(), task: None };
    assert_eq!(sort.emissions(), [tick.clone(), tick], "two ticks, tied to no input");

    assert_eq!(sort.result(), None);
    sort.finish();
    assert_eq!(sort.result(), Some(serde_json::json!(3)));
}

#[test]
fn an_undeclared_output_is_an_error_of_the_factory() {
    let error = BoltDriver::new(Sort::open).expect_err("nobody declared it").to_string();
    assert!(error.contains(".output::<"), "{error} should say what to write");
}

/// Emits the sum of two inputs, anchored to both; an odd sum fails the second.
#[derive(Default)]
struct Pairs {
    first: Option<Input<Number>>,
}

impl ExplicitBolt for Pairs {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, input: Input<Number>, out: &mut Output<Number>) -> BoltResult {
        let Some(first) = self.first.take() else {
            self.first = Some(input);
            return Ok(());
        };
        out.emit_anchored([&first, &input], number(first.n + input.n));
        first.ack();
        input.fail("no pair");
        Ok(())
    }
}

#[test]
fn an_explicit_bolt_holds_anchors_and_settles_by_itself() {
    let mut pairs = BoltDriver::explicit(Setup::new(), |_| Ok(Pairs::default())).expect("opens");
    pairs.execute(number(1));
    assert_eq!(pairs.held(), [0], "it waits for the second");
    pairs.execute(number(2));
    pairs.execute(number(3));
    let sum = Emission { tuple: number(3), anchors: vec![0, 1], task: None };
    assert_eq!(pairs.emissions(), [sum]);
    assert_eq!(pairs.acked(), [0]);
    assert_eq!(pairs.failed(), [(1, "no pair".to_owned())]);
    pairs.close();
    assert_eq!(pairs.failed(), [(2, "dropped without a verdict".to_owned())]);
}

/// Emits as many numbers as its input says, one by one.
struct Many;

impl Bolt for Many {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, input: Number, out: &mut Output<Number>) -> BoltResult {
        out.emit_from((0..input.n).map(number));
        Ok(())
    }
}

#[test]
fn what_an_iterator_gives_is_anchored_to_its_input() {
    let mut many = BoltDriver::new(|_| Many).expect("opens");
    many.execute(number(1));
    many.execute(number(5_000));
    let emissions = many.emissions();
    assert_eq!(emissions.len(), 5_001);
    assert!(emissions[1..].iter().all(|emission| emission.anchors == [1]), "all of the second");
    assert_eq!(many.acked(), [0, 1]);
}

/// Emits its numbers through an iterator at each tick and at its end.
struct Later;

impl Bolt for Later {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, _: Number, _: &mut Output<Number>) -> BoltResult {
        Ok(())
    }

    fn tick(&mut self, out: &mut Output<Number>) {
        out.emit_from((0..3_000).map(number));
    }

    fn finish(&mut self, out: &mut Output<Number>) {
        out.emit_from((0..2_000).map(number));
        (2_000..40_000).for_each(|n| out.emit(number(n)));
    }
}

#[test]
fn nothing_that_tick_and_finish_emit_is_left_out() {
    let mut config = TopologyConfig::default();
    config.set("output.budget", "64KiB").expect("a size");
    let setup = Setup::new().config(config);
    let mut later = BoltDriver::with(setup, |_| Later).expect("opens");
    later.tick();
    let emissions = later.emissions();
    assert_eq!(emissions.len(), 3_000);
    assert!(emissions.iter().all(|emission| emission.anchors.is_empty()), "tied to nothing");
    later.finish();
    assert_eq!(later.emitted().len(), 40_000, "no input could fail for what was too much");
}

/// Emits the same number for ever, tracked or not.
struct Endless {
    tracked: bool,
}

impl Spout for Endless {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        if self.tracked {
            out.emit(7, number(7));
        } else {
            out.emit_untracked(number(7));
        }
        Ok(Next::Emitted)
    }
}

#[test]
fn an_endless_spout_stops_at_max_pending() {
    for tracked in [true, false] {
        let mut endless = SpoutDriver::new(move |_| Endless { tracked }).expect("opens");
        assert_eq!(endless.run().expect("no error").len(), 10_000);
        assert_eq!(endless.open().len(), if tracked { 10_000 } else { 0 });
        endless.ack_all();
        assert_eq!(endless.run().expect("no error").len(), 10_000, "acks make room");
    }
}

struct Sink;

impl Bolt for Sink {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, _: Number, _: &mut Output<NoOutput>) -> BoltResult {
        Ok(())
    }
}

#[test]
fn build_reports_all_mistakes_at_once_with_their_places() {
    let mut t = TopologyBuilder::new("two words");
    let numbers = t.spout("numbers", |_| Endless { tracked: true }).parallelism(0).stream();
    let _sink = t.bolt("sink", |_| Sink).fields_named(&numbers, &["m"]);
    let _alone = t.bolt("alone", |_| Sink);
    let _again = t.bolt("sink", |_| Sink).shuffle(&numbers);
    let error = t.build().expect_err("nearly everything is wrong");
    let expected = [
        "Topology name \"two words\" holds ' '",
        "Component `numbers` has no executors",
        "groups by `m`, but `Number` has the fields n",
        "Bolt `alone` reads no stream",
        "Several components are called `sink`",
    ];
    for part in expected {
        let told = error.mistakes().iter().filter(|mistake| mistake.contains(part)).count();
        assert_eq!(told, 1, "{part:?} should be told once in:\n{error}");
    }
    let placed = |mistake: &&String| mistake.contains("tests/drivers.rs:");
    assert!(error.mistakes().iter().filter(placed).count() >= 4, "places are missing:\n{error}");
}

#[test]
fn a_sound_topology_builds_and_describes_itself() {
    let mut t = TopologyBuilder::new("sound");
    let numbers = t.spout("numbers", |_| Endless { tracked: true }).stream();
    let sums = t.bolt("many", |_| Many).parallelism(2).tasks(4).shuffle(&numbers).stream();
    let _sink = t.bolt("sink", |_| Sink).fields(&sums, |sum| &sum.n);
    let description = t.build().expect("nothing is wrong").describe();
    assert_eq!(description.problems(), Vec::<String>::new());
    assert_eq!((description.task_count(), description.executor_count()), (6, 4));
    let json = serde_json::to_string(&description).expect("plain data is JSON");
    assert_eq!(serde_json::from_str::<topology_api::Description>(&json).ok(), Some(description));
}

/// Gives an iterator in `tick` and in `finish`.
struct PoursAtTheEnd;

impl Bolt for PoursAtTheEnd {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, _: Number, _: &mut Output<Number>) -> BoltResult {
        Ok(())
    }

    fn tick(&mut self, out: &mut Output<Number>) {
        out.emit_from((0..5_000).map(|n| Number { n }));
    }

    fn finish(&mut self, out: &mut Output<Number>) {
        out.emit_from((5_000..10_000).map(|n| Number { n }));
    }
}

#[test]
fn a_driver_pulls_what_tick_and_finish_give_to_the_end() {
    let mut bolt = BoltDriver::new(|_| PoursAtTheEnd).unwrap();
    bolt.tick();
    bolt.execute(Number { n: 0 });
    bolt.finish();
    let numbers: Vec<u64> = bolt.emitted().into_iter().map(|number| number.n).collect();
    assert!(numbers.into_iter().eq(0..10_000), "all of it, in order");
}
