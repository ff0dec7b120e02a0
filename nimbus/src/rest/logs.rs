//! The logs of a topology's workers: searched, and followed live.
//!
//! The supervisors search, so only what is found travels. Lines of several workers are put in the order
//! in which they were logged, and an answer holds the newest of them that have room. Who follows slowly
//! misses lines and is told how many: neither this nimbus nor a supervisor keeps them.

#![expect(unused_qualifications, reason = "what `utoipa::path` makes of parameters has some")]

mod newest;

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::Event;
use futures::{Stream, StreamExt};
use proto::nimbus::{LogsChunk, LogsRequest};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Versioned;
use super::input::{Asked, Named};
use super::live::event;
use super::problem::{Code, Problem, ProblemBody};
use crate::rpc::logs::fetch;
use newest::{Assembly, LogLines, Newest};

/// Lines of one answer if nobody says how many, and at most.
const LINES: u32 = 200;
const LINES_MAX: u32 = 1_000;

/// How much of the end of each log is looked at: to show it, and to search it.
const SHOWN_BYTES: u64 = 256 << 10;
const SEARCHED_BYTES: u64 = 16 << 20;

/// How long supervisors may take to search.
const SEARCH_MAX: Duration = Duration::from_secs(8);

/// Parts that wait for one who follows; then lines are left out.
const PARTS_MAX: usize = 16;

/// Which lines are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsAsked {
    /// Only workers that run tasks of this component.
    component: Option<String>,
    /// Only this worker.
    worker: Option<u32>,
    /// Only lines in which this regular expression is found.
    grep: Option<String>,
    /// Only lines of this level or a graver one: `error`, `warn`, `info`, `debug` or `trace`.
    level: Option<String>,
    /// Only what was logged since, in milliseconds since 1970.
    since: Option<u64>,
    /// How many lines at most, the newest; of a live view, how many of each worker at first.
    #[param(minimum = 1, maximum = 1000, default = 200)]
    lines: Option<u32>,
}

impl LogsAsked {
    fn lines(&self) -> Result<u32, Problem> {
        let lines = self.lines.unwrap_or(LINES);
        if (1..=LINES_MAX).contains(&lines) {
            return Ok(lines);
        }
        let what = format!("failed to read `lines={lines}`");
        let (why, fix) =
            ("an answer has 1 to 1000 lines", "search for fewer with `grep` or `since`");
        Err(Problem::new(Code::Invalid, &what, why, fix))
    }

    fn request(self, name: String, last_lines: u32, follow: bool) -> LogsRequest {
        let Self { component, worker, grep, level, since, .. } = self;
        let searched = grep.is_some() || level.is_some() || since.is_some();
        LogsRequest {
            name,
            component: component.unwrap_or_default(),
            follow,
            tail_bytes: if searched { SEARCHED_BYTES } else { SHOWN_BYTES },
            grep: grep.unwrap_or_default(),
            level: level.unwrap_or_default(),
            since_ms: since.unwrap_or(0),
            last_lines,
            worker,
            ..LogsRequest::default()
        }
    }
}

/// More lines of a live view.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct LogPart {
    /// As they come.
    #[serde(flatten)]
    more: LogLines,
    /// Lines that came since the last part and are not shown, because they were not taken in time.
    left_out: u64,
}

/// The newest lines that workers of a topology wrote, and where they can be searched
///
/// What components print is in there too. Lines of several workers are in the order of their times.
#[utoipa::path(get, path = "/api/v1/topologies/{name}/logs", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology"), LogsAsked),
    responses((status = 200, body = Versioned<LogLines>),
        (status = 409, description = "No worker runs it now", body = ProblemBody)))]
