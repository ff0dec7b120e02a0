//! A slot on a bench: its tests put events in and read in words what it says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::Clock;
use proto::store::AssignmentRecord;

use super::super::{Command, Epoch, Exit, Placement, Timings};
use super::Slot;
use crate::engine::SlotEvent as On;

/// A slot, its clock, and what it said in words.
pub(super) struct Bench {
    pub(super) slot: Slot,
    pub(super) start: Instant,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { slot: Slot::new(0, Timings::default()), start: Clock::manual().now() }
    }

    /// Lets an event happen `at` milliseconds; returns the state and the commands in short.
    pub(super) fn on(&mut self, at: u64, event: On) -> String {
        let commands = self.slot.handle(event, self.start + Duration::from_millis(at));
        self.show(&commands)
    }

    pub(super) fn show(&self, commands: &[Command]) -> String {
        let mut words = vec![format!("[{}]", self.slot.state().name())];
        words.extend(commands.iter().filter_map(word));
        words.join(" ")
    }

    /// Runs a table of (milliseconds, event, what follows).
    pub(super) fn run(&mut self, table: Vec<(u64, On, &str)>) {
        for (row, (at, event, follows)) in table.into_iter().enumerate() {
            let shown = format!("row {row}, at {at} ms: {event:?}");
            assert_eq!(self.on(at, event), follows, "{shown}");
        }
    }
}

fn word(command: &Command) -> Option<String> {
    Some(match command {
        Command::Fetch { digest, .. } => format!("fetch {digest}"),
        Command::Launch { epoch, .. } => format!("launch {epoch}"),
        Command::Announce { epoch, address, .. } => format!("announce {epoch} {address:?}"),
        Command::Withdraw { worker, .. } => format!("withdraw {worker}"),
        Command::Instruct { .. } => "instruct".to_owned(),
        Command::AskToStop { .. } => "ask".to_owned(),
        Command::Signal { signal, pid, .. } => format!("{signal:?} {pid}"),
        Command::Clean { worker, .. } => format!("clean {worker}"),
        Command::Warn { .. } => "warn".to_owned(),
        Command::Look { pid, .. } => format!("look {pid}"),
        Command::Report => return None,
    })
}

pub(super) fn placement(worker: u32, revision: u64) -> Box<Placement> {
    Box::new(Placement {
        slot: 0,
        topology: "t".to_owned(),
        name: "t".to_owned(),
        worker,
        revision,
        restarts_min: 0,
        digest: "d".to_owned(),
        arguments: Vec::new(),
        config: Default::default(),
        assignment: Arc::new(AssignmentRecord::default()),
    })
}

pub(super) fn wanted(worker: u32, revision: u64) -> On {
    On::Wanted(Some(placement(worker, revision)))
}

pub(super) fn fetched() -> On {
    On::Fetched { digest: "d".to_owned(), problem: None }
}

pub(super) fn launched(revision: u64, restarts: u64, pid: u32) -> On {
    On::Launched { epoch: Epoch { revision, restarts }, pid, started_ms: 1 }
}

pub(super) fn hello(pid: u32) -> On {
    On::Attached { pid, address: format!("h:{pid}"), released: None }
}

pub(super) fn exited(revision: u64, restarts: u64) -> On {
    let exit = Exit { reason: "exit code 1".to_owned(), ..Exit::default() };
    On::Exited { epoch: Epoch { revision, restarts }, exit }
}

pub(super) fn heard() -> On {
    On::Heard { drained: false, released: None }
}

/// A slot whose worker 0 runs since second 0 as pid 7 under assignment 5.
pub(super) fn running() -> Bench {
    let mut bench = Bench::new();
    bench.run(vec![
        (0, wanted(0, 5), "[fetching] fetch d"),
        (0, fetched(), "[starting] launch 5.0"),
        (0, launched(5, 0, 7), "[starting]"),
        (0, hello(7), "[running] announce 5.0 \"h:7\""),
    ]);
    bench
}
