//! Two branches of heavy tuples, one of which has sinks that stand still until a file is there.
//!
//! Arguments: `--until=FILE`; `--count=N` tuples of the branch that stands still, 20 000 if not said.
//! The other branch goes on until the file is there. Each sink leaves how many tuples it saw, and
//! the sum of their numbers, as its result.

use std::path::PathBuf;

use topology_api::prelude::*;

use crate::value;

/// Bytes of a tuple's ballast.
const BALLAST: usize = 4 << 10;

/// How many sinks a branch has, and relays before them.
const TASKS: u32 = 6;

#[derive(Clone, Debug, Tuple)]
struct Heavy {
    n: u64,
    ballast: Vec<u8>,
}

/// Emits so many, or until a file is there.
struct Source {
    next: u64,
    count: u64,
    until: PathBuf,
}

impl Spout for Source {
    type Output = Heavy;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Heavy, u64>) -> SpoutResult {
        let asks = self.count == u64::MAX && self.next.is_multiple_of(1_000);
        if self.next == self.count || (asks && self.until.exists()) {
            return Ok(Next::Finished);
        }
        out.emit(self.next, Heavy { n: self.next, ballast: vec![0; BALLAST] });
        self.next += 1;
        Ok(Next::Emitted)
    }
}

/// Passes on.
struct Relay;

impl Bolt for Relay {
    type Input = Heavy;
    type Output = Heavy;

    fn execute(&mut self, heavy: Heavy, out: &mut Output<Heavy>) -> BoltResult {
        out.emit(heavy);
        Ok(())
    }
}

/// Counts and adds up, once the file it waits for is there.
struct Sink {
    until: Option<PathBuf>,
    seen: (u64, u64),
    cx: Context,
}

impl Bolt for Sink {
    type Input = Heavy;
    type Output = NoOutput;

    fn execute(&mut self, heavy: Heavy, _: &mut Output<NoOutput>) -> BoltResult {
        if let Some(file) = self.until.take() {
            while !file.exists() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        self.seen = (self.seen.0 + 1, self.seen.1 + heavy.n);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.cx.result(&self.seen);
    }
}

/// Builds the topology.
pub(crate) fn build(args: &Args) -> Result<Topology, BuildError> {
    let until = PathBuf::from(value(args, "--until=").unwrap_or_default());
    let count = value(args, "--count=").and_then(|it| it.parse().ok()).unwrap_or(20_000);
    let mut t = TopologyBuilder::new("stall");
    for (name, count, stands) in [("still", count, true), ("moving", u64::MAX, false)] {
        let file = until.clone();
        let source = move |_: &Context| Source { next: 0, count, until: file.clone() };
        let heavy = t.spout(&format!("{name}-source"), source).stream();
        let relay = t.bolt(&format!("{name}-relay"), |_| Relay).parallelism(TASKS).shuffle(&heavy);
        let file = stands.then(|| until.clone());
        let sink = move |cx: &Context| Sink { until: file.clone(), seen: (0, 0), cx: cx.clone() };
        let sink = t.bolt(&format!("{name}-sink"), sink).parallelism(TASKS);
        let sink = if stands { sink.blocking() } else { sink };
        sink.fields(&relay.stream(), |heavy| &heavy.n);
    }
    t.build()
}
