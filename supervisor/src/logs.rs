//! Reads the logs of the workers for who asks, and rotates them.
//!
//! A client names a topology and a worker's number, never a path. A reader that goes away is
//! noticed and freed; the number of readers is limited.

mod grep;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daemon::logging::Search;
use daemon::{Clock, Shutdown};
use proto::supervisor::{LogChunk, LogsRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::log_file;
use crate::workdir::DataDir;
use grep::Grep;

/// Readers at a time.
const READERS_MAX: usize = 64;

/// Most of the end of a log that is sent first.
const TAIL_BYTES_MAX: u64 = 16 << 20;

/// Bytes in one message.
const CHUNK_BYTES: usize = 64 << 10;

/// How often a followed log is looked at, and how often logs are measured for rotation.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const MEASURE_EVERY: Duration = Duration::from_millis(500);

/// Rotates the logs of all workers until `parts` is asked to stop.
pub(crate) fn keep_small(data: Arc<DataDir>, clock: Clock, parts: &Shutdown) {
    parts.spawn_until_asked(async move {
        loop {
            clock.sleep(MEASURE_EVERY).await;
            let workers = data.workers();
            // A worker's folder may vanish at any moment: the next round will not see it.
            drop(tokio::task::spawn_blocking(move || rotate_all(&workers)).await);
        }
    });
}

fn rotate_all(workers: &Path) {
    let below = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    for folder in below(workers).iter().flat_map(|topology| below(topology)) {
        match log_file::rotate(&folder, log_file::BYTES_MAX) {
            Ok(true) => tracing::debug!(folder = %folder.display(), "log rotated"),
            Ok(false) => {}
            Err(error) => tracing::debug!(folder = %folder.display(), %error, "cannot rotate"),
        }
    }
}

/// Where logs are read from.
pub(crate) struct Logs {
    data: Arc<DataDir>,
    clock: Clock,
    readers: Arc<Semaphore>,
    parts: Shutdown,
}

impl Logs {
    /// Reads logs until `parts` is asked to stop.
    pub(crate) fn new(data: Arc<DataDir>, clock: Clock, parts: &Shutdown) -> Self {
        Self { data, clock, readers: Arc::new(Semaphore::new(READERS_MAX)), parts: parts.clone() }
    }

    /// Reads a log, and goes on reading it if that is wanted.
    pub(crate) async fn open(
        &self,
        request: LogsRequest,
    ) -> Result<ReceiverStream<Result<LogChunk, Status>>, Status> {
        let Some(folder) = self.data.worker(&request.topology, request.worker) else {
            return Err(Status::invalid_argument("this is no id of a topology"));
        };
        let mut grep = search(&request).map(Grep::new).map_err(Status::invalid_argument)?;
        let Ok(permit) = Arc::clone(&self.readers).try_acquire_owned() else {
            return Err(Status::resource_exhausted("too many read logs here: try again later"));
        };
        let bytes = request.tail_bytes.min(TAIL_BYTES_MAX);
        let LogsRequest { follow, last_lines, .. } = request;
        let (first, position, grep) = {
            let folder = folder.clone();
            // Some MiB are read and searched: nothing for a thread that others wait for.
            let read = tokio::task::spawn_blocking(move || {
                let (tail, position, cut) = log_file::last_lines(&folder, bytes)?;
                let mut found = grep.pass(tail);
                if !follow {
                    found.append(&mut grep.rest());
                }
                let (data, more) = grep::last(found, last_lines);
                Ok::<_, io::Error>((LogChunk { data, cut: cut || more }, position, grep))
            });
            let read = read.await.map_err(|error| Status::internal(error.to_string()))?;
            read.map_err(|error| refusal(&error, &request))?
        };
        let (sender, chunks) = mpsc::channel(4);
        let clock = self.clock.clone();
        let mut reader = Reader { folder, sender, clock, grep, _permit: permit };
        self.parts.spawn_until_asked(async move {
            if reader.send_first(first).await && follow {
                reader.follow(position).await;
            }
        });
        Ok(ReceiverStream::new(chunks))
    }
}

/// What is looked for.
fn search(request: &LogsRequest) -> Result<Search, String> {
    let mut expressions = request.more_greps.clone();
    expressions.push(request.grep.clone());
    Search::new(&expressions, &request.level, request.since_ms)
}

fn refusal(error: &io::Error, request: &LogsRequest) -> Status {
    let LogsRequest { topology, worker, .. } = request;
    match error.kind() {
        io::ErrorKind::NotFound => {
            Status::not_found(format!("worker {worker} of {topology} does not run here"))
        }
        _ => Status::internal(format!("cannot read the log: {error}")),
    }
}

struct Reader {
    folder: PathBuf,
    sender: mpsc::Sender<Result<LogChunk, Status>>,
    clock: Clock,
    grep: Grep,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// Sends what was found at first; false if nobody reads any more.
    async fn send_first(&self, LogChunk { data, cut }: LogChunk) -> bool {
        if cut && self.sender.send(Ok(LogChunk { data: Vec::new(), cut })).await.is_err() {
            return false;
        }
        self.send(&data).await
    }

    /// Sends this; false if nobody reads any more.
    async fn send(&self, bytes: &[u8]) -> bool {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            let chunk = LogChunk { data: chunk.to_vec(), cut: false };
            if self.sender.send(Ok(chunk)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Sends what is written from now on, until the reader or the log is gone.
    async fn follow(&mut self, mut position: u64) {
        loop {
            let folder = self.folder.clone();
            let read = move || log_file::read_on(&folder, position, CHUNK_BYTES as u64);
            let Ok(Ok((more, next))) = tokio::task::spawn_blocking(read).await else { return };
            position = next;
            let is_all = more.len() < CHUNK_BYTES;
            let wanted = self.grep.pass(more);
            if !self.send(&wanted).await {
                return;
            }
            if is_all {
                tokio::select! {
                    () = self.sender.closed() => return,
                    () = self.clock.sleep(LOOK_EVERY) => {}
                }
            }
        }
    }
}
