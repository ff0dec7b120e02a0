//! REST: what the status shows and what `squall` can change, below `/api/v1`.
//!
//! A handler decides nothing: it asks the engine, by the same way as gRPC, and turns the answer into
//! JSON. Each is registered together with its description, so that `/api/v1/openapi.json` cannot
//! differ from what is served. Who may ask at all is said in `guard`.

mod answer;
mod changes;
mod guard;
mod input;
mod letters;
mod live;
mod logs;
mod openapi;
mod problem;
mod reads;
mod tap;
mod targets;
mod told;
mod traces;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use daemon::Shutdown;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::daemon::Handle;

pub(crate) use guard::{Guard, Peer, guard};
pub(crate) use input::Asked;
pub(crate) use problem::{Code, Problem};

/// Raised when a program that reads these documents would have to be changed; new fields do not
/// raise it.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// The largest body of a request: some thousand ids of letters.
const BODY_BYTES_MAX: usize = 256 << 10;

/// Live views that may be open at once.
const VIEWERS_MAX: usize = 64;

/// What the handlers work with.
#[derive(Clone)]
struct Api {
    handle: Handle,
    shutdown: Shutdown,
    /// Room for live views.
    viewers: Arc<Semaphore>,
    /// The description of all of this, made when the routes are.
    description: Arc<OnceLock<String>>,
}

/// Makes the routes below `/api/v1`.
pub(crate) fn routes(handle: Handle, shutdown: Shutdown) -> Router {
    let viewers = Arc::new(Semaphore::new(VIEWERS_MAX));
    let api = Api { handle, shutdown, viewers, description: Arc::default() };
    let (routes, mut described) = OpenApiRouter::with_openapi(openapi::begun())
        .routes(routes!(openapi::openapi))
        .routes(routes!(reads::cluster))
        .routes(routes!(reads::nimbuses))
        .routes(routes!(reads::supervisors))
        .routes(routes!(reads::supervisor))
        .routes(routes!(reads::topologies))
        .routes(routes!(reads::topology))
        .routes(routes!(reads::workers))
        .routes(routes!(reads::component))
        .routes(routes!(reads::history))
        .routes(routes!(reads::errors))
        .routes(routes!(reads::findings))
        .routes(routes!(reads::results))
        .routes(routes!(traces::traces))
        .routes(routes!(letters::list))
        .routes(routes!(letters::replay))
        .routes(routes!(letters::discard))
        .routes(routes!(changes::activate))
        .routes(routes!(changes::deactivate))
        .routes(routes!(changes::rebalance))
        .routes(routes!(changes::kill))
        .routes(routes!(changes::log_level))
        .routes(routes!(targets::targets))
        .routes(routes!(told::of_cluster))
        .routes(routes!(told::of_topology))
        .routes(routes!(told::config))
        .routes(routes!(live::cluster))
        .routes(routes!(live::stream))
        .routes(routes!(logs::list))
        .routes(routes!(logs::stream))
        .routes(routes!(tap::stream))
        .split_for_parts();
    openapi::complete(&mut described);
    let text = described.to_json().expect("a description is plain data");
    api.description.get_or_init(|| text);
    routes.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(api)
}
