//! Live tuples: what a component emits, while it does.
//!
//! It is a sample, bounded where the tuples are; who takes it slowly gets less of it, and each event
//! says how much there was and how much was left out.

#![expect(unused_qualifications, reason = "what `utoipa::path` makes of parameters has some")]

use std::convert::Infallible;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::Event;
use futures::{Stream, StreamExt, stream};
use proto::nimbus::{TapRequest, Tapped};
use proto::supervisor::Tap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Versioned;
use super::input::{Asked, Named};
use super::live::event;
use super::problem::{Code, Problem, ProblemBody};
use crate::rpc::looks::show;

/// Tuples a second if nobody says how many, and at most.
const RATE: u32 = 10;
const RATE_MAX: u32 = 1_000;

/// Which tuples are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TapAsked {
    /// What emits them.
    component: String,
    /// Only those of this stream.
    stream: Option<String>,
    /// Only those for which this holds, as in `word == "storm" and count > 10`.
    #[serde(rename = "where")]
    #[param(rename = "where")]
    condition: Option<String>,
    /// How many a second, at most.
    #[param(minimum = 1, maximum = 1000, default = 10)]
    rate: Option<u32>,
    /// How many in all; it ends then.
    #[param(minimum = 1)]
    limit: Option<u64>,
}

/// Some tuples, and how much there was since the last ones of the same worker.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TuplesShown {
    /// Who shows them.
    worker: u32,
    /// Its supervisor.
    supervisor: String,
    /// One each: `at_ms`, `worker`, `component`, `task`, `stream`, and the fields in `tuple`.
    #[schema(value_type = Vec<Object>)]
    tuples: Vec<Value>,
    /// How many were emitted.
    emitted: u64,
    /// How many of them were held against the condition.
    looked_at: u64,
    /// How many were wanted and are not shown, because too much waited.
    left_out: u64,
    /// There is nothing more of this worker.
    ended: bool,
    /// Why not; empty if as many were shown as were asked for.
    problem: String,
}

/// What a component emits, live
///
/// Server-sent events: `tuples` with a document as in the schema `TuplesShown`, several times a second of
/// each worker, also when there is nothing to show; `end` when nothing more comes.
#[utoipa::path(get, path = "/api/v1/topologies/{name}/tap", tag = "live",
    params(("name" = String, Path, description = "Name of the topology"), TapAsked),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = 409, description = "No worker runs it now", body = ProblemBody)))]
pub(super) async fn stream(
    State(api): State<Api>,
    Named(name): Named<String>,
    Asked(asked): Asked<TapAsked>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let rate = asked.rate.unwrap_or(RATE);
    if rate == 0 || rate > RATE_MAX {
        let what = format!("failed to read `rate={rate}`");
        let (why, fix) = ("a tap shows 1 to 1000 tuples a second", "choose with `where` instead");
        return Err(Problem::new(Code::Invalid, &what, why, fix));
    }
    let left = asked.limit.unwrap_or(u64::MAX);
    let tap = Tap {
        component: asked.component,
        stream: asked.stream.unwrap_or_default(),
        condition: asked.condition.unwrap_or_default(),
        rate,
        limit: asked.limit.unwrap_or(0),
        ..Tap::default()
    };
    let request = TapRequest { name, tap: Some(tap) };
    let shown = show(&api.handle, &api.shutdown, request).await;
    let shown = shown.map_err(|refusal| api.problem(refusal))?;
    let place = api.place()?;
    let view = View { shown, left, ended: false, _place: place };
    let asked = async move { api.shutdown.asked().await };
    Ok(Sse::new(stream::unfold(view, next).take_until(Box::pin(asked))))
}

/// What one reader gets.
struct View {
    shown: mpsc::Receiver<Tapped>,
    /// How many more tuples are wanted.
    left: u64,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

async fn next(mut view: View) -> Option<(Result<Event, Infallible>, View)> {
    if view.ended {
        return None;
    }
    let tapped = if view.left > 0 { view.shown.recv().await } else { None };
    let Some(tapped) = tapped else {
        view.ended = true;
        return Some((Ok(event("end", Versioned::of(Ended {}))), view));
    };
    let shown = document(tapped, &mut view.left);
    Some((Ok(event("tuples", Versioned::of(shown))), view))
}

/// Nothing to say.
#[derive(Serialize)]
struct Ended {}

/// Shows no more than are wanted.
fn document(tapped: Tapped, left: &mut u64) -> TuplesShown {
    let Tapped { worker, supervisor, tapped } = tapped;
    let tapped = tapped.unwrap_or_default();
    let tuples = tapped.lines.iter().filter_map(|line| serde_json::from_str(line).ok());
    let tuples: Vec<_> = tuples.take(usize::try_from(*left).unwrap_or(usize::MAX)).collect();
    *left -= tuples.len() as u64;
    TuplesShown {
        worker,
        supervisor,
        tuples,
        emitted: tapped.emitted,
        looked_at: tapped.looked_at,
        left_out: tapped.left_out,
        ended: tapped.ended,
        problem: tapped.problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_are_passed_on_as_they_are_and_no_more_than_are_wanted() {
        let lines = ["{\"n\":18446744073709551615}", "no JSON", "{}", "{}"];
        let lines = lines.map(str::to_owned).to_vec();
        let tapped = proto::supervisor::Tapped { lines, emitted: 9, ..Default::default() };
        let tapped = Tapped { worker: 3, supervisor: "s".into(), tapped: Some(tapped) };
        let mut left = 2;
        let shown = document(tapped, &mut left);
        let text = serde_json::to_string(&Versioned::of(shown)).expect("plain data");
        assert!(text.contains(r#""tuples":[{"n":18446744073709551615},{}]"#), "{text}");
        assert!(text.contains(r#""schema_version":1,"worker":3"#), "{text}");
        assert_eq!(left, 0);
    }
}
