//! A nimbus in a process of its own, so that its memory is told from that of what feeds and asks it.
//!
//! The process is this program again. It runs the nimbus that is shipped, on a store in memory, and moves
//! its clock by itself: as fast as time passes, and on request by hours, for a history is full after a
//! day. What it is asked comes as lines on its standard input, and it ends with that.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use coordination::{Keys, MemoryStore, Store, Transaction, decode, put};
use daemon::{Clock, Shutdown};
use nimbus::engine::liveness::Patience;
use nimbus::{Config, Running};
use proto::store::{AssignmentRecord, SupervisorRecord};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::answers::{PATIENCE, REPORT_EVERY, THREADS, refused};
use super::reports::{Place, Shape};
use crate::figures::{as_f64, rounded};
use crate::problem::Problem;
use crate::say;

/// Name of the cluster.
const CLUSTER: &str = "bench";

/// How often the clock of the nimbus is moved.
const TICK: Duration = Duration::from_millis(10);

/// Longer than all leaps: nobody is lost, and the nimbus leads all the time.
const LONG: Duration = Duration::from_hours(100);

/// What the process is asked for: where the workers are, or to let so many seconds pass.
const PLACES: &str = "places";
const LEAP: &str = "leap ";

/// The process, seen from outside; it ends with this.
pub(super) struct Served {
    child: Child,
    asking: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where it listens.
    pub(super) running: Running,
}

impl Served {
    /// Starts it, with a supervisor for each worker of a topology.
    pub(super) fn start(shape: Shape) -> Result<Self, Problem> {
        let program = std::env::current_exe().map_err(|error| refused(&error))?;
        let mut command = Command::new(program);
        command.args(["status", "--serve", "--topologies", &shape.topologies.to_string()]);
        command.args(["--workers", &shape.workers.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| refused(&error))?;
        let ends = child.stdin.take().zip(child.stdout.take());
        let (asking, answers) = ends.ok_or_else(|| refused(&"it has no pipes"))?;
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let running = Running { address: nowhere, http_address: nowhere };
        let mut served = Self { child, asking, answers: BufReader::new(answers), running };
        let (address, http_address) = served.answer()?;
        served.running = Running { address, http_address };
        Ok(served)
    }

    /// Waits until everything is placed, and tells where.
    pub(super) fn places(&mut self) -> Result<Vec<Place>, Problem> {
        self.ask(PLACES)
    }

    /// Lets time pass for it at once.
    pub(super) fn leap(&mut self, by: Duration) -> Result<(), Problem> {
        self.ask(&format!("{LEAP}{}", by.as_secs()))
    }

    /// The memory that it has in use, and the most that it ever had, in MiB.
    pub(super) fn resident_mib(&self) -> Result<(f64, f64), Problem> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path)
            .map_err(|error| Problem::failed("cannot measure memory", error))?;
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
            let kib = kib.ok_or_else(|| {
                Problem::failed("cannot measure memory", format!("no {name} in {path}"))
            })?;
            Ok(rounded(as_f64(kib) / 1_024.0))
        };
        Ok((mib("VmRSS:")?, mib("VmHWM:")?))
    }

    fn ask<T: DeserializeOwned>(&mut self, line: &str) -> Result<T, Problem> {
        writeln!(self.asking, "{line}").map_err(|error| ended(&error))?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| ended(&error))?;
        serde_json::from_str(&line).map_err(|error| ended(&error))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ended(error: &dyn std::fmt::Display) -> Problem {
    Problem::failed("the process of the nimbus does not answer", error)
}

/// Is that process: serves until standard input ends.
pub(super) fn serve(shape: Shape) -> Result<(), Problem> {
    // As `squall nimbus` does.
    daemon::take_small_pages();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(THREADS).enable_all().build();
    let runtime = runtime.map_err(|error| refused(&error))?;
    let shutdown = Shutdown::new();
    let served = runtime.block_on(answer(shape, &shutdown));
    shutdown.ask();
    let stopped = runtime.block_on(shutdown.wait(Duration::from_secs(10)));
    stopped.map_err(|error| Problem::failed("the nimbus did not stop in time", error))?;
    served
}

