//! Waits for the ends of workers, finds out how each came about, and tells the loop.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use daemon::Clock;
use tokio::process::Child;
use tokio::sync::mpsc;

use super::Message;
use super::apply::say;
use crate::ending::{self, Clues, Witness};
use crate::engine::{Epoch, Exit, SlotEvent};
use crate::limits::Bounds;
use crate::outlet::Outlet;
use crate::process::Process;
use crate::{adopt, log_file, process};

/// How often it is looked how many processes the kernel has ended for want of memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An incarnation that runs.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) slot: u32,
    /// Its topology and its number there.
    pub(super) worker: (String, u32),
    pub(super) epoch: Epoch,
    pub(super) process: Process,
    /// Its folder.
    pub(super) folder: Option<PathBuf>,
    /// What holds it to its limits.
    pub(super) bounds: Bounds,
    /// What it wrote last.
    pub(super) outlet: Outlet,
}

impl Alive {
    /// Waits for the end of a child.
    pub(super) async fn reap(
        self,
        mut child: Child,
        clock: &Clock,
        messages: &mpsc::Sender<Message>,
    ) {
        let kills = ending::kills_for_memory();
        // The last look may have come between the kill and the end: the one before it counts.
        let mut looks = [kills; 2];
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                () = clock.sleep(LOOK_EVERY) => looks = [looks[1], ending::kills_for_memory()],
            }
        };
        let machine = (ending::kills_for_memory() > looks[0]).then_some(Witness::Machine);
        self.end(status.ok(), machine, (clock, messages)).await;
    }

    /// Waits for the end of a process that is not our child.
    pub(super) async fn outlive(self, clock: &Clock, messages: &mpsc::Sender<Message>) {
        adopt::wait(self.process, clock).await;
        self.end(None, None, (clock, messages)).await;
    }

    /// Ends what it left running, finds out how it ended, and tells the loop.
    async fn end(
        self,
        status: Option<ExitStatus>,
        machine: Option<Witness>,
        (clock, messages): (&Clock, &mpsc::Sender<Message>),
    ) {
        let at_ms = clock.wall_ms();
        process::kill_rest(self.process.pid);
        let Self { slot, worker: (topology, worker), epoch, folder, bounds, outlet, .. } = self;
        let found = tokio::task::spawn_blocking(move || {
            let own = bounds.group.as_ref().is_some_and(|group| group.ran_out_of_memory());
            if let Some(group) = &bounds.group {
                group.remove();
            }
            let words = folder.map(|folder| {
                log_file::append(&folder, &outlet.rest());
                log_file::own_end(&folder)
            });
            let words = words.unwrap_or_default();
            let last_words = log_file::last_words(&words);
            let short_of_memory = if own { Some(Witness::Cgroup) } else { machine };
            let clues = Clues { short_of_memory, limit: bounds.memory, words };
            Exit { reason: ending::describe(status, &clues), last_words, at_ms }
        });
        let unknown = |_| Exit { reason: "ended".to_owned(), last_words: String::new(), at_ms };
        let exit = found.await.unwrap_or_else(unknown);
        tracing::info!(%topology, worker, %epoch, reason = %exit.reason, "worker ended");
        say(messages, slot, SlotEvent::Exited { epoch, exit }).await;
    }
}
