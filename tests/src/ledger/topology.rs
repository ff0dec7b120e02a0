//! The topology that writes ledgers: spouts at a fixed rate, relays, sinks by key.
//!
//! A spout that starts again reads what its task wrote before, and goes on from there: whatever was
//! not acked is emitted again. So the loss of a spout's worker is audited too.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use topology_api::NoOutput;
use topology_api::prelude::{
    Args, Bolt, BoltResult, BuildError, Context, FailReason, Next, Output, Spout, SpoutOutput,
    SpoutResult, Topology, TopologyBuilder, Tuple,
};

use super::record::{Attempt, Executed, Step, TOLD_BYTES, Told, now_ns};

/// How many keys there are.
const KEYS: u64 = 97;

/// Most numbers that one call emits when the spout is behind its rate.
const AT_ONCE_MAX: usize = 64;

/// How much of what was written before is read by a spout that starts again: more than any open
/// tree can be old.
const TAIL_BYTES: u64 = 16 << 20;

/// How often a spout looks for the file that ends it.
const LOOK_EVERY_NS: u64 = 100_000_000;

const SECOND_NS: u64 = 1_000_000_000;

/// A number as its spout emits it.
#[derive(Clone, Debug, Tuple)]
struct Number {
    number: u64,
    source: u32,
    attempt: u32,
    spout_pid: u32,
}

/// A number as a relay passes it on.
#[derive(Clone, Debug, Tuple)]
struct Relayed {
    key: u64,
    number: u64,
    place: u64,
    source: u32,
    attempt: u32,
    spout_pid: u32,
    relay: u32,
    relay_pid: u32,
}

/// Declares the topology.
///
/// Arguments: `--folder=DIR` where the ledgers are; `--rate=N` numbers a second of all spouts
/// together; `--spouts=N`, `--relays=N`, `--sinks=N` tasks. Spouts end when there is `DIR/end`.
///
/// # Errors
///
/// If the folder or the rate is missing.
///
/// ```
/// let args = topology_api::Args::new(["--folder=/tmp/x", "--rate=100"].map(str::to_owned));
/// assert_eq!(tests::ledger::declare(&args).unwrap().components().len(), 3);
/// ```
pub fn declare(args: &Args) -> Result<Topology, BuildError> {
    let number = |name: &str| args.value(name).and_then(|it| it.parse::<u32>().ok());
    let (Some(_), Some(rate)) = (args.value("folder"), number("rate")) else {
        return Err(BuildError::new("ledger", "give --folder=DIR and --rate=N"));
    };
    let spouts = number("spouts").unwrap_or(1);
    let mut t = TopologyBuilder::new("ledger");
    let pace = u64::from(spouts) * SECOND_NS / u64::from(rate.max(1));
    let numbers = t.spout("numbers", move |cx| Numbers::open(cx, pace)).parallelism(spouts);
    let numbers = numbers.stream();
    let relay = |cx: &Context| Relay { relay: cx.task_index(), pid: std::process::id(), place: 0 };
    let relay = t.bolt("relay", relay).parallelism(number("relays").unwrap_or(1));
    // By key, for a shuffle stays near where it can: every relay is to have its part.
    let relayed = relay.fields(&numbers, |it| &it.number).stream();
    let sink = t.bolt("sink", Sink::open).parallelism(number("sinks").unwrap_or(1));
    sink.fields(&relayed, |it| &it.key);
    t.build()
}

/// Emits numbers when they are due, and again what failed.
struct Numbers {
    folder: PathBuf,
    file: File,
    /// What is to be written before anything else is emitted.
    lines: Vec<u8>,
    source: u32,
    pid: u32,
    next: u64,
    again: Vec<(u64, u32)>,
    /// From one number to the next.
    pace_ns: u64,
    due_ns: u64,
    look_ns: u64,
    finished: bool,
    /// What this call emits.
    batch: Vec<(u64, u32)>,
}

