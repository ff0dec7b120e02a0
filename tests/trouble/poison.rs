//! Poisoned numbers: a spout that replays, and a bolt that takes none that ends in 3 until it is
//! healed, by a file `healed` in the folder `--folder=DIR`.
//!
//! The source emits `--count=N` numbers, once: the next instance finds the file `begun`, and nothing.
//! `--ballast=BYTES` makes tuples large. Nobody reads the dead letters.

use std::path::PathBuf;
use std::time::Duration;

use topology_api::prelude::*;
use topology_api::{NoOutput, Replays};

#[derive(Clone, Debug, Tuple)]
struct Number {
    n: u64,
    ballast: Vec<u8>,
}

struct Source {
    next: u64,
    count: u64,
    ballast: usize,
    cx: Context,
}

impl Spout for Source {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        if self.next == self.count {
            // There will be more, should somebody ask.
            return Ok(Next::Idle);
        }
        out.emit(self.next, Number { n: self.next, ballast: vec![0; self.ballast] });
        self.next += 1;
        Ok(Next::Emitted)
    }

    fn ack(&mut self, _: u64) {
        self.cx.count("let-go", 1);
    }
}

struct Picky {
    healed: PathBuf,
    cx: Context,
}

impl Bolt for Picky {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, number: Number, _: &mut Output<NoOutput>) -> BoltResult {
        let is_poison = number.n % 10 == 3;
        if is_poison && !self.healed.exists() {
            return Err(format!("cannot take {}", number.n).into());
        }
        self.cx.count(if is_poison { "healed" } else { "sound" }, 1);
        Ok(())
    }
}

/// Builds the topology.
pub(super) fn build(args: &Args) -> Result<Topology, BuildError> {
    let number = |start: &str| super::value(args, start).and_then(|text| text.parse().ok());
    let (count, ballast) = (number("--count=").unwrap_or(20), number("--ballast=").unwrap_or(0));
    let ballast = usize::try_from(ballast).unwrap_or(0);
    let folder = PathBuf::from(super::value(args, "--folder=").unwrap_or_default());
    let (begun, healed) = (folder.join("begun"), folder.join("healed"));
    let mut t = TopologyBuilder::new("poison");
    let pauses = (Duration::from_millis(5), Duration::from_millis(200));
    let replays = Replays::default().attempts(3).pauses(pauses.0, pauses.1);
    let (numbers, _) = t.replaying("numbers", replays, move |cx| {
        let next = if begun.exists() { count } else { 0 };
        std::fs::write(&begun, "").map(|()| Source { next, count, ballast, cx: cx.clone() })
    });
    t.bolt("picky", move |cx| Picky { healed: healed.clone(), cx: cx.clone() })
        .shuffle(&numbers.stream());
    t.build()
}
