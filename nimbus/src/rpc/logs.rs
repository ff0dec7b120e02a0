//! The logs of a topology: those of its workers, fetched from their supervisors and merged. Who runs
//! what is in the store, so a standby serves them too.

use daemon::Shutdown;
use daemon::listen::Security;
use proto::nimbus::{LogsChunk, LogsRequest};
use proto::supervisor::supervisor_client::SupervisorClient;
use proto::supervisor::{self, LogChunk};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use topology_api::runtime::did_you_mean;

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

/// Fetches the logs of a topology's workers.
pub(super) async fn logs(
    handle: &Handle,
    shutdown: &Shutdown,
    request: LogsRequest,
) -> Result<BoxStream<LogsChunk>, Status> {
    let LogsRequest { name, component, follow, tail_bytes, grep } = request;
    let sources =
        handle.look(move |engine, _| sources(engine, &name, &component, "read the logs of")).await;
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    for source in sources.map_err(refused)?.map_err(refused)? {
        let (sender, asked) = (sender.clone(), shutdown.clone());
        let request = supervisor::LogsRequest {
            topology: source.topology.clone(),
            worker: source.worker,
            follow,
            tail_bytes,
            grep: grep.clone(),
        };
        let security = handle.security().clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = asked.asked() => {}
                () = sender.closed() => {}
                () = forward(source, request, &security, &sender) => {}
            }
        });
    }
    Ok(Box::pin(ReceiverStream::new(chunks)))
}

/// Passes the logs of one worker on. A supervisor that cannot be reached is said so in its place,
/// so that the logs of the others still come.
async fn forward(
    source: Source,
    request: supervisor::LogsRequest,
    security: &Security,
    chunks: &mpsc::Sender<Result<LogsChunk, Status>>,
) {
    let chunk =
        |data| Ok(LogsChunk { worker: source.worker, supervisor: source.supervisor.clone(), data });
    let failed = match open(&source.address, request, security).await {
        Ok(mut log) => loop {
            match log.message().await {
                Ok(Some(LogChunk { data })) => {
                    if chunks.send(chunk(data)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(status) => break status.message().to_owned(),
            }
        },
        Err(error) => error,
    };
    let text = format!("[no more logs of worker {}: {failed}]\n", source.worker);
    // If this cannot be sent, the client is gone.
    drop(chunks.send(chunk(text.into_bytes())).await);
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

/// Lists the workers of a topology that run tasks of `component` (empty: all of them). `verb` is
/// what somebody wants to do, for a refusal.
pub(super) fn sources(
    engine: &Engine,
    name: &str,
    component: &str,
    verb: &str,
) -> Result<Vec<Source>, Refusal> {
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
        .filter(|assignment| runs(&assignment.record.executors))
        .filter_map(|assignment| {
            let supervisor = assignment.record.supervisor.clone();
            let address = engine.supervisors().get(&supervisor)?.address.clone();
            let (topology, worker) = (topology.id.clone(), assignment.record.worker);
            Some(Source { topology, worker, supervisor, address })
        })
        .collect();
    if sources.is_empty() {
        let why = "no worker runs it now";
        let fix = format!("`squall describe {name}` shows why");
        return Err(Refusal::new(RefusalKind::NotNow, what, why, fix));
    }
    Ok(sources)
}
