//! What can be read of what was: events, and settings with where they come from.

use axum::extract::State;
use axum::response::Response;

use super::Api;
use super::answer::Versioned;
use super::input::Named;
use super::problem::Problem;
use crate::status::configuration::{self, Configuration};
use crate::status::events::{self, Events};

/// What happened to the cluster since this nimbus leads, newest first
#[utoipa::path(get, path = "/api/v1/events", tag = "cluster",
    responses((status = 200, body = Versioned<Events>)))]
pub(super) async fn of_cluster(State(api): State<Api>) -> Result<Response, Problem> {
    Ok(api.look(|engine, _| Ok(events::of_cluster(engine))).await?.document())
}

/// What happened to a topology, newest first
#[utoipa::path(get, path = "/api/v1/topologies/{name}/events", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology")),
    responses((status = 200, body = Versioned<Events>)))]
pub(super) async fn of_topology(
    State(api): State<Api>,
    Named(name): Named<String>,
) -> Result<Response, Problem> {
    Ok(api.look(move |engine, _| events::of_topology(engine, &name)).await?.document())
}

/// The settings of a topology: what each is, where that comes from, what it does
#[utoipa::path(get, path = "/api/v1/topologies/{name}/config", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology")),
    responses((status = 200, body = Versioned<Configuration>)))]
pub(super) async fn config(
    State(api): State<Api>,
    Named(name): Named<String>,
) -> Result<Response, Problem> {
    Ok(api.look(move |engine, _| configuration::configuration(engine, &name)).await?.document())
}