impl Numbers {
    fn open(cx: &Context, pace_ns: u64) -> io::Result<Self> {
        let folder = folder_of(cx);
        let source = cx.task_index();
        let (next, again) = resume(&earlier(&folder, source)?);
        let file = ledger(&folder, "spout", source)?;
        Ok(Self {
            folder,
            file,
            lines: Vec::new(),
            source,
            pid: std::process::id(),
            next,
            again,
            pace_ns,
            due_ns: now_ns(),
            look_ns: 0,
            finished: false,
            batch: Vec::new(),
        })
    }

    fn note(&mut self, (number, attempt): (u64, u32), step: Step, at_ns: u64) {
        let attempt = Attempt { source: self.source, number, attempt };
        Told { attempt, step, at_ns, pid: self.pid }.write(&mut self.lines);
    }

    /// Chooses what this call emits: what failed, then what is due.
    fn choose(&mut self, now: u64) {
        self.batch.clear();
        while self.batch.len() < AT_ONCE_MAX {
            if let Some(again) = self.again.pop() {
                self.batch.push(again);
            } else if !self.finished && self.due_ns <= now {
                self.due_ns += self.pace_ns;
                self.batch.push((self.next, 0));
                self.next += 1;
            } else {
                break;
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if !self.lines.is_empty() {
            self.file.write_all(&self.lines)?;
            self.lines.clear();
        }
        Ok(())
    }
}

impl Spout for Numbers {
    type Output = Number;
    type Id = (u64, u32);

    fn next(&mut self, out: &mut SpoutOutput<Number, (u64, u32)>) -> SpoutResult {
        let now = now_ns();
        if !self.finished && now >= self.look_ns {
            self.look_ns = now + LOOK_EVERY_NS;
            self.finished = self.folder.join("end").exists();
        }
        self.choose(now);
        let batch = std::mem::take(&mut self.batch);
        for chosen in &batch {
            self.note(*chosen, Step::Emitted, now);
        }
        // First the ledger: nothing is under way that is not in it.
        self.write()?;
        for (number, attempt) in &batch {
            let (number, attempt) = (*number, *attempt);
            let tuple = Number { number, source: self.source, attempt, spout_pid: self.pid };
            out.emit((number, attempt), tuple);
        }
        let done = batch.is_empty();
        self.batch = batch;
        Ok(match (done, self.finished) {
            (false, _) => Next::Emitted,
            (true, true) => Next::Finished,
            (true, false) => Next::Idle,
        })
    }

    fn ack(&mut self, id: (u64, u32)) {
        self.note(id, Step::Acked, now_ns());
        if self.finished {
            self.write().expect("the ledger can be written");
        }
    }

    fn fail(&mut self, id: (u64, u32), _: FailReason) {
        self.note(id, Step::Failed, now_ns());
        self.again.push((id.0, id.1 + 1));
    }

    fn close(&mut self) {
        self.write().expect("the ledger can be written");
    }
}

/// Passes numbers on, stamped with the order in which it executed them.
struct Relay {
    relay: u32,
    pid: u32,
    place: u64,
}

impl Bolt for Relay {
    type Input = Number;
    type Output = Relayed;

    fn execute(&mut self, it: Number, out: &mut Output<Relayed>) -> BoltResult {
        out.emit(Relayed {
            key: it.number % KEYS,
            number: it.number,
            place: self.place,
            source: it.source,
            attempt: it.attempt,
            spout_pid: it.spout_pid,
            relay: self.relay,
            relay_pid: self.pid,
        });
        self.place += 1;
        Ok(())
    }
}

/// Writes down what it executes.
struct Sink {
    file: File,
    line: Vec<u8>,
    sink: u32,
    pid: u32,
}

impl Sink {
    fn open(cx: &Context) -> io::Result<Self> {
        let file = ledger(&folder_of(cx), "sink", cx.task_index())?;
        Ok(Self { file, line: Vec::new(), sink: cx.task_index(), pid: std::process::id() })
    }
}

impl Bolt for Sink {
    type Input = Relayed;
    type Output = NoOutput;

    fn execute(&mut self, it: Relayed, _: &mut Output<NoOutput>) -> BoltResult {
        let Relayed { number, place, source, attempt, spout_pid, relay, relay_pid, .. } = it;
        let attempt = Attempt { source, number, attempt };
        let (sink, pid, at_ns) = (self.sink, self.pid, now_ns());
        self.line.clear();
        Executed { attempt, at_ns, sink, pid, spout_pid, relay, relay_pid, place }
            .write(&mut self.line);
        // One write a line, straight to the file: a kill takes none back.
        self.file.write_all(&self.line)?;
        Ok(())
    }
}

fn folder_of(cx: &Context) -> PathBuf {
    PathBuf::from(cx.arguments().value("folder").unwrap_or_default())
}

/// Opens the ledger of this process for a task. Each process has its own, so a line that a kill cut
/// off is always the last one.
fn ledger(folder: &Path, role: &str, task: u32) -> io::Result<File> {
    let path = folder.join(format!("{role}-{task}-{}", std::process::id()));
    OpenOptions::new().create(true).append(true).open(path)
}

/// What earlier processes of a spout task wrote last.
fn earlier(folder: &Path, source: u32) -> io::Result<Vec<Told>> {
    let start = format!("spout-{source}-");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(pid) = name.strip_prefix(&start).and_then(|pid| pid.parse::<u32>().ok()) {
            files.push((entry.metadata()?.modified()?, entry.path(), pid));
        }
    }
    files.sort();
    let mut lines = Vec::new();
    let mut left = TAIL_BYTES;
    for (_, path, pid) in files.into_iter().rev() {
        let mut file = File::open(&path)?;
        let whole = file.metadata()?.len() / TOLD_BYTES as u64 * TOLD_BYTES as u64;
        let taken = whole.min(left / TOLD_BYTES as u64 * TOLD_BYTES as u64);
        left -= taken;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(whole - taken))?;
        file.take(taken).read_to_end(&mut bytes)?;
        let told = bytes.chunks_exact(TOLD_BYTES).map(|line| Told::read(line, source, pid));
        lines.splice(0..0, told);
    }
    Ok(lines)
}

