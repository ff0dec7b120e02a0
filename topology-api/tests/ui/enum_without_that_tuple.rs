//! A bolt that reads an enum is connected to a stream of a tuple that no variant holds.
use topology_api::prelude::*;

#[derive(Clone, Tuple)]
struct Word {
    word: Text,
}

#[derive(Clone, Tuple)]
struct Number {
    n: u64,
}

#[derive(Clone, Tuple)]
enum Either {
    Word(Word),
    Number(Number),
}

fn main() {
    let mut t = TopologyBuilder::new("wrong");
    let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    t.for_each("either", |_: Either| {}).shuffle(&lines);
}
