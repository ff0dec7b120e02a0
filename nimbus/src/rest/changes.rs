//! What can be changed: the same requests as over gRPC, with the same checks, answered once they are
//! in the store. A repetition under the same `idempotency-key` gets the first answer.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use topology_api::TopologyConfig;
use utoipa::ToSchema;

use super::Api;
use super::answer::Versioned;
use super::input::{Body, Key, Named};
use super::problem::{Code, Problem};
use crate::engine::Engine;
use crate::engine::command::{Refusal, Reply};
use crate::engine::event::{Request, Verb};

/// How long a topology logs by another filter if nobody says.
const LOG_LEVEL_TIME: Duration = Duration::from_secs(600);

/// What was done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Done {
    /// What happened, for people.
    text: String,
}

/// Nothing to say.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// How a topology is to be placed anew.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RebalanceBody {
    /// How many workers it is to have; 0: as now.
    workers: u32,
    /// How many executors these components are to have.
    executors: BTreeMap<String, u32>,
}

/// How a topology is to end.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KillBody {
    /// How long tuples under way may take to finish, in milliseconds; the topology's message timeout
    /// if left out.
    wait_ms: Option<u64>,
}

/// What the workers of a topology are to log.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogLevelBody {
    /// As in `RUST_LOG`, such as `info,my_topology=debug`; empty: what they log at first.
    filter: String,
    /// For how long, in milliseconds; 0: until it is changed again. Ten minutes if left out.
    for_ms: Option<u64>,
}

type Answer = Result<Json<Versioned<Done>>, Problem>;

impl Api {
    async fn change(&self, id: String, verb: Verb) -> Answer {
        let answer = self.handle.ask(Request { id, verb }).await;
        match answer.map_err(|refusal| self.problem(refusal))? {
            Reply::Done(done) => Ok(Json(Versioned::of(Done { text: done.text }))),
            Reply::Submitted(_) => {
                let (what, why) = ("nothing was done", "its idempotency key was used for a submit");
                let fix = "choose a new key for a new request";
                Err(Problem::new(Code::Invalid, what, why, fix))
            }
        }
    }
}

/// Lets the spouts of a topology emit
#[utoipa::path(post, path = "/api/v1/topologies/{name}/activate", tag = "changes",
    params(("name" = String, Path, description = "Name of the topology")),
    request_body = Nothing, responses((status = 200, body = Versioned<Done>)))]
pub(super) async fn activate(
    State(api): State<Api>,
    Named(name): Named<String>,
    Key(key): Key,
    Body(Nothing {}): Body<Nothing>,
) -> Answer {
    api.change(key, Verb::Activate(name)).await
}

/// Stops the spouts of a topology
#[utoipa::path(post, path = "/api/v1/topologies/{name}/deactivate", tag = "changes",
    params(("name" = String, Path, description = "Name of the topology")),
    request_body = Nothing, responses((status = 200, body = Versioned<Done>)))]
pub(super) async fn deactivate(
    State(api): State<Api>,
    Named(name): Named<String>,
    Key(key): Key,
    Body(Nothing {}): Body<Nothing>,
) -> Answer {
    api.change(key, Verb::Deactivate(name)).await
}

/// Places the executors of a topology anew
#[utoipa::path(post, path = "/api/v1/topologies/{name}/rebalance", tag = "changes",
    params(("name" = String, Path, description = "Name of the topology")),
    request_body = RebalanceBody, responses((status = 200, body = Versioned<Done>)))]
pub(super) async fn rebalance(
    State(api): State<Api>,
    Named(name): Named<String>,
    Key(key): Key,
    Body(RebalanceBody { workers, executors }): Body<RebalanceBody>,
) -> Answer {
    api.change(key, Verb::Rebalance { name, workers, executors }).await
}

/// Ends a topology; what is under way may finish first
#[utoipa::path(post, path = "/api/v1/topologies/{name}/kill", tag = "changes",
    params(("name" = String, Path, description = "Name of the topology")),
    request_body = KillBody, responses((status = 200, body = Versioned<Done>)))]
pub(super) async fn kill(
    State(api): State<Api>,
    Named(name): Named<String>,
    Key(key): Key,
    Body(KillBody { wait_ms }): Body<KillBody>,
) -> Answer {
    let wait = match wait_ms {
        Some(wait_ms) => Duration::from_millis(wait_ms),
        None => {
            let of = name.clone();
            // One that is gone may have been killed by the first try of this request.
            let timeout = api.handle.look(move |engine, _| message_timeout(engine, &of)).await;
            timeout.map_err(|refusal| api.problem(refusal))?.unwrap_or_default()
        }
    };
    api.change(key, Verb::Kill { name, wait }).await
}

/// Changes what the workers of a topology log, also those that are started meanwhile
#[utoipa::path(post, path = "/api/v1/topologies/{name}/log-level", tag = "changes",
    params(("name" = String, Path, description = "Name of the topology")),
    request_body = LogLevelBody, responses((status = 200, body = Versioned<Done>)))]
pub(super) async fn log_level(
    State(api): State<Api>,
    Named(name): Named<String>,
    Key(key): Key,
    Body(LogLevelBody { filter, for_ms }): Body<LogLevelBody>,
) -> Answer {
    let time = for_ms.map_or(LOG_LEVEL_TIME, Duration::from_millis);
    api.change(key, Verb::LogLevel { name, filter, time }).await
}

/// How long a topology lets its tuples take.
fn message_timeout(engine: &Engine, name: &str) -> Result<Duration, Refusal> {
    let spec = engine.topology("kill", name)?.record.spec.clone().unwrap_or_default();
    Ok(TopologyConfig::from_pairs(spec.config).unwrap_or_default().message_timeout())
}
