//! Following a topology and not only the workers it had: what is placed anew is followed too.

use std::collections::BTreeMap;
use std::time::Duration;

use daemon::{Clock, Shutdown};
use proto::nimbus::LogsChunk;
use proto::supervisor;
use tokio::sync::mpsc;

use super::{Source, Whose, open, pass, sources};
use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::command::RefusalKind;

/// How often it is looked for workers that came or moved.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a worker may take from its place being known to its first line.
const TRIES_MAX: u32 = 60;

/// What of the end of a log is read where a worker has come: more than it can have written since.
const TAIL_BYTES: u64 = 1 << 20;

/// How much older lines may be: a worker may have begun before it was looked for it.
const SINCE_MS: u64 = 5_000;

/// Whose workers are followed, and what is asked of their supervisors.
pub(super) struct Moves {
    pub(super) handle: Handle,
    pub(super) name: String,
    pub(super) component: String,
    pub(super) worker: Option<u32>,
    pub(super) asked: supervisor::LogsRequest,
    /// Where workers are followed already.
    pub(super) known: BTreeMap<u32, String>,
}

impl Moves {
    /// Follows workers that come until the topology is gone.
    pub(super) async fn follow(mut self, shutdown: Shutdown, chunks: mpsc::Sender<LogsChunk>) {
        let clock = Clock::system();
        loop {
            clock.sleep(LOOK_EVERY).await;
            let (name, component, worker) =
                (self.name.clone(), self.component.clone(), self.worker);
            let look = move |engine: &Engine, _| {
                let whose = Whose { name: &name, component: &component, worker };
                sources(engine, &whose, "read the logs of")
            };
            let found = match self.handle.look(look).await {
                Ok(Ok(found)) => found,
                Ok(Err(refusal)) if refusal.kind == RefusalKind::NotNow => continue,
                // It was killed, or this nimbus stops.
                Ok(Err(_)) | Err(_) => return,
            };
            for source in found {
                let before = self.known.insert(source.worker, source.supervisor.clone());
                if before.as_ref() == Some(&source.supervisor) {
                    continue;
                }
                let since = clock.wall_ms().saturating_sub(SINCE_MS);
                let request = supervisor::LogsRequest {
                    topology: source.topology.clone(),
                    worker: source.worker,
                    since_ms: self.asked.since_ms.max(since),
                    tail_bytes: TAIL_BYTES,
                    last_lines: 0,
                    ..self.asked.clone()
                };
                let (handle, chunks, stopped) =
                    (self.handle.clone(), chunks.clone(), shutdown.clone());
                shutdown.spawn(async move {
                    tokio::select! {
                        () = stopped.asked() => {}
                        () = chunks.closed() => {}
                        () = begin(&source, request, &handle, &chunks) => {}
                    }
                });
            }
        }
    }
}

/// Follows a worker as soon as it has a log.
async fn begin(
    source: &Source,
    request: supervisor::LogsRequest,
    handle: &Handle,
    chunks: &mpsc::Sender<LogsChunk>,
) {
    let clock = Clock::system();
    for _ in 0..TRIES_MAX {
        if let Ok(log) = open(&source.address, request.clone(), handle.security()).await {
            pass(source, Ok(log), chunks).await;
            return;
        }
        clock.sleep(LOOK_EVERY).await;
    }
    let log = open(&source.address, request, handle.security()).await;
    pass(source, log, chunks).await;
}
