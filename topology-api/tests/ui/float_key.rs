//! A fields grouping keyed by a float.
use topology_api::NoOutput;
use topology_api::prelude::*;

#[derive(Clone, Debug, Tuple)]
struct Reading {
    value: f64,
}

struct Sink;

impl Bolt for Sink {
    type Input = Reading;
    type Output = NoOutput;

    fn execute(&mut self, _: Reading, _: &mut Output<NoOutput>) -> BoltResult {
        Ok(())
    }
}

fn connect(t: &mut TopologyBuilder, readings: &Stream<Reading>) {
    t.bolt("sink", |_| Sink).fields(readings, |r| &r.value);
}

fn main() {}
