//! The step of a fold returns a number instead of a tuple.
use topology_api::prelude::*;

fn main() {
    let mut t = TopologyBuilder::new("wrong");
    let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    t.fold("count", lines.by(|line| &line.text), || 0_u64, |count, _| *count + 1);
}
