//! A topology that misbehaves as it is told: numbers, a bolt or spout in trouble, a sink that counts.
//!
//! Arguments: `--trouble=WHAT`, see [`Trouble`], `stalls`, see `stall`, or `poison`, see `poison`;
//! `--count=N` numbers, 200 if not said; `--once=FILE`, for trouble that comes once.
//! The sink leaves how many different numbers it saw as its result.

mod poison;
mod stall;

use std::collections::{BTreeSet, HashSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use topology_api::NoOutput;
use topology_api::prelude::*;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The bolt panics at the tenth number, if the others came before.
    Panics,
    /// The bolt gives an error there.
    Errors,
    /// The bolt keeps each tenth number for ever, the first time it comes.
    NeverAcks,
    /// The bolt drops each tenth number without a verdict, the first time.
    Drops,
    /// The bolt sleeps for 20 ms for each.
    Slow,
    /// It does so on a thread of its own.
    SleepsAside,
    /// The bolt computes for 20 ms for each.
    Computes,
    /// The bolt emits ten million copies of the first number in one call.
    Floods,
    /// The bolt gives ten million copies of it as an iterator.
    Pours,
    /// The bolt blows the first number up over the size limit of a tuple.
    Large,
    /// The bolt cannot be made, the first two times.
    Factory,
    /// The spout gives an error after each tenth number.
    SpoutErrors,
    /// The spout panics there.
    SpoutPanics,
    /// The spout panics when it is told that a tenth number is acked.
    AckPanics,
    /// The bolt takes memory without end at the tenth number.
    Eats,
    /// The bolt writes 256 MiB of lines to its standard output at the tenth number, and one at each tenth
    /// after that.
    Chatters,
    /// The bolt never comes back from the tenth number, unless the file `--once=FILE` is there.
    Loops,
}

const TROUBLES: [(&str, Trouble); 17] = [
    ("panics", Trouble::Panics),
    ("errors", Trouble::Errors),
    ("never-acks", Trouble::NeverAcks),
    ("drops", Trouble::Drops),
    ("slow", Trouble::Slow),
    ("sleeps-aside", Trouble::SleepsAside),
    ("computes", Trouble::Computes),
    ("floods", Trouble::Floods),
    ("pours", Trouble::Pours),
    ("large", Trouble::Large),
    ("factory", Trouble::Factory),
    ("spout-errors", Trouble::SpoutErrors),
    ("spout-panics", Trouble::SpoutPanics),
    ("ack-panics", Trouble::AckPanics),
    ("eats", Trouble::Eats),
    ("chatters", Trouble::Chatters),
    ("loops", Trouble::Loops),
];

/// Copies in a flood.
const MANY: u64 = 10_000_000;

/// How long the slow ones take.
const SLOW: Duration = Duration::from_millis(20);

/// Computes for as long as the slow ones sleep.
fn compute() {
    let clock = daemon::Clock::system();
    let begun = clock.now();
    while clock.now().saturating_duration_since(begun) < SLOW {
        std::hint::spin_loop();
    }
}

#[derive(Clone, Debug, Tuple)]
struct Number {
    n: u64,
    ballast: Vec<u8>,
}

impl Number {
    fn new(n: u64) -> Self {
        Self { n, ballast: Vec::new() }
    }
}

struct Numbers {
    trouble: Trouble,
    next: u64,
    count: u64,
    again: Vec<u64>,
    tripped: bool,
}

impl Spout for Numbers {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        if let Some(number) = self.again.pop() {
            out.emit(number, Number::new(number));
            return Ok(Next::Emitted);
        }
        if self.next == self.count {
            return Ok(Next::Finished);
        }
        if self.next == 10 && !self.tripped {
            self.tripped = true;
            assert!(self.trouble != Trouble::SpoutPanics, "the spout is in trouble");
            if self.trouble == Trouble::SpoutErrors {
                return Err("the source is in trouble".into());
            }
        }
        out.emit(self.next, Number::new(self.next));
        self.next += 1;
        Ok(Next::Emitted)
    }

    fn ack(&mut self, number: u64) {
        let panics = self.trouble == Trouble::AckPanics && number.is_multiple_of(10);
        assert!(!panics, "the ack of {number} is in trouble");
    }

    fn fail(&mut self, number: u64, _: FailReason) {
        self.again.push(number);
    }
}

/// The automatic form of the bolt in trouble.
struct Troubled {
    trouble: Trouble,
    once: PathBuf,
    seen: HashSet<u64>,
}

