//! A topology that leaves a record: every number it emits, executes and acks stands in a file.
//!
//! Spouts emit numbers at full speed, again where they failed; relays stamp them with their own
//! order; sinks write each number down before they ack it. `tests::Audit` reads the files.
//!
//! Arguments: `--folder=DIR` where to write; `--count=N` numbers each spout task emits at least;
//! `--until-end` goes on from there until there is a file `DIR/end`; `--relay=async` has each relay
//! wait for many numbers at a time, `--relay=blocking` gives spouts and relays threads of their own; `--grouping=NAME` says how the sinks
//! read, by fields if nothing does; `--pace=N` has each spout task emit N numbers a second.
//!
//! With `--rate=N` it is another topology: the one of `tests::ledger`, at a fixed rate, which writes
//! down when everything happened and goes on from there when its processes start again.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use daemon::Clock;
use topology_api::NoOutput;
use topology_api::prelude::{
    Args, AsyncBolt, Bolt, BoltResult, BuildError, Context, FailReason, Next, Output, Spout,
    SpoutOutput, SpoutResult, Topology, TopologyBuilder, Tuple,
};

/// How many keys there are.
const KEYS: u64 = 97;

/// How many tasks each component has.
const TASKS: u32 = 2;

/// How many numbers are emitted between two looks for the file that ends it.
const LOOK_EVERY: u64 = 256;

/// A number as its spout emits it.
#[derive(Clone, Debug, Tuple)]
struct Number {
    source: u32,
    number: u64,
}

/// A number as a relay passes it on.
#[derive(Clone, Debug, Tuple)]
struct Relayed {
    key: u64,
    source: u32,
    number: u64,
    relay: u32,
    place: u64,
}

/// Counts, and emits again what failed.
struct Numbers {
    source: u32,
    folder: PathBuf,
    acked: File,
    next: u64,
    count: u64,
    until_end: bool,
    finished: bool,
    again: Vec<u64>,
    /// How many numbers to emit a second, if not as many as can be.
    pace: Option<u64>,
    clock: Clock,
    since: Instant,
}

impl Numbers {
    fn open(cx: &Context) -> std::io::Result<Self> {
        let folder = PathBuf::from(value(cx.arguments(), "--folder=").unwrap_or_default());
        let count = value(cx.arguments(), "--count=").and_then(|it| it.parse().ok());
        let clock = Clock::system();
        Ok(Self {
            source: cx.task_index(),
            acked: appended(&folder, "acked", cx.task_index())?,
            folder,
            next: 0,
            count: count.unwrap_or(1_000),
            until_end: cx.arguments().iter().any(|word| word == "--until-end"),
            finished: false,
            again: Vec::new(),
            pace: value(cx.arguments(), "--pace=").and_then(|it| it.parse().ok()),
            since: clock.now(),
            clock,
        })
    }

    /// Whether the next number's time has not come yet.
    fn is_early(&self) -> bool {
        self.pace.is_some_and(|pace| {
            let since = self.clock.now().saturating_duration_since(self.since);
            u128::from(self.next) * 1_000 >= u128::from(pace) * since.as_millis()
        })
    }

    /// Whether the last number was emitted; the first time, writes down how many there were.
    fn is_finished(&mut self) -> std::io::Result<bool> {
        if self.finished || self.next < self.count {
            return Ok(self.finished);
        }
        if self.until_end
            && (!self.next.is_multiple_of(LOOK_EVERY) || !self.folder.join("end").exists())
        {
            return Ok(false);
        }
        self.finished = true;
        writeln!(appended(&self.folder, "emitted", self.source)?, "{}", self.next)?;
        Ok(true)
    }
}

impl Spout for Numbers {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        let number = match self.again.pop() {
            Some(number) => number,
            None if self.is_finished()? => return Ok(Next::Finished),
            None if self.is_early() => return Ok(Next::Idle),
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        out.emit(number, Number { source: self.source, number });
        Ok(Next::Emitted)
    }

    fn ack(&mut self, number: u64) {
        let line = format!("{number}\n");
        self.acked.write_all(line.as_bytes()).expect("the audit can be written");
    }

    fn fail(&mut self, number: u64, _: FailReason) {
        self.again.push(number);
    }
}

