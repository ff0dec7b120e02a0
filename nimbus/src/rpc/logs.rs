//! The logs of a topology: those of its workers, fetched from their supervisors and merged. Who runs
//! what is in the store, so a standby serves them too.

mod moves;

use std::collections::BTreeMap;

use daemon::Shutdown;
use daemon::listen::Security;
use daemon::logging::Search;
use futures::StreamExt;
use proto::nimbus::{LogsChunk, LogsRequest};
use proto::supervisor::supervisor_client::SupervisorClient;
use proto::supervisor::{self, LogChunk};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use topology_api::runtime::did_you_mean;

use self::moves::Moves;
use super::{BoxStream, refused};
use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::command::{Refusal, RefusalKind};

/// Chunks that wait for the client; then supervisors wait.
const CHUNKS_MAX: usize = 16;

/// A worker of which something is wanted.
pub(super) struct Source {
    /// Id of its topology.
    pub(super) topology: String,
    pub(super) worker: u32,
    pub(super) supervisor: String,
    /// Where that is reached.
    pub(super) address: String,
}

/// Which workers are meant.
pub(super) struct Whose<'a> {
    /// Name of the topology.
    pub(super) name: &'a str,
    /// Those that run tasks of it; empty: all of them.
    pub(super) component: &'a str,
    /// This one alone.
    pub(super) worker: Option<u32>,
}

/// Fetches the logs of a topology's workers, for gRPC.
pub(super) async fn logs(
    handle: &Handle,
    shutdown: &Shutdown,
    request: LogsRequest,
) -> Result<BoxStream<LogsChunk>, Status> {
    let chunks = fetch(handle, shutdown, request).await.map_err(refused)?;
    Ok(Box::pin(ReceiverStream::new(chunks).map(Ok)))
}

/// Fetches the logs of a topology's workers until nobody takes them any more.
pub(crate) async fn fetch(
    handle: &Handle,
    shutdown: &Shutdown,
    request: LogsRequest,
) -> Result<mpsc::Receiver<LogsChunk>, Refusal> {
    let asked = check(&request)?;
    let LogsRequest { name, component, worker, .. } = request;
    let mut moves = Moves {
        handle: handle.clone(),
        name: name.clone(),
        component: component.clone(),
        worker,
        asked: asked.clone(),
        known: BTreeMap::new(),
    };
    let look = move |engine: &Engine, _| {
        let whose = Whose { name: &name, component: &component, worker };
        sources(engine, &whose, "read the logs of")
    };
    let sources = handle.look(look).await??;
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    for source in sources {
        moves.known.insert(source.worker, source.supervisor.clone());
        let (sender, stopped) = (sender.clone(), shutdown.clone());
        let (topology, worker) = (source.topology.clone(), source.worker);
        let request = supervisor::LogsRequest { topology, worker, ..asked.clone() };
        let security = handle.security().clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = stopped.asked() => {}
                () = sender.closed() => {}
                () = forward(source, request, &security, &sender) => {}
            }
        });
    }
    if asked.follow {
        let (parts, stopped) = (shutdown.clone(), shutdown.clone());
        shutdown.spawn(async move {
            let gone = sender.clone();
            tokio::select! {
                () = stopped.asked() => {}
                () = gone.closed() => {}
                () = moves.follow(parts, sender) => {}
            }
        });
    }
    Ok(chunks)
}

/// What supervisors are asked for; refused here if they would all refuse it.
fn check(request: &LogsRequest) -> Result<supervisor::LogsRequest, Refusal> {
    let LogsRequest { follow, tail_bytes, grep, more_greps, level, since_ms, last_lines, .. } =
        request.clone();
    let expressions: Vec<String> = more_greps.iter().chain([&grep]).cloned().collect();
    Search::new(&expressions, &level, since_ms).map_err(|why| {
        let what = format!("failed to read the logs of `{}`", request.name);
        Refusal::new(RefusalKind::Invalid, what, why, "correct what to look for")
    })?;
    Ok(supervisor::LogsRequest {
        follow,
        tail_bytes,
        grep,
        more_greps,
        level,
        since_ms,
        last_lines,
        ..supervisor::LogsRequest::default()
    })
}

