//! What people ask of running workers: live tuples. The workers' supervisors are asked, and what they
//! show is merged. Who runs what is in the store, so a standby serves this too.

use daemon::Shutdown;
use daemon::grpc::CALL_TIMEOUT;
use daemon::listen::Security;
use futures::StreamExt;
use proto::nimbus::{TapRequest, Tapped};
use proto::store::StreamSpec;
use proto::supervisor::supervisor_client::SupervisorClient;
use proto::supervisor::{self, Tap};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use topology_api::runtime::{Condition, did_you_mean};

use super::logs::{Source, Whose, connect, sources};
use super::{BoxStream, refused};
use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::command::{Refusal, RefusalKind};

/// What is shown and waits for the client; then supervisors leave out.
const SHOWN_MAX: usize = 16;

/// Shows live tuples of a component until the client goes, for gRPC.
pub(super) async fn tap(
    handle: &Handle,
    shutdown: &Shutdown,
    request: TapRequest,
) -> Result<BoxStream<Tapped>, Status> {
    let shown = show(handle, shutdown, request).await.map_err(refused)?;
    Ok(Box::pin(ReceiverStream::new(shown).map(Ok)))
}

/// Shows live tuples of a component until nobody takes them any more.
pub(crate) async fn show(
    handle: &Handle,
    shutdown: &Shutdown,
    request: TapRequest,
) -> Result<mpsc::Receiver<Tapped>, Refusal> {
    let TapRequest { name, tap } = request;
    let mut tap = tap.unwrap_or_default();
    let asked = tap.clone();
    let look = move |engine: &Engine, _| {
        check(engine, &name, &asked)?;
        let whose = Whose { name: &name, component: &asked.component, worker: None };
        sources(engine, &whose, "look into")
    };
    let sources = handle.look(look).await??;
    tap.rate = tap.rate.div_ceil(u32::try_from(sources.len()).unwrap_or(u32::MAX).max(1));
    let (sender, shown) = mpsc::channel(SHOWN_MAX);
    for source in sources {
        let (sender, asked, tap) = (sender.clone(), shutdown.clone(), tap.clone());
        let security = handle.security().clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = asked.asked() => {}
                () = sender.closed() => {}
                () = forward(source, tap, &security, &sender) => {}
            }
        });
    }
    Ok(shown)
}

/// Passes on what one worker shows. One that cannot be looked at is said so, so that what the others
/// show still comes.
pub(super) async fn forward(
    source: Source,
    tap: Tap,
    security: &Security,
    shown: &mpsc::Sender<Tapped>,
) {
    let show = |tapped| {
        let Source { worker, supervisor, .. } = &source;
        Tapped { worker: *worker, supervisor: supervisor.clone(), tapped: Some(tapped) }
    };
    let request = supervisor::TapRequest {
        topology: source.topology.clone(),
        worker: source.worker,
        tap: Some(tap),
    };
    let problem = match open(&source.address, request, security).await {
        Ok(mut stream) => loop {
            match stream.message().await {
                Ok(Some(tapped)) => {
                    let ended = tapped.ended;
                    if shown.send(show(tapped)).await.is_err() || ended {
                        return;
                    }
                }
                Ok(None) => break "it has ended, or does not run yet".to_owned(),
                Err(status) => break status.message().to_owned(),
            }
        },
        Err(error) => error,
    };
    let last = supervisor::Tapped { ended: true, problem, ..supervisor::Tapped::default() };
    // If this cannot be sent, the client is gone.
    drop(shown.send(show(last)).await);
}

async fn open(
    address: &str,
    request: supervisor::TapRequest,
    security: &Security,
) -> Result<Streaming<supervisor::Tapped>, String> {
    let mut client = SupervisorClient::new(connect(address, security).await?);
    let opened = tokio::time::timeout(CALL_TIMEOUT, client.tap(request)).await;
    let opened = opened.map_err(|_| format!("its supervisor at {address} does not answer"))?;
    opened.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
}

/// Refuses what nobody could show: a stream or a field that is not there, a condition that is none.
fn check(engine: &Engine, name: &str, tap: &Tap) -> Result<(), Refusal> {
    let topology = &engine.topology("look into", name)?.record;
    let mut components = topology.spec.iter().flat_map(|spec| &spec.components);
    let refuse = |kind, why: String, fix: String| {
        Err(Refusal::new(kind, format!("failed to look into `{name}`"), why, fix))
    };
    let component = &tap.component;
    // `sources` says that there is no such component.
    let Some(spec) = components.find(|it| it.name == *component) else { return Ok(()) };
    let names = || spec.outputs.iter().map(|stream| stream.name.as_str());
    // What a sink is declared to emit: no tuple of this type can exist.
    let emits = |stream: &StreamSpec| stream.tuple != "NoOutput";
    let is_wanted = |stream: &&StreamSpec| {
        emits(stream) && (tap.stream.is_empty() || stream.name == tap.stream)
    };
    let streams: Vec<&StreamSpec> = spec.outputs.iter().filter(is_wanted).collect();
    if streams.is_empty() {
        let (why, fix) = if !spec.outputs.iter().any(emits) {
            let fix = "look at the components that send to it";
            (format!("`{component}` emits nothing"), fix.to_owned())
        } else {
            let stream: String = tap.stream.chars().take(128).collect();
            let why = format!("`{component}` has no stream `{stream}`");
            let hint = did_you_mean(&stream, names());
            let known: Vec<&str> = names().collect();
            (format!("{why}{hint}"), format!("its streams: {}", known.join(", ")))
        };
        return refuse(RefusalKind::NotFound, why, fix);
    }
    if tap.condition.is_empty() {
        return Ok(());
    }
    let condition: Condition = match tap.condition.parse() {
        Ok(condition) => condition,
        Err(error) => {
            let fix = "put it in quotes, so that the shell leaves it as it is".to_owned();
            return refuse(RefusalKind::Invalid, error.to_string(), fix);
        }
    };
    // Tuples whose fields are named at run time may have any.
    if streams.iter().any(|stream| stream.fields.is_empty()) {
        return Ok(());
    }
    let fields = || streams.iter().flat_map(|it| &it.fields).map(|field| field.name.as_str());
    match condition.fields().into_iter().find(|wanted| !fields().any(|it| it == *wanted)) {
        None => Ok(()),
        Some(wanted) => {
            let hint = did_you_mean(wanted, fields());
            let why = format!("no tuple of `{component}` has a field `{wanted}`{hint}");
            let known: Vec<&str> = fields().collect();
            refuse(RefusalKind::NotFound, why, format!("its fields: {}", known.join(", ")))
        }
    }
}
