//! Which workers serve metrics of their own, for Prometheus to find them (`http_sd_configs`).
//!
//! Only the leader hears of them; another nimbus lists none, so that a Prometheus that asks all of
//! them has what the leader says.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::input::Page;
use super::problem::Problem;
use crate::engine::Engine;

/// What Prometheus scrapes: an address, and what is written beside what it finds there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Target {
    /// One address, `host:port`.
    targets: [String; 1],
    /// `topology`, `worker`, `supervisor`, and `__scheme__`: `http` or `https`.
    labels: BTreeMap<&'static str, String>,
}

/// The workers that serve metrics of their own, as Prometheus wants to be told
///
/// For `http_sd_configs`: all of them at once, without pages.
#[utoipa::path(get, path = "/api/v1/prometheus/targets", tag = "cluster",
    responses((status = 200, body = Vec<Target>)))]
pub(super) async fn targets(State(api): State<Api>) -> Result<Response, Problem> {
    let scheme = api.handle.security().scheme();
    let shown = api.look(move |engine, _| Ok(all(engine, scheme))).await?;
    Ok(shown.page(Page { limit: usize::MAX, offset: 0 }))
}

fn all(engine: &Engine, scheme: &'static str) -> Vec<Target> {
    let topologies = engine.reports().topologies.iter().filter_map(|(id, told)| {
        let name = &engine.view().topologies.get(id)?.record.name;
        Some(told.live.iter().map(move |(worker, live)| (name, worker, live)))
    });
    let serving = topologies.flatten().filter(|(.., live)| !live.report.metrics_address.is_empty());
    let target = |(name, worker, live): (&String, &u32, &crate::engine::reports::Live)| Target {
        targets: [live.report.metrics_address.clone()],
        labels: BTreeMap::from([
            ("topology", name.clone()),
            ("worker", worker.to_string()),
            ("supervisor", live.supervisor.clone()),
            ("__scheme__", scheme.to_owned()),
        ]),
    };
    serving.map(target).collect()
}