/// Passes the logs of one worker on. A supervisor that cannot be reached is said so in its place,
/// so that the logs of the others still come.
async fn forward(
    source: Source,
    request: supervisor::LogsRequest,
    security: &Security,
    chunks: &mpsc::Sender<LogsChunk>,
) {
    pass(&source, open(&source.address, request, security).await, chunks).await;
}

async fn pass(
    source: &Source,
    log: Result<Streaming<LogChunk>, String>,
    chunks: &mpsc::Sender<LogsChunk>,
) {
    let Source { worker, supervisor, .. } = source;
    let of = |chunk| LogsChunk { worker: *worker, supervisor: supervisor.clone(), ..chunk };
    let problem = match log {
        Ok(mut log) => loop {
            match log.message().await {
                Ok(Some(LogChunk { data, cut })) => {
                    let chunk = of(LogsChunk { data, cut, ..LogsChunk::default() });
                    if chunks.send(chunk).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(status) => break status.message().to_owned(),
            }
        },
        Err(error) => error,
    };
    let data = format!("[no more logs of worker {worker}: {problem}]\n").into_bytes();
    // If this cannot be sent, the client is gone.
    drop(chunks.send(of(LogsChunk { data, problem, ..LogsChunk::default() })).await);
}

async fn open(
    address: &str,
    request: supervisor::LogsRequest,
    security: &Security,
) -> Result<Streaming<LogChunk>, String> {
    let mut client = SupervisorClient::new(connect(address, security).await?);
    let log = tokio::time::timeout(daemon::grpc::CALL_TIMEOUT, client.logs(request)).await;
    let log = log.map_err(|_| format!("its supervisor at {address} does not answer"))?;
    log.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
}

/// Connects to the supervisor of a worker.
pub(super) async fn connect(address: &str, security: &Security) -> Result<Channel, String> {
    let endpoint = daemon::grpc::endpoint(address).map_err(|error| error.to_string())?;
    daemon::grpc::connect(endpoint, security).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let why = cause.unwrap_or_else(|| error.to_string());
        format!("its supervisor at {address} cannot be reached: {why}")
    })
}

/// Lists the workers of a topology that are meant. `verb` is what somebody wants to do, for a refusal.
pub(super) fn sources(
    engine: &Engine,
    whose: &Whose<'_>,
    verb: &str,
) -> Result<Vec<Source>, Refusal> {
    let Whose { name, component, worker } = *whose;
    let topology = &engine.topology(verb, name)?.record;
    let components = || topology.spec.iter().flat_map(|spec| &spec.components);
    let what = format!("failed to {verb} `{name}`");
    if !component.is_empty() && !components().any(|known| known.name == component) {
        let component: String = component.chars().take(128).collect();
        let hint = did_you_mean(&component, components().map(|known| known.name.as_str()));
        let why = format!("it has no component `{component}`{hint}");
        let fix = format!("`squall describe {name}` shows its components");
        return Err(Refusal::new(RefusalKind::NotFound, what, why, fix));
    }
    let runs = |executors: &[proto::store::ExecutorRecord]| {
        component.is_empty() || executors.iter().any(|executor| executor.component == component)
    };
    let sources: Vec<Source> = engine
        .view()
        .in_force(&topology.id)
        .filter(|assignment| worker.is_none_or(|worker| assignment.record.worker == worker))
        .filter(|assignment| runs(&assignment.record.executors))
        .filter_map(|assignment| {
            let supervisor = assignment.record.supervisor.clone();
            let address = engine.supervisors().get(&supervisor)?.address.clone();
            let (topology, worker) = (topology.id.clone(), assignment.record.worker);
            Some(Source { topology, worker, supervisor, address })
        })
        .collect();
    if sources.is_empty() {
        let why = match worker {
            Some(worker) => format!("no worker {worker} runs it now"),
            None => "no worker runs it now".to_owned(),
        };
        let fix = format!("`squall describe {name}` shows why");
        return Err(Refusal::new(RefusalKind::NotNow, what, why, fix));
    }
    Ok(sources)
}