/// The next number, and what was emitted and not acked, each with its next attempt.
fn resume(lines: &[Told]) -> (u64, Vec<(u64, u32)>) {
    let mut open = BTreeMap::new();
    let mut next = 0;
    for Told { attempt, step, .. } in lines {
        match step {
            Step::Emitted => {
                next = next.max(attempt.number + 1);
                open.insert(attempt.number, attempt.attempt + 1);
            }
            Step::Acked => drop(open.remove(&attempt.number)),
            Step::Failed => {}
        }
    }
    // The oldest is popped first.
    (next, open.into_iter().rev().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spout_that_starts_again_goes_on_where_the_last_one_was() {
        let folder = tempfile::tempdir().unwrap();
        let write = |pid: u32, lines: &[(u64, u32, Step)], torn: &[u8]| {
            let mut bytes = Vec::new();
            for (number, attempt, step) in lines {
                let attempt = Attempt { source: 0, number: *number, attempt: *attempt };
                Told { attempt, step: *step, at_ns: 1, pid }.write(&mut bytes);
            }
            bytes.extend(torn);
            let path = folder.path().join(format!("spout-0-{pid}"));
            std::fs::write(path, bytes).unwrap();
        };
        assert_eq!(resume(&earlier(folder.path(), 0).unwrap()), (0, vec![]));
        use Step::{Acked, Emitted, Failed};
        write(9, &[(0, 0, Emitted), (1, 0, Emitted), (2, 0, Emitted), (1, 0, Acked)], b"torn");
        assert_eq!(resume(&earlier(folder.path(), 0).unwrap()), (3, vec![(2, 1), (0, 1)]));
        write(5, &[(0, 1, Emitted), (2, 1, Emitted), (0, 1, Failed), (2, 1, Acked)], b"");
        assert_eq!(resume(&earlier(folder.path(), 0).unwrap()), (3, vec![(0, 2)]));
        assert_eq!(resume(&earlier(folder.path(), 1).unwrap()), (0, vec![]), "another task");
    }
}