async fn answer(shape: Shape, shutdown: &Shutdown) -> Result<(), Problem> {
    let clock = Clock::manual();
    shutdown.spawn_until_asked(pass(clock.clone()));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
    let folder = tempfile::Builder::new().prefix("squall-bench-").tempdir();
    let folder = folder.map_err(|error| refused(&error))?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config {
        listen: any_port,
        http: any_port,
        cluster: CLUSTER.to_owned(),
        leader_ttl: LONG,
        patience: Patience {
            silent: LONG,
            severed: LONG,
            alone: LONG,
            away: LONG,
            grace: Duration::ZERO,
        },
        ..Config::new(CLUSTER, folder.path())
    };
    let running = nimbus::start(config, Arc::clone(&store), clock.clone(), shutdown.clone());
    let running = running.await.map_err(|error| refused(&error))?;
    let keys = Keys::new(CLUSTER).map_err(|error| refused(&error))?;
    for supervisor in shape.supervisors() {
        register(&*store, &keys, (&supervisor, shape.topologies)).await?;
    }
    say(&json!([running.address, running.http_address]).to_string());
    loop {
        let read = || std::io::stdin().lines().next().transpose();
        let line = tokio::task::spawn_blocking(read).await.map_err(|error| refused(&error))?;
        let Some(line) = line.map_err(|error| refused(&error))? else { return Ok(()) };
        let leap = line.strip_prefix(LEAP).and_then(|seconds| seconds.parse().ok());
        match leap {
            Some(seconds) => {
                clock.advance(Duration::from_secs(seconds));
                say(&json!(null).to_string());
            }
            None => say(&json!(until_placed(&*store, &keys, shape).await?).to_string()),
        }
    }
}

/// Moves a clock as time passes.
async fn pass(clock: Clock) {
    let system = Clock::system();
    let mut before = system.now();
    loop {
        tokio::time::sleep(TICK).await;
        let now = system.now();
        clock.advance(now.saturating_duration_since(before));
        before = now;
    }
}

async fn register(store: &dyn Store, keys: &Keys, (id, slots): (&str, u32)) -> Result<(), Problem> {
    let record = SupervisorRecord { id: id.to_owned(), slots, ..SupervisorRecord::default() };
    let operations = vec![put(keys.supervisor(id), &record, None)];
    let committed = store.commit(Transaction { guards: vec![], operations }).await;
    committed.map(drop).map_err(|error| Problem::failed("a supervisor cannot register", error))
}

/// Waits until every topology has its workers, and returns where they are.
async fn until_placed(store: &dyn Store, keys: &Keys, shape: Shape) -> Result<Vec<Place>, Problem> {
    let deadline = Clock::system().now() + PATIENCE;
    let unreadable = |error: &dyn std::fmt::Display| {
        Problem::failed("the assignments cannot be read", error.to_string())
    };
    loop {
        let listed = store.list(&keys.assignments()).await.map_err(|error| unreadable(&error))?;
        let mut places = Vec::new();
        for entry in &listed.entries {
            let record: AssignmentRecord = decode(entry).map_err(|error| unreadable(&error))?;
            places.push(Place {
                topology: record.topology,
                supervisor: record.supervisor,
                worker: record.worker,
                slot: record.slot,
                revision: match record.epoch_revision {
                    0 => entry.modified,
                    revision => revision,
                },
            });
        }
        if places.len() == (shape.topologies * shape.workers) as usize {
            return Ok(places);
        }
        if Clock::system().now() >= deadline {
            return Err(Problem::failed("not everything was placed in time", places.len()));
        }
        tokio::time::sleep(REPORT_EVERY).await;
    }
}
