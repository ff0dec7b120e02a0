//! A fold is connected to a second stream by another grouping than its key.
use topology_api::prelude::*;

#[derive(Clone, Debug, Tuple)]
struct Count {
    text: Text,
    count: u64,
}

fn main() {
    let mut t = TopologyBuilder::new("wrong");
    let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    let more = t.spout("more", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    let count = |count: &mut u64, line: Line| {
        *count += 1;
        Count { text: line.text, count: *count }
    };
    t.fold("count", lines.by(|line| &line.text), || 0, count).shuffle(&more);
}
