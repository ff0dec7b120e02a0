//! Replay: a bolt fails one tuple in ten, at random, and nothing is lost. What fails comes back to
//! its spout, which emits it again; so everything is processed, and some of it twice.
//!
//! `cargo run --release -p examples --bin replay -- 1000`

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;

use topology_api::prelude::*;

/// How many numbers are emitted when nobody says.
const NUMBERS: u64 = 1_000;

/// How likely it is that a number fails.
const CHANCE: f64 = 0.1;

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Number {
    n: u64,
}

/// Emits the numbers below `count`, each until it is acked.
struct Numbers {
    count: u64,
    next: u64,
    /// Failed, and to be emitted again.
    again: Vec<u64>,
    acked: HashSet<u64>,
    replays: u64,
    cx: Context,
}

impl Numbers {
    fn new(count: u64, cx: &Context) -> Self {
        let (again, acked) = (Vec::new(), HashSet::new());
        Self { count, next: 0, again, acked, replays: 0, cx: cx.clone() }
    }
}

impl Spout for Numbers {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        let n = match self.again.pop() {
            Some(n) => n,
            // The topology ends when all that was emitted is acked, not before.
            None if self.next == self.count => return Ok(Next::Finished),
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        out.emit(n, Number { n });
        Ok(Next::Emitted)
    }

    fn ack(&mut self, n: u64) {
        self.acked.insert(n);
        let acked = self.acked.len() as u64;
        if acked == self.count {
            let told = [("emitted", self.count), ("acked", acked), ("replays", self.replays)];
            self.cx.result(&BTreeMap::from(told));
        }
    }

    fn fail(&mut self, n: u64, _: FailReason) {
        self.replays += 1;
        self.again.push(n);
    }
}

/// Fails now and then. An error fails the input, and by it the whole tree of the spout's tuple.
struct Unreliable {
    chance: f64,
}

impl Bolt for Unreliable {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, number: Number, _: &mut Output<NoOutput>) -> BoltResult {
        if rand::random_bool(self.chance) {
            return Err(format!("no luck with {}", number.n).into());
        }
        Ok(())
    }
}

/// Gets the same numbers and never fails: it sees those again that failed at its neighbour.
struct Tally {
    seen: u64,
    different: HashSet<u64>,
    cx: Context,
}

impl Bolt for Tally {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, number: Number, _: &mut Output<NoOutput>) -> BoltResult {
        self.seen += 1;
        // At least once: who must not count twice looks whether it is known already.
        self.different.insert(number.n);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        let told = [("seen", self.seen), ("different", self.different.len() as u64)];
        self.cx.result(&BTreeMap::from(told));
    }
}

fn replay(args: &Args) -> Result<Topology, BuildError> {
    let count = match args.iter().next() {
        None => NUMBERS,
        Some(word) => word.parse().map_err(|_| {
            BuildError::new("replay", format!("{word:?} is not how many numbers to emit: say 1000"))
        })?,
    };
    let mut t = TopologyBuilder::new("replay");
    let numbers = t.spout("numbers", move |cx| Numbers::new(count, cx)).stream();
    t.bolt("unreliable", |_| Unreliable { chance: CHANCE }).parallelism(2).shuffle(&numbers);
    t.bolt("tally", |cx| Tally { seen: 0, different: HashSet::new(), cx: cx.clone() })
        .global(&numbers);
    t.build()
}

fn main() -> ExitCode {
    worker::main(replay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use topology_api::testing::{BoltDriver, SpoutDriver};

    const REASON: FailReason = FailReason::new("error", true);

    #[test]
    fn whatever_fails_every_number_is_acked_in_the_end() {
        let mut numbers = SpoutDriver::new(|cx| Numbers::new(200, cx)).expect("it opens nothing");
        let mut unreliable =
            BoltDriver::new(|_| Unreliable { chance: 0.5 }).expect("it opens nothing");
        let tally = |cx: &Context| Tally { seen: 0, different: HashSet::new(), cx: cx.clone() };
        let mut tally = BoltDriver::new(tally).expect("it opens nothing");
        let mut replays = 0;
        loop {
            let (next, emitted) = numbers.call_next().expect("no error");
            for emission in emitted {
                let number = emission.number.expect("it is tracked");
                tally.execute(emission.tuple.clone());
                unreliable.execute(emission.tuple);
                if unreliable.failed().is_empty() {
                    numbers.ack(number);
                } else {
                    replays += 1;
                    numbers.fail(number, REASON);
                }
            }
            if next == Next::Finished && numbers.open().is_empty() {
                break;
            }
        }
        tally.finish();
        let told = json!({ "emitted": 200, "acked": 200, "replays": replays });
        assert_eq!(numbers.result(), Some(told));
        let told = json!({ "seen": 200 + replays, "different": 200 });
        assert_eq!(tally.result(), Some(told));
    }

    #[test]
    fn a_number_that_is_not_acked_keeps_the_spout_from_saying_all_is_well() {
        let mut numbers = SpoutDriver::new(|cx| Numbers::new(2, cx)).expect("it opens nothing");
        assert_eq!(numbers.run().expect("no error").len(), 2);
        numbers.ack(0);
        numbers.fail(1, REASON);
        assert_eq!(numbers.result(), None);
        assert_eq!(numbers.run().expect("no error"), [Number { n: 1 }]);
    }

    #[test]
    fn a_wrong_argument_is_told() {
        let error = replay(&Args::new(["many"])).expect_err("no number").to_string();
        assert!(error.contains("\"many\""), "{error}");
        assert!(replay(&Args::default()).is_ok(), "the topology is sound");
    }
}
