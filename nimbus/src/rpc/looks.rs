//! What people ask of running workers: live tuples, and to log more or less. The workers' supervisors
//! are asked, and what they say is merged. Who runs what is in the store, so a standby serves this too.

use daemon::Shutdown;
use daemon::grpc::CALL_TIMEOUT;
use daemon::listen::Security;
use futures::future::join_all;
use proto::nimbus::{Done, LogLevelRequest, TapRequest, Tapped};
use proto::store::StreamSpec;
use proto::supervisor::supervisor_client::SupervisorClient;
use proto::supervisor::{self, Tap};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use topology_api::format_duration;
use topology_api::runtime::{Condition, did_you_mean};

use super::logs::{Source, connect, sources};
use super::{BoxStream, refused};
use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::command::{Refusal, RefusalKind};

/// What is shown and waits for the client; then supervisors leave out.
const SHOWN_MAX: usize = 16;

/// The longest that a filter may be, and in force.
const FILTER_BYTES_MAX: usize = 4 * 1024;
const FILTER_TIME_MAX_MS: u64 = 7 * 24 * 3_600_000;

/// Shows live tuples of a component until the client goes.
pub(super) async fn tap(
    handle: &Handle,
    shutdown: &Shutdown,
    request: TapRequest,
) -> Result<BoxStream<Tapped>, Status> {
    let TapRequest { name, tap } = request;
    let mut tap = tap.unwrap_or_default();
    let asked = tap.clone();
    let look = move |engine: &Engine, _| {
        check(engine, &name, &asked)?;
        sources(engine, &name, &asked.component, "look into")
    };
    let sources = handle.look(look).await.map_err(refused)?.map_err(refused)?;
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
    Ok(Box::pin(ReceiverStream::new(shown)))
}

/// Passes on what one worker shows. One that cannot be looked at is said so, so that what the others
/// show still comes.
pub(super) async fn forward(
    source: Source,
    tap: Tap,
    security: &Security,
    shown: &mpsc::Sender<Result<Tapped, Status>>,
) {
    let show = |tapped| {
        let Source { worker, supervisor, .. } = &source;
        Ok(Tapped { worker: *worker, supervisor: supervisor.clone(), tapped: Some(tapped) })
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

/// Has all workers of a topology log by another filter.
pub(super) async fn set_log_level(
    handle: &Handle,
    request: LogLevelRequest,
) -> Result<Done, Refusal> {
    let LogLevelRequest { name, level } = request;
    let level = level.unwrap_or_default();
    let invalid = |why: String, fix: &str| {
        let what = format!("failed to change what `{name}` logs");
        Refusal::new(RefusalKind::Invalid, what, why, fix.to_owned())
    };
    if level.filter.len() > FILTER_BYTES_MAX {
        return Err(invalid("the filter is too long".to_owned(), "a few modules will do"));
    }
    if level.for_ms > FILTER_TIME_MAX_MS {
        return Err(invalid("that is more than a week".to_owned(), "give a shorter time"));
    }
    daemon::logging::check(&level.filter).map_err(|error| {
        invalid(error.to_string(), "write it as in RUST_LOG: info,my_topology=debug")
    })?;
    let known = name.clone();
    let look = move |engine: &Engine, _| sources(engine, &known, "", "change what is logged by");
    let sources = handle.look(look).await??;
    let count = sources.len();
    let security = handle.security();
    let ask = sources.into_iter().map(|source| {
        let level = Some(level.clone());
        async move {
            let Source { topology, worker, supervisor, address } = source;
            let request = supervisor::LogLevelRequest { topology, worker, level };
            let answer = async {
                let mut client = SupervisorClient::new(connect(&address, security).await?);
                let set = client.set_log_level(request).await;
                set.map(drop).map_err(|status| status.message().to_owned())
            };
            let answer = tokio::time::timeout(CALL_TIMEOUT, answer).await;
            let answer = answer.unwrap_or_else(|_| Err(format!("{address} does not answer")));
            answer.err().map(|why| format!("worker {worker} at {supervisor}: {why}"))
        }
    });
    let failed: Vec<String> = join_all(ask).await.into_iter().flatten().collect();
    if failed.len() == count {
        let what = format!("failed to change what `{name}` logs");
        let fix = format!("`squall describe {name}` shows where its workers run; try again");
        return Err(Refusal::new(RefusalKind::Unavailable, what, failed.join("; "), fix));
    }
    let time = match level.for_ms {
        0 => "until it is changed or they are started again".to_owned(),
        time => format!("for {}", format_duration(std::time::Duration::from_millis(time))),
    };
    let done = count - failed.len();
    let mut text = if level.filter.is_empty() {
        format!("{done} workers of `{name}` log what they did at first")
    } else {
        format!("{done} workers of `{name}` log `{}` {time}", level.filter)
    };
    for problem in failed {
        text.push_str("\nnot told: ");
        text.push_str(&problem);
    }
    Ok(Done { text })
}