impl Bolt for Troubled {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        let n = number.n;
        // What it has seen dies with it: the next instance sees other numbers before the tenth.
        let first = self.seen.insert(n);
        match self.trouble {
            Trouble::Panics => assert!(n != 10 || self.seen.len() != 11, "panics at {n}"),
            Trouble::Errors if first && n.is_multiple_of(10) => {
                return Err(format!("cannot take {n}").into());
            }
            Trouble::Loops if n == 10 && !self.once.exists() => {
                std::fs::write(&self.once, "")?;
                loop {
                    std::hint::spin_loop();
                }
            }
            // Bounded, for the machine's sake, should nobody stop it.
            Trouble::Eats if n == 10 => {
                let blocks: Vec<Vec<u8>> = (0..4_000).map(|_| vec![1; 1 << 20]).collect();
                return Err(format!("took {} MiB and lives", blocks.len()).into());
            }
            Trouble::Chatters if n == 10 && first => {
                let lines = [&[b'x'; 1_023][..], b"\n"].concat().repeat(64);
                let mut log = std::io::stdout().lock();
                (0..4_096).try_for_each(|_| log.write_all(&lines))?;
            }
            Trouble::Chatters if n > 10 && n.is_multiple_of(10) => {
                writeln!(std::io::stdout().lock(), "and another ten numbers are done: {n}")?;
            }
            Trouble::Slow | Trouble::SleepsAside => std::thread::sleep(SLOW),
            Trouble::Computes => compute(),
            Trouble::Floods if n == 0 && first => {
                (0..MANY).for_each(|_| out.emit(number.clone()));
            }
            Trouble::Pours if n == 0 => {
                out.emit_from((0..MANY).map(|_| Number::new(0)));
            }
            Trouble::Large if n == 0 && first => {
                out.emit(Number { n, ballast: vec![0; 1 << 20] });
                return Ok(());
            }
            _ => {}
        }
        out.emit(number);
        Ok(())
    }
}

/// The explicit form.
struct Holder {
    trouble: Trouble,
    seen: HashSet<u64>,
    held: Vec<Input<Number>>,
}

impl ExplicitBolt for Holder {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, input: Input<Number>, out: &mut Output<Number>) -> BoltResult {
        if input.n.is_multiple_of(10) && self.seen.insert(input.n) {
            if self.trouble == Trouble::NeverAcks {
                self.held.push(input);
            }
            return Ok(());
        }
        out.emit_anchored([&input], Number::new(input.n));
        input.ack();
        Ok(())
    }
}

struct Count {
    cx: Context,
    seen: BTreeSet<u64>,
}

impl Bolt for Count {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, number: Number, _: &mut Output<NoOutput>) -> BoltResult {
        self.seen.insert(number.n);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.cx.result(&self.seen.len());
    }
}

fn value<'a>(args: &'a Args, start: &str) -> Option<&'a str> {
    args.iter().find_map(|word| word.strip_prefix(start))
}

fn trouble(args: &Args) -> Result<Topology, BuildError> {
    let asked = value(args, "--trouble=").unwrap_or_default();
    match asked {
        "stalls" => return stall::build(args),
        "poison" => return poison::build(args),
        _ => {}
    }
    let Some((_, trouble)) = TROUBLES.into_iter().find(|(name, _)| *name == asked) else {
        let names: Vec<_> = TROUBLES.iter().map(|(name, _)| *name).collect();
        let text = format!("say with --trouble= which of {}", names.join(", "));
        return Err(BuildError::new("trouble", &text));
    };
    let count = value(args, "--count=").and_then(|count| count.parse().ok()).unwrap_or(200);
    let mut t = TopologyBuilder::new("trouble");
    let numbers =
        move |_: &Context| Numbers { trouble, next: 0, count, again: Vec::new(), tripped: false };
    let numbers = t.spout("numbers", numbers).stream();
    let troubled = if matches!(trouble, Trouble::NeverAcks | Trouble::Drops) {
        let holder =
            move |_: &Context| Ok(Holder { trouble, seen: HashSet::new(), held: Vec::new() });
        t.explicit_bolt("troubled", holder).shuffle(&numbers).stream()
    } else {
        let once = PathBuf::from(value(args, "--once=").unwrap_or_default());
        let tries = std::sync::atomic::AtomicU32::new(0);
        let make = move |_: &Context| {
            let tried = tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let fails = trouble == Trouble::Factory && tried < 2;
            if fails { Err("the database is not there yet") } else { Ok(()) }?;
            Ok::<_, &str>(Troubled { trouble, once: once.clone(), seen: HashSet::new() })
        };
        let troubled = t.bolt("troubled", make);
        let aside = trouble == Trouble::SleepsAside;
        let troubled = if aside { troubled.blocking() } else { troubled };
        troubled.shuffle(&numbers).stream()
    };
    t.bolt("count", |cx| Count { cx: cx.clone(), seen: BTreeSet::new() }).global(&troubled);
    t.build()
}

fn main() -> ExitCode {
    worker::main(trouble)
}
