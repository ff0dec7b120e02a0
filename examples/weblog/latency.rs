//! How late the pipeline is: from when a line was written to a log until Redis has counted it.
//!
//! `weblog_latency --logs=DIR --redis=HOST:PORT [--seconds=20] [--warm-up=5] [--json]`
//!
//! Beside the traffic it writes a line to a log of its own every ten milliseconds, each for another page,
//! and asks Redis for the views of these pages until they are there. Its log is renamed every six seconds,
//! as often as those of the servers at 10 000 lines a second: what a rotation costs counts too. Times of
//! the warm-up do not count.

#![expect(clippy::print_stdout, reason = "who runs it wants to know")]
#![expect(clippy::disallowed_methods, reason = "it measures time, and there is no task to ask")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use redis::Connection;
use topology_api::Args;
use weblog::entry::Entry;
use weblog::traffic::Options;

type Error = Box<dyn std::error::Error>;

/// Between two lines.
const EVERY: Duration = Duration::from_millis(10);

/// Between two questions.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Between two rotations.
const ROTATE_EVERY: Duration = Duration::from_secs(6);

/// How long the last lines are waited for.
const WAIT: Duration = Duration::from_secs(10);

/// The log, and the lines that were not counted yet.
struct Probe<'a> {
    folder: &'a Path,
    file: File,
    written: u64,
    rotations: u32,
    waiting: Vec<(String, Instant)>,
}

fn opened(folder: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(folder.join("probe.access.log"))
}

impl Probe<'_> {
    fn write(&mut self) -> Result<(), Error> {
        let number = self.written;
        self.written += 1;
        let (page, client) = (format!("/probe/{number}"), format!("192.0.2.{}", number % 250));
        let entry = Entry {
            client: &client,
            time: Options::default().start,
            method: "GET",
            path: &page,
            protocol: "HTTP/1.1",
            status: 200,
            bytes: 1,
            referrer: None,
            agent: "probe",
        };
        let line = format!("{entry}\n");
        let now = Instant::now();
        self.file.write_all(line.as_bytes())?;
        self.waiting.push((page, now));
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), Error> {
        self.rotations += 1;
        let old = format!("probe.access.log.{}", self.rotations);
        fs::rename(self.folder.join("probe.access.log"), self.folder.join(old))?;
        self.file = opened(self.folder)?;
        Ok(())
    }

    /// Takes those that were counted by now, with how long they took since they were written.
    fn counted(&mut self, redis: &mut Connection) -> Result<Vec<(Instant, Duration)>, Error> {
        if self.waiting.is_empty() {
            return Ok(Vec::new());
        }
        let mut ask = redis::cmd("HMGET");
        ask.arg(format!("weblog:views:{}", Options::default().start / 60 * 60));
        for (page, _) in &self.waiting {
            ask.arg(page);
        }
        let views: Vec<Option<u64>> = ask.query(redis)?;
        let now = Instant::now();
        let mut views = views.into_iter();
        let mut counted = Vec::new();
        self.waiting.retain(|(_, written)| {
            let is_there = views.next().flatten().is_some();
            if is_there {
                counted.push((*written, now - *written));
            }
            !is_there
        });
        Ok(counted)
    }
}

/// How long lines took, in milliseconds, in order.
fn measure(args: &Args) -> Result<Vec<f64>, Error> {
    let value = |name| args.value(name).ok_or_else(|| format!("say --{name}=..."));
    let seconds = |name: &str, default: u64| -> Result<Duration, Error> {
        let seconds = args.value(name).map_or(Ok(default), str::parse)?;
        Ok(Duration::from_secs(seconds))
    };
    let (warm_up, window) = (seconds("warm-up", 5)?, seconds("seconds", 20)?);
    let folder = Path::new(value("logs")?);
    let mut redis =
        redis::Client::open(format!("redis://{}/", value("redis")?))?.get_connection()?;
    let (file, begun) = (opened(folder)?, Instant::now());
    let mut probe = Probe { folder, file, written: 0, rotations: 0, waiting: Vec::new() };
    let (mut write_at, mut rotate_at) = (begun, begun + ROTATE_EVERY);
    let (from, to) = (begun + warm_up, begun + warm_up + window);
    let mut took = Vec::new();
    loop {
        let now = Instant::now();
        if now >= rotate_at {
            probe.rotate()?;
            rotate_at += ROTATE_EVERY;
        }
        if now >= write_at && now < to {
            probe.write()?;
            write_at += EVERY;
        }
        let counted = probe.counted(&mut redis)?;
        took.extend(counted.into_iter().filter(|(written, _)| *written >= from));
        if now >= to && probe.waiting.is_empty() {
            break;
        }
        if now >= to + WAIT {
            return Err(format!("{} lines were never counted", probe.waiting.len()).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let mut took: Vec<f64> = took.iter().map(|(_, took)| took.as_secs_f64() * 1e3).collect();
    took.sort_by(f64::total_cmp);
    Ok(took)
}

fn main() -> ExitCode {
    let args = Args::new(std::env::args().skip(1));
    match measure(&args) {
        Ok(took) if !took.is_empty() => {
            let of = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
            let (count, most) = (took.len(), of(100));
            let (p50, p90, p99) = (of(50), of(90), of(99));
            if args.flag("json") {
                println!(
                    r#"{{"lines":{count},"p50_ms":{p50:.1},"p90_ms":{p90:.1},"p99_ms":{p99:.1},"max_ms":{most:.1}}}"#
                );
            } else {
                println!(
                    "from the log to Redis: p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, at most {most:.1} ms, of {count} lines"
                );
            }
            ExitCode::SUCCESS
        }
        Ok(_) => {
            println!("cannot measure: no line was written in time");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("cannot measure: {error}");
            ExitCode::FAILURE
        }
    }
}
