//! A closure that takes `Word` is connected to a stream of `Line`.
use topology_api::prelude::*;

#[derive(Clone, Debug, Tuple)]
struct Word {
    word: Text,
}

fn main() {
    let mut t = TopologyBuilder::new("wrong");
    let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    t.filter("long", |word: &Word| word.word.len() > 3).shuffle(&lines);
}
