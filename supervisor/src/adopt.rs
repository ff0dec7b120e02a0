//! Takes over the workers that an earlier life of this supervisor started.
//!
//! A worker is recognised by its token, which only it and its facts on disk hold: the kernel shows
//! the environment a process was started with. So a worker is found even if the supervisor died
//! between starting it and writing down its pid, and whatever was started by this supervisor but
//! is in no facts any more is ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::Clock;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::engine::{Epoch, Remembered};
use crate::facts::Facts;
use crate::process::{self, Process, Started};
use crate::workdir::DataDir;

/// How often it is checked that an adopted worker lives, where the kernel gives no pidfd: no `wait`
/// tells, it is not our child.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A worker of an earlier life.
#[derive(Debug)]
pub(crate) struct Found {
    /// For the engine.
    pub(crate) remembered: Remembered,
    /// Which incarnation that is.
    pub(crate) epoch: Epoch,
    /// What it proves its identity with.
    pub(crate) token: String,
    /// Its process, if that lives.
    pub(crate) process: Option<Process>,
    /// Which limits nobody holds it to, and why.
    pub(crate) unheld: String,
}

impl Found {
    /// Returns the slot it was started in.
    pub(crate) fn slot(&self) -> u32 {
        self.remembered.placement.slot
    }
}

/// Looks for workers of an earlier life; ends processes and removes folders that belong to none.
pub(crate) fn survey(data: &DataDir, clock: &Clock) -> Vec<Found> {
    let mut running = process::started_by(&data.socket().to_string_lossy());
    let mut all = Vec::new();
    for folder in folders(&data.workers()) {
        match Facts::load(&folder) {
            Some(facts) => {
                let taken = all.iter().any(|other: &Found| other.slot() == facts.slot);
                let found = examine(facts, &running, clock).filter(|_| !taken);
                if let Some(found) = found {
                    running.retain(|process| process.token != found.token);
                    all.push(found);
                    continue;
                }
            }
            None => tracing::warn!(folder = %folder.display(), "worker's facts are unreadable"),
        }
        drop(fs::remove_dir_all(&folder));
        drop(folder.parent().map(fs::remove_dir));
    }
    for stray in running {
        tracing::warn!(pid = stray.pid, "ending a process that belongs to no worker");
        stray.kill();
        if let Some((topology, worker, epoch)) = stray.worker
            && let Err(error) = data.retired.add(&topology, worker, epoch)
        {
            tracing::warn!(%error, "cannot remember the epoch of a stray process");
        }
    }
    all
}

fn examine(facts: Facts, running: &[Started], clock: &Clock) -> Option<Found> {
    let placement = facts.placement()?;
    // The leader of the group is the worker; others of its token are what it started.
    let same_token = || running.iter().filter(|process| process.token == facts.token);
    let leader = same_token().find(|process| process.pid == process.group);
    let recorded = Process { pid: facts.pid, start_time: facts.start_time };
    let process = match leader {
        Some(leader) => Some(Process::of(leader.pid)),
        None if facts.start_time == 0 && facts.pid != 0 => Some(recorded).filter(|p| p.lives()),
        None => None,
    };
    if process.is_none() {
        same_token().for_each(Started::kill);
    }
    let remembered = Remembered {
        placement,
        restarts: facts.epoch().restarts,
        pid: process.map(|process| process.pid),
        started_ms: facts.started_ms,
        now_ms: clock.wall_ms(),
    };
    let (epoch, unheld) = (facts.epoch(), facts.unheld);
    Some(Found { remembered, epoch, token: facts.token, process, unheld })
}

/// Waits until a process that is not our child has ended: by a pidfd, which the kernel makes readable
/// then, or by looking again and again.
#[expect(deprecated, reason = "what takes its place is `unsafe`; an `OwnedFd` stays what it is")]
pub(crate) async fn wait(process: Process, clock: &Clock) {
    if let Some(pidfd) = process.pidfd()
        && let Ok(pidfd) = AsyncFd::with_interest(pidfd, Interest::READABLE)
        && pidfd.readable().await.is_ok()
    {
        return;
    }
    while process.lives() {
        clock.sleep(LOOK_EVERY).await;
    }
}

fn folders(workers: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path| {
        let entries = fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>());
        entries.unwrap_or_default().into_iter().map(|entry| entry.path())
    };
    below(workers).flat_map(|topology| below(&topology)).filter(|path| path.is_dir()).collect()
}