/// Stamps numbers with the order in which it executed them.
struct Relay {
    relay: u32,
    place: u64,
}

impl Bolt for Relay {
    type Input = Number;
    type Output = Relayed;

    fn execute(&mut self, number: Number, out: &mut Output<Relayed>) -> BoltResult {
        let Number { source, number } = number;
        out.emit(Relayed {
            key: number % KEYS,
            source,
            number,
            relay: self.relay,
            place: self.place,
        });
        self.place += 1;
        Ok(())
    }
}

/// Stamps numbers in no order, after a while, with many at hand.
struct AsyncRelay(RefCell<Relay>);

impl AsyncBolt for AsyncRelay {
    type Input = Number;
    type Output = Relayed;

    async fn execute(&self, number: Number, out: &mut Output<Relayed>) -> BoltResult {
        tokio::time::sleep(Duration::from_millis(number.number % 5)).await;
        self.0.borrow_mut().execute(number, out)
    }
}

/// Writes down what it executes.
struct Sink {
    file: File,
}

impl Bolt for Sink {
    type Input = Relayed;
    type Output = NoOutput;

    fn execute(&mut self, it: Relayed, _: &mut Output<NoOutput>) -> BoltResult {
        let Relayed { key, source, number, relay, place } = it;
        // One write a line, straight to the file: a kill cuts none in two.
        self.file.write_all(format!("{key} {source} {number} {relay} {place}\n").as_bytes())?;
        Ok(())
    }
}

/// Opens a task's file, to write at its end.
fn appended(folder: &Path, what: &str, task: u32) -> std::io::Result<File> {
    let path = folder.join(format!("{what}-{task}"));
    OpenOptions::new().create(true).append(true).open(path)
}

/// The rest of the argument that starts so.
fn value<'a>(args: &'a Args, start: &str) -> Option<&'a str> {
    args.iter().find_map(|word| word.strip_prefix(start))
}

fn audit(args: &Args) -> Result<Topology, BuildError> {
    if args.value("rate").is_some() {
        return tests::ledger::declare(args);
    }
    if value(args, "--folder=").is_none() {
        return Err(BuildError::new("audit", "say with --folder=DIR where to write"));
    }
    let mut t = TopologyBuilder::new("audit");
    let manner = value(args, "--relay=");
    let numbers = t.spout("numbers", Numbers::open).parallelism(TASKS);
    let numbers = if manner == Some("blocking") { numbers.blocking() } else { numbers }.stream();
    let relay = |cx: &Context| Relay { relay: cx.task_index(), place: 0 };
    let relayed = if manner == Some("async") {
        let relay = move |cx: &Context| AsyncRelay(RefCell::new(relay(cx)));
        let relay = t.async_bolt("relay", relay).unordered();
        relay.parallelism(TASKS).shuffle(&numbers).stream()
    } else {
        let relay = t.bolt("relay", relay).parallelism(TASKS).shuffle(&numbers);
        if manner == Some("blocking") { relay.blocking() } else { relay }.stream()
    };
    let sink = |cx: &Context| {
        let folder = value(cx.arguments(), "--folder=").unwrap_or_default();
        appended(Path::new(folder), "sink", cx.task_index()).map(|file| Sink { file })
    };
    let sink = t.bolt("sink", sink).parallelism(TASKS);
    match value(args, "--grouping=").unwrap_or("fields") {
        "fields" => sink.fields(&relayed, |it| &it.key),
        "shuffle" => sink.shuffle(&relayed),
        "none" => sink.none(&relayed),
        "partial-key" => sink.partial_key(&relayed, |it| &it.key),
        "spread-hot-keys" => sink.spread_hot_keys(&relayed, |it| &it.key),
        "scatter-hot-keys" => sink.scatter_hot_keys(&relayed, |it| &it.key),
        "custom" => sink.custom(&relayed, |targets| {
            let tasks = u64::from(targets.tasks);
            move |batch: &[Relayed], to: &mut Vec<u32>| {
                to.extend(batch.iter().map(|it| (it.number % tasks) as u32));
            }
        }),
        other => return Err(BuildError::new("audit", format!("no grouping {other:?} here"))),
    };
    t.build()
}

fn main() -> ExitCode {
    worker::main(audit)
}
