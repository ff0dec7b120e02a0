//! Weblog: writes the access logs of a web shop, and counts them.
//!
//! `weblog traffic FOLDER [--rate=1000] [--seconds=60] [--seed=1] [--servers=3] [--speed=60] [--at-once]
//! [--rotate-lines=20000]` writes `web-N.access.log` files. Servers with an even number rename a full log to
//! `.1`, `.2` and so on, the others copy and empty it. What was planted is in `truth.json`.
//!
//! `weblog count FILES... [--json]` counts lines as `weblog::tally` says.

#![expect(clippy::print_stdout, reason = "who runs it wants its output")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use topology_api::Args;
use weblog::tally::Tally;
use weblog::traffic::{Options, Traffic};

/// How often lines are handed to the system.
const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// The log of one server.
struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    lines: u64,
    rotations: u32,
    copies: bool,
}

impl Log {
    fn open(folder: &Path, server: usize) -> io::Result<Self> {
        let path = folder.join(format!("web-{server}.access.log"));
        let file = BufWriter::new(appended(&path)?);
        Ok(Self { path, file, lines: 0, rotations: 0, copies: !server.is_multiple_of(2) })
    }

    fn write(&mut self, line: &str, rotate_lines: u64) -> io::Result<()> {
        if self.lines == rotate_lines {
            self.rotate()?;
        }
        self.lines += 1;
        writeln!(self.file, "{line}")
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.rotations += 1;
        let to = self.path.with_extension(format!("log.{}", self.rotations));
        if self.copies {
            fs::copy(&self.path, to)?;
            self.file.get_ref().set_len(0)?;
        } else {
            fs::rename(&self.path, to)?;
            self.file = BufWriter::new(appended(&self.path)?);
        }
        self.lines = 0;
        Ok(())
    }
}

fn appended(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// A number of the arguments, or what it is when nothing is said.
fn number(args: &Args, name: &str, default: f64) -> Result<f64, String> {
    let Some(text) = args.value(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("--{name}={text} is no number above 0"))
}

fn options(args: &Args) -> Result<Options, String> {
    let default = Options::default();
    let seed = args.value("seed").map_or(Ok(default.seed), |seed| {
        seed.parse().map_err(|_| format!("--seed={seed} is no whole number"))
    })?;
    Ok(Options {
        seed,
        servers: number(args, "servers", default.servers as f64)? as usize,
        rate: number(args, "rate", default.rate)?,
        seconds: number(args, "seconds", default.seconds)?,
        speed: number(args, "speed", default.speed)?,
        start: number(args, "start", default.start as f64)? as u64,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "traffic comes as time passes, and there is no task to ask"
)]
fn traffic(args: &Args, folder: &Path) -> Result<(), String> {
    let (options, rotate) = (options(args)?, number(args, "rotate-lines", 20_000.0)? as u64);
    let at_once = args.flag("at-once");
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let servers = 0..options.servers.max(1);
        let mut logs =
            servers.map(|server| Log::open(folder, server)).collect::<io::Result<Vec<_>>>()?;
        let (begun, mut flushed) = (Instant::now(), 0.0);
        let mut traffic = Traffic::new(options.clone());
        for made in traffic.by_ref() {
            if !at_once && made.at - flushed > FLUSH_EVERY.as_secs_f64() {
                logs.iter_mut().try_for_each(|log| log.file.flush())?;
                flushed = made.at;
                let due = begun + Duration::from_secs_f64(made.at);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            logs[made.server].write(&made.line, rotate)?;
        }
        logs.iter_mut().try_for_each(|log| log.file.flush())?;
        // As a whole: who waits for it finds all of it.
        let new = folder.join(".truth.json");
        fs::write(&new, format!("{:#}\n", traffic.truth()))?;
        fs::rename(new, folder.join("truth.json"))
    };
    write().map_err(|error| format!("cannot write logs in {}: {error}", folder.display()))
}

fn count(args: &Args, files: &[PathBuf]) -> Result<(), String> {
    let mut tally = Tally::default();
    for path in files {
        let cannot = |error: io::Error| format!("cannot read {}: {error}", path.display());
        let mut reader = BufReader::new(File::open(path).map_err(cannot)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).map_err(cannot)? > 0 {
            let text = String::from_utf8_lossy(&line);
            tally.add_line(text.trim_end_matches(['\r', '\n']));
            line.clear();
        }
    }
    let report = tally.report();
    if args.flag("json") {
        println!("{report:#}");
        return Ok(());
    }
    let names = ["lines", "invalid", "requests", "server_errors", "clients", "sessions"];
    names.iter().for_each(|name| println!("{name:<14}{}", report[name]));
    for name in ["top_pages", "top_referrers", "top_clients"] {
        println!("\n{name}");
        for row in report[name].as_array().into_iter().flatten() {
            let (name, count) = (row[0].as_str().unwrap_or_default(), row[1].to_string());
            println!("{count:>10}  {name}");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::new(std::env::args().skip(1));
    let files = args.files();
    let done = match (args.iter().next(), files.get(1..)) {
        (Some("traffic"), Some([folder])) => traffic(&args, folder),
        (Some("count"), Some(files)) if !files.is_empty() => count(&args, files),
        _ => Err("say `weblog traffic FOLDER` or `weblog count FILES... [--json]`".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: {error}"));
            ExitCode::from(64)
        }
    }
}
