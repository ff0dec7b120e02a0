//! Streams that part and meet: several outputs of different types, several streams of one type into
//! one bolt, and streams of different types through an enum.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use topology_api::prelude::*;
use topology_api::{Error, Port};

use crate::vocabulary::{Number, fused_and_not, run, topology};

const COUNT: u64 = 3_000;

#[derive(Clone, Debug, Tuple)]
struct Name {
    name: Text,
    n: u64,
}

#[derive(Clone, Debug, Tuple)]
struct Fact {
    even: bool,
}

/// Emits numbers, and the name of each to an output of its own.
struct Source {
    next: u64,
    again: Vec<u64>,
    names: Port<Name>,
}

impl Spout for Source {
    type Output = Number;
    /// Even ids are numbers, odd ones names.
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        let id = match self.again.pop() {
            Some(id) => id,
            None if self.next == 2 * COUNT => return Ok(Next::Finished),
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        let n = id / 2;
        if id.is_multiple_of(2) {
            out.emit(id, Number { n });
        } else {
            out.emit_to(&self.names, id, Name { name: n.to_string().into(), n });
        }
        Ok(Next::Emitted)
    }

    fn fail(&mut self, id: u64, _: FailReason) {
        self.again.push(id);
    }
}

/// Passes numbers on to the main output or to `thirds`, and a fact about each to `facts`.
struct Sort {
    thirds: Port<Number>,
    facts: Port<Fact>,
}

impl Sort {
    fn open(cx: &Context) -> Result<Self, Error> {
        Ok(Self { thirds: cx.port("thirds")?, facts: cx.port("facts")? })
    }
}

impl Bolt for Sort {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        out.to(&self.facts).emit(Fact { even: number.n.is_multiple_of(2) });
        if number.n.is_multiple_of(3) {
            out.to(&self.thirds).emit(number);
        } else {
            out.emit(number);
        }
        Ok(())
    }
}

/// What the last bolt reads.
#[derive(Clone, Debug, Tuple)]
enum News {
    Number(Number),
    Name(Name),
    Fact(Fact),
}

type Seen = Arc<Mutex<BTreeMap<String, u64>>>;

fn tell(seen: &Seen) -> impl FnMut(News) -> Result<(), String> + Clone + Send + Sync + 'static {
    let seen = Arc::clone(seen);
    let mut calls = 0_u32;
    move |news| {
        calls += 1;
        if calls.is_multiple_of(50) {
            return Err("now and then".to_owned());
        }
        let what = match news {
            News::Number(Number { n }) => format!("number {n}"),
            News::Name(Name { name, n }) if name == n.to_string() => format!("name {n}"),
            News::Name(name) => format!("{name:?}"),
            News::Fact(Fact { even }) => format!("even: {even}"),
        };
        *seen.lock().unwrap().entry(what).or_default() += 1;
        Ok(())
    }
}

#[test]
fn streams_of_several_types_meet_in_one_bolt() {
    fused_and_not(|fusion| {
        let mut t = topology("news", fusion);
        let source = t.spout("source", |cx| {
            let (next, again) = (0, Vec::new());
            cx.port("names").map(|names| Source { next, again, names })
        });
        let (names, numbers) = (source.output::<Name>("names"), source.stream());
        let sort = t.bolt("sort", Sort::open).parallelism(2).shuffle(&numbers);
        let (thirds, facts) = (sort.output::<Number>("thirds"), sort.output::<Fact>("facts"));
        let others = sort.stream();
        let seen = Seen::default();
        t.try_for_each("tell", tell(&seen))
            .parallelism(3)
            .shuffle(&others)
            .fields(&thirds, |number| &number.n)
            .fields_named(&names, &["name"])
            .global(&facts);
        run(t);
        let seen = seen.lock().unwrap();
        for n in 0..COUNT {
            assert!(seen.contains_key(&format!("number {n}")), "number {n} came");
            assert!(seen.contains_key(&format!("name {n}")), "name {n} came");
        }
        let facts = seen["even: true"] + seen["even: false"];
        assert!(facts >= COUNT, "{facts} facts: one for each number, more for those replayed");
        assert_eq!(seen.len() as u64, 2 * COUNT + 2, "and nothing else");
    });
}

#[test]
fn streams_of_one_type_merge_by_being_read_together() {
    fused_and_not(|fusion| {
        let mut t = topology("merge", fusion);
        let source = |first: u64| {
            move |_: &Context| {
                topology_api::IterSpout::new((first..2 * COUNT).step_by(2).map(|n| Number { n }))
            }
        };
        let even = t.spout("even", source(0)).stream();
        let odd = t.spout("odd", source(1)).stream();
        let seen = Seen::default();
        let counts = Arc::clone(&seen);
        t.for_each("tell", move |number: Number| {
            *counts.lock().unwrap().entry(number.n.to_string()).or_default() += 1;
        })
        .parallelism(2)
        .shuffle(&even)
        .fields(&odd, |number| &number.n);
        run(t);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len() as u64, 2 * COUNT, "all of both");
        assert!(seen.values().all(|count| *count == 1), "each once");
    });
}