pub(super) async fn list(
    State(api): State<Api>,
    Named(name): Named<String>,
    Asked(asked): Asked<LogsAsked>,
) -> Result<Json<Versioned<LogLines>>, Problem> {
    let lines = asked.lines()?;
    let mut chunks = api.logs(asked.request(name, lines, false)).await?;
    let (mut assembly, mut newest) = (Assembly::default(), Newest::new(lines as usize));
    let end = Instant::now() + SEARCH_MAX;
    loop {
        match timeout_at(end, chunks.recv()).await {
            Ok(Some(chunk)) => newest.add(assembly.take(&chunk)),
            Ok(None) => break,
            Err(_) => {
                newest.cut = true;
                break;
            }
        }
    }
    newest.add(assembly.rest());
    Ok(Json(Versioned::of(newest.ended())))
}

/// What workers of a topology write, live
///
/// Server-sent events: `lines` with a document as in the schema `LogPart`, first with the newest lines
/// that fit, and `end` when no worker is left to follow: the topology is gone. Workers that come or move
/// meanwhile are followed too.
#[utoipa::path(get, path = "/api/v1/topologies/{name}/logs/stream", tag = "live",
    params(("name" = String, Path, description = "Name of the topology"), LogsAsked),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 409, description = "No worker runs it now", body = ProblemBody)))]
pub(super) async fn stream(
    State(api): State<Api>,
    Named(name): Named<String>,
    Asked(asked): Asked<LogsAsked>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let lines = asked.lines()?;
    let chunks = api.logs(asked.request(name, lines, true)).await?;
    let place = api.place()?;
    let (sender, parts) = mpsc::channel(PARTS_MAX);
    // Read on also while nobody takes it: what is old by then nobody wants to see.
    api.shutdown.spawn_until_asked(follow(chunks, sender));
    let shown = ReceiverStream::new(parts).map(move |part: Option<LogPart>| {
        let _held = &place;
        Ok(match part {
            Some(part) => event("lines", Versioned::of(part)),
            None => event("end", Versioned::of(LogPart::default())),
        })
    });
    Ok(Sse::new(shown))
}

impl Api {
    async fn logs(&self, request: LogsRequest) -> Result<mpsc::Receiver<LogsChunk>, Problem> {
        let chunks = fetch(&self.handle, &self.shutdown, request).await;
        chunks.map_err(|refusal| self.problem(refusal))
    }
}

/// Makes parts of what comes until it ends or nobody takes them; none is the last.
async fn follow(mut chunks: mpsc::Receiver<LogsChunk>, parts: mpsc::Sender<Option<LogPart>>) {
    let mut assembly = Assembly::default();
    let mut left_out = 0;
    loop {
        let chunk = tokio::select! {
            () = parts.closed() => return,
            chunk = chunks.recv() => chunk,
        };
        let Some(chunk) = chunk else { break };
        let more = assembly.take(&chunk);
        if more.is_empty() {
            continue;
        }
        let unread = left_out + more.lines.len() as u64;
        match parts.try_send(Some(LogPart { more, left_out })) {
            Ok(()) => left_out = 0,
            Err(TrySendError::Full(_)) => left_out = unread,
            Err(TrySendError::Closed(_)) => return,
        }
    }
    let more = assembly.rest();
    if !more.is_empty() || left_out > 0 {
        // Whoever is gone needs neither.
        drop(parts.send(Some(LogPart { more, left_out })).await);
    }
    drop(parts.send(None).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_follows_slowly_is_told_how_many_lines_it_missed() {
        let (chunks, received) = mpsc::channel(1);
        let (sender, mut parts) = mpsc::channel(2);
        let chunk = LogsChunk { data: b"a line\n".to_vec(), ..LogsChunk::default() };
        let shutdown = daemon::Shutdown::new();
        shutdown.spawn(follow(received, sender));
        for _ in 0..5 {
            chunks.send(chunk.clone()).await.expect("it is read on");
        }
        drop(chunks);
        let mut seen = (0, 0);
        while let Some(Some(part)) = parts.recv().await {
            seen = (seen.0 + part.more.lines.len(), seen.1 + part.left_out);
        }
        assert_eq!(seen.0 as u64 + seen.1, 5, "shown or told: {seen:?}");
        assert!(parts.recv().await.is_none(), "it has ended");
    }
}
