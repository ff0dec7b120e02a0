//! Tuple trees of a sample, as `squall trace` shows them.

#![expect(unused_qualifications, reason = "what `utoipa::path` makes of parameters has some")]

use axum::Json;
use axum::extract::State;
use proto::nimbus::TraceRequest;
use serde::Deserialize;
use topology_api::parse_duration;
use utoipa::IntoParams;

use super::Api;
use super::answer::Versioned;
use super::input::{Asked, Named};
use super::problem::{Code, Problem};
use crate::engine::traces::Traces;
use crate::rpc::traces::traces as traced;

/// Which trees are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TracesAsked {
    /// How many trees.
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<u32>,
    /// For how long is looked, at most: `500ms`, `10s` (if left out), up to `2m`.
    #[serde(rename = "for")]
    time: Option<String>,
    /// Look for all of that time, and show the slowest first.
    slowest: Option<bool>,
    /// Only trees that failed.
    failed: Option<bool>,
    /// Only trees of this spout.
    component: Option<String>,
}

/// Tuple trees of a sample, with where their time went
///
/// The answer comes when as many have ended as are asked for, or when the time is over.
#[utoipa::path(get, path = "/api/v1/topologies/{name}/traces", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology"), TracesAsked),
    responses((status = 200, body = Versioned<Traces>),
        (status = 409, description = "It has no trees, or no worker runs it", body = super::problem::ProblemBody)))]
pub(super) async fn traces(
    State(api): State<Api>,
    Named(name): Named<String>,
    Asked(asked): Asked<TracesAsked>,
) -> Result<Json<Versioned<Traces>>, Problem> {
    let invalid = |what: String, why: &str, fix: &str| Problem::new(Code::Invalid, &what, why, fix);
    if asked.limit == Some(0) {
        let (why, fix) = ("there is nothing to show then", "ask for 1 to 100 trees");
        return Err(invalid("failed to read `limit=0`".to_owned(), why, fix));
    }
    let for_ms = match &asked.time {
        None => 0,
        Some(text) => {
            let shown: String = text.chars().take(32).collect();
            let what = format!("failed to read `for={shown}`");
            let time = parse_duration(text)
                .map_err(|error| invalid(what.clone(), &error.to_string(), "write it as `10s`"))?;
            if time.is_zero() {
                return Err(invalid(what, "nothing is to be seen in no time", "write it as `10s`"));
            }
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
        }
    };
    let request = TraceRequest {
        name,
        for_ms,
        limit: asked.limit.unwrap_or(0),
        slowest: asked.slowest.unwrap_or(false),
        failed: asked.failed.unwrap_or(false),
        component: asked.component.unwrap_or_default(),
    };
    let shown = traced(&api.handle, &api.shutdown, request).await;
    shown.map(|shown| Json(Versioned::of(shown))).map_err(|refusal| api.problem(refusal))
}
