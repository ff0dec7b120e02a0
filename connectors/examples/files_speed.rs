//! How fast files in reads lines out of the page cache, against a bare loop that reads blocks and splits
//! them.
//!
//! `cargo run --release -p connectors --features files --example files_speed`: one thread; 512 MiB of lines of
//! an access log, each read, made a `Line`, emitted under its message id, taken as a worker takes it, and acked.
//! The best of three, by the clock and by the time the thread had a core: the second does not hang on what
//! else the machine does. `-- files` measures only what has that in its name.

#![expect(clippy::print_stdout, reason = "who runs it wants the figures")]
#![expect(clippy::disallowed_methods, reason = "there is no task to ask for the time")]

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use connectors::files::FilesIn;
use topology_api::prelude::*;
use topology_api::runtime::{Metrics, OutputName, Pool, Reporter, TaskFacts};
use topology_api::{Error, TopologyConfig};
// For its allocator, which topologies have.
use worker as _;

/// How much is read, in bytes.
const BYTES: u64 = 512 * 1024 * 1024;

/// How much the bare loop reads at once, in bytes: as much as files in does.
const BLOCK_BYTES: usize = 256 * 1024;

/// How often each is measured; the best counts.
const TIMES: u32 = 3;

#[derive(Default)]
struct Nobody(Arc<Metrics>);

impl Reporter for Nobody {
    fn result(&self, _: u32, _: String) {}
    fn metrics(&self, _: u32) -> Arc<Metrics> {
        Arc::clone(&self.0)
    }
    fn error(&self, _: u32, text: String) {
        println!("error: {text}");
    }
}

fn write(path: &Path) -> io::Result<u64> {
    let (mut file, mut bytes, mut lines) = (BufWriter::new(File::create(path)?), 0, 0);
    while bytes < BYTES {
        let line = format!(
            "198.18.0.{} - - [01/Mar/2026:09:21:00 +0000] \"GET /product/{lines} HTTP/1.1\" 200 5120 \"-\" \"Mozilla/5.0\"\n",
            lines % 256
        );
        file.write_all(line.as_bytes())?;
        bytes += line.len() as u64;
        lines += 1;
    }
    file.flush().map(|()| lines)
}

/// Reads blocks and looks for line ends; nothing is made of the lines. Gives how many there are.
fn bare(path: &Path) -> io::Result<u64> {
    let (mut file, mut block, mut lines) = (File::open(path)?, vec![0; BLOCK_BYTES], 0);
    loop {
        let count = file.read(&mut block)?;
        if count == 0 {
            return Ok(lines);
        }
        for end in memchr::memchr_iter(b'\n', &block[..count]) {
            lines += u64::from(std::hint::black_box(end) < count);
        }
    }
}

/// The same, and each line becomes a `String`: the least that a reader of owned lines can do.
fn bare_owned(path: &Path) -> io::Result<u64> {
    let (mut file, mut block, mut lines, mut rest) =
        (File::open(path)?, vec![0; BLOCK_BYTES], 0, 0);
    loop {
        let count = file.read(&mut block[rest..])?;
        if count == 0 {
            return Ok(lines);
        }
        let (mut begin, filled) = (0, rest + count);
        for end in memchr::memchr_iter(b'\n', &block[..filled]) {
            let text = std::str::from_utf8(&block[begin..end]).map_err(io::Error::other)?;
            drop(std::hint::black_box(text.to_owned()));
            begin = end + 1;
            lines += 1;
        }
        block.copy_within(begin..filled, 0);
        rest = filled - begin;
    }
}

fn files_in(folder: &Path, state: &Path) -> Result<u64, Error> {
    let files = FilesIn::<Line>::new(folder, "*.log").state(state).follow(false);
    let mut t = TopologyBuilder::new("speed");
    let lines = t.spout("lines", move |cx| files.open(cx)).stream();
    t.for_each("nothing", |_: Line| {}).shuffle(&lines);
    let topology = t.build()?;
    let component = topology.components().iter().find(|component| component.name == "lines");
    let mut task = component.and_then(|it| it.spout_task()).ok_or("the spout is there")?;
    task.open(&Context::new(TaskFacts {
        topology: "speed".to_owned(),
        component: "lines".to_owned(),
        task: 0,
        tasks: 0..1,
        worker: 0,
        arguments: Args::default(),
        config: TopologyConfig::default(),
        outputs: vec![OutputName { name: "default".to_owned(), tuple: "", is_read: true }],
        peers: Vec::new(),
        reporter: Arc::new(Nobody::default()),
        waker: Waker::noop().clone(),
        keeper: None,
    }))?;
    let (mut pool, mut lines) = (Pool::default(), 0);
    loop {
        let next = task.next(128)?;
        let emitted = task.take(0, &mut pool);
        if let Some(emitted) = emitted {
            lines += emitted.rows.len() as u64;
            pool.give(emitted.rows);
            pool.give_column(emitted.anchors);
        }
        // Nobody tracks them: they are acked as soon as they were taken.
        task.file_ids(&[]);
        task.ack_done();
        if next != Next::Emitted {
            task.close();
            return Ok(lines);
        }
    }
}

/// How long this thread has had a core, in nanoseconds.
fn on_core() -> Result<u64, Error> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().ok_or("schedstat begins with a time")?.parse()?)
}

fn measure(name: &str, mut run: impl FnMut() -> Result<u64, Error>) -> Result<(), Error> {
    if std::env::args().nth(1).is_some_and(|part| !name.contains(&part)) {
        return Ok(());
    }
    let (mut best, mut least, mut lines) = (f64::MAX, f64::MAX, 0);
    for _ in 0..TIMES {
        let (begun, before) = (Instant::now(), on_core()?);
        lines = run()?;
        best = best.min(begun.elapsed().as_secs_f64());
        least = least.min((on_core()? - before) as f64 / 1e9);
    }
    let (by_clock, on_core) = (BYTES as f64 / 1e9 / best, BYTES as f64 / 1e9 / least);
    let million = lines as f64 / 1e6 / best;
    println!(
        "{name:<28}{by_clock:>6.2} GB/s {million:>6.2} million lines/s, on its core {on_core:>5.2} GB/s"
    );
    Ok(())
}

fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.log");
    println!("{} lines", write(&path)?);
    measure("read + split", || Ok(bare(&path)?))?;
    measure("read + split + String each", || Ok(bare_owned(&path)?))?;
    measure("files in", || {
        let state = tempfile::tempdir()?;
        files_in(folder.path(), state.path())
    })
}
