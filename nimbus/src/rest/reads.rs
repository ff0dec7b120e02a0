//! What can be read: the documents of the status, and the lists in them by pages.

#![expect(unused_qualifications, reason = "what `utoipa::path` makes of parameters has some")]

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Versioned;
use super::input::{AnyPage, Asked, Named, Page};
use super::problem::{Code, Problem};
use crate::engine::findings::Finding;
use crate::status::component::{self, ComponentDetail};
use crate::status::history::{self, History};
use crate::status::model::{self, Cluster, Nimbus, Summary, Supervisor, TaskError, TaskValue};
use crate::status::{Query, Topology, Worker};

/// What the results in the document of a topology may take, as JSON; all of them are in a list.
const RESULTS_BYTES_MAX: usize = 256 << 10;

/// What a page of results may take.
const PAGE_BYTES_MAX: usize = 1_000_000;

type Answer = Result<Response, Problem>;

/// The cluster as a whole, with what is wrong with it
#[utoipa::path(get, path = "/api/v1/cluster", tag = "cluster",
    responses((status = 200, body = Versioned<Cluster>)))]
pub(super) async fn cluster(State(api): State<Api>) -> Answer {
    let (name, security) = (api.handle.cluster().to_owned(), api.handle.security().clone());
    let shown = api.look(move |engine, now| Ok(model::cluster(engine, (&name, &security), now)));
    Ok(shown.await?.document())
}

/// The nimbuses that are up
#[utoipa::path(get, path = "/api/v1/nimbuses", tag = "cluster", params(AnyPage),
    responses((status = 200, body = Vec<Nimbus>)))]
pub(super) async fn nimbuses(State(api): State<Api>, Asked(asked): Asked<AnyPage>) -> Answer {
    let page = Page::of(asked.limit, asked.offset)?;
    let (name, security) = (api.handle.cluster().to_owned(), api.handle.security().clone());
    let shown =
        api.look(move |engine, now| Ok(model::cluster(engine, (&name, &security), now).nimbuses));
    Ok(shown.await?.page(page))
}

/// Which supervisors are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SupervisorsAsked {
    /// Items of one page at most.
    #[param(minimum = 1, maximum = 1000, default = 500)]
    limit: Option<u32>,
    /// Items that are skipped.
    offset: Option<u32>,
    /// Only those on this host.
    host: Option<String>,
    /// Only those with this status.
    status: Option<String>,
}

/// The supervisors, with what is in their slots
#[utoipa::path(get, path = "/api/v1/supervisors", tag = "cluster", params(SupervisorsAsked),
    responses((status = 200, body = Vec<Supervisor>)))]
pub(super) async fn supervisors(
    State(api): State<Api>,
    Asked(asked): Asked<SupervisorsAsked>,
) -> Answer {
    let page = Page::of(asked.limit, asked.offset)?;
    let shown = api.look(move |engine, now| {
        let mut all = model::supervisors(engine, now);
        all.retain(|it| is(asked.host.as_deref(), &it.host));
        all.retain(|it| is(asked.status.as_deref(), it.status));
        Ok(all)
    });
    Ok(shown.await?.page(page))
}

/// One supervisor
#[utoipa::path(get, path = "/api/v1/supervisors/{id}", tag = "cluster",
    params(("id" = String, Path, description = "Id of the supervisor")),
    responses((status = 200, body = Versioned<Supervisor>)))]
pub(super) async fn supervisor(State(api): State<Api>, Named(id): Named<String>) -> Answer {
    let shown = api.look(|engine, now| Ok(model::supervisors(engine, now))).await?;
    let Some(at) = shown.it.iter().position(|it| it.id == id) else {
        let shown: String = id.chars().take(128).collect();
        let what = format!("failed to show supervisor `{shown}`");
        let (why, fix) = ("there is none of this id", "/api/v1/supervisors lists them");
        return Err(Problem::new(Code::NotFound, &what, why, fix));
    };
    Ok(shown.map(|mut all| all.swap_remove(at)).document())
}

/// Which topologies are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TopologiesAsked {
    /// Items of one page at most.
    #[param(minimum = 1, maximum = 1000, default = 500)]
    limit: Option<u32>,
    /// Items that are skipped.
    offset: Option<u32>,
    /// Only those whose name has this in it.
    name: Option<String>,
    /// Only those with this status, such as `active`.
    status: Option<String>,
}

/// The topologies
#[utoipa::path(get, path = "/api/v1/topologies", tag = "topologies", params(TopologiesAsked),
    responses((status = 200, body = Vec<Summary>)))]
pub(super) async fn topologies(
    State(api): State<Api>,
    Asked(asked): Asked<TopologiesAsked>,
) -> Answer {
    let page = Page::of(asked.limit, asked.offset)?;
    let shown = api.look(move |engine, now| {
        let mut all = model::topologies(engine, now);
        all.retain(|it| asked.name.as_deref().is_none_or(|part| it.name.contains(part)));
        all.retain(|it| is(asked.status.as_deref(), it.status));
        Ok(all)
    });
    Ok(shown.await?.page(page))
}

/// One topology in full
///
/// Results beyond 256 KiB are left out: `/api/v1/topologies/{name}/results` has them all.
#[utoipa::path(get, path = "/api/v1/topologies/{name}", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology")),
    responses((status = 200, body = Versioned<Topology>)))]
pub(super) async fn topology(State(api): State<Api>, Named(name): Named<String>) -> Answer {
    let shown = api.look(move |engine, now| model::topology(engine, &name, now)).await?;
    Ok(shown.map(without_more_results).document())
}

/// Leaves out the results that would make a document too long.
pub(super) fn without_more_results(mut topology: Topology) -> Topology {
    let fitting = fitting(&topology.results, RESULTS_BYTES_MAX);
    topology.results.truncate(fitting);
    topology
}

/// How many of these results have room in so many bytes.
fn fitting(results: &[TaskValue], mut room: usize) -> usize {
    let fits = |result: &&TaskValue| {
        let bytes = serde_json::to_vec(result).map_or(usize::MAX, |text| text.len());
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    };
    results.iter().take_while(fits).count()
}

/// Which workers are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkersAsked {
    /// Items of one page at most.
    #[param(minimum = 1, maximum = 1000, default = 500)]
    limit: Option<u32>,
    /// Items that are skipped.
    offset: Option<u32>,
    /// Only those of this supervisor.
    supervisor: Option<String>,
    /// Only those whose slot is in this state, such as `running`.
    state: Option<String>,
}

/// The workers of a topology
#[utoipa::path(get, path = "/api/v1/topologies/{name}/workers", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology"), WorkersAsked),
    responses((status = 200, body = Vec<Worker>)))]
pub(super) async fn workers(
    State(api): State<Api>,
    Named(name): Named<String>,
    Asked(asked): Asked<WorkersAsked>,
) -> Answer {
    let page = Page::of(asked.limit, asked.offset)?;
    let shown = api.look(move |engine, now| {
        let mut all = model::topology(engine, &name, now)?.workers;
        all.retain(|it| is(asked.supervisor.as_deref(), &it.supervisor));
        all.retain(|it| is(asked.state.as_deref(), &it.state));
        Ok(all)
    });
    Ok(shown.await?.page(page))
}

/// In which order tasks are listed: what is most first.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sort {
    /// By number.
    #[default]
    Task,
    /// By how busy they are.
    Busy,
    /// By their part of the input.
    Skew,
    /// By what waits for them.
    Queue,
    /// By their rate.
    Rate,
    /// By their failures.
    Failed,
}

/// Which tasks of a component are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct TasksAsked {
    /// Tasks of one page at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Tasks that are skipped.
    offset: Option<u32>,
    /// In which order.
    #[param(inline)]
    sort: Option<Sort>,
}

/// One component, with a page of its tasks
#[utoipa::path(get, path = "/api/v1/topologies/{name}/components/{component}", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology"),
        ("component" = String, Path, description = "Name of the component"), TasksAsked),
    responses((status = 200, body = Versioned<ComponentDetail>)))]
pub(super) async fn component(
    State(api): State<Api>,
    Named((name, component)): Named<(String, String)>,
    Asked(asked): Asked<TasksAsked>,
) -> Answer {
    let Page { offset, limit } = Page::of(asked.limit.or(Some(100)), asked.offset)?;
    let sort = serde_json::to_value(asked.sort.unwrap_or_default()).unwrap_or_default();
    let query = format!("sort={}&offset={offset}&limit={limit}", sort.as_str().unwrap_or("task"));
    let shown = api.look(move |engine, now| {
        component::component(engine, (&name, &component), &Query::of(&query), now)
    });
    Ok(shown.await?.document())
}

/// Which part of a history is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryAsked {
    /// Of which component; of the whole topology if left out.
    component: Option<String>,
    /// From when on, in milliseconds since 1970; ten minutes (or a day) if left out.
    from: Option<u64>,
    /// How long a step is, in seconds: 1, or 60 for more than that.
    #[param(minimum = 1)]
    step: Option<u64>,
}

/// What a topology or a component did over time: at most 3600 steps
#[utoipa::path(get, path = "/api/v1/topologies/{name}/history", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology"), HistoryAsked),
    responses((status = 200, body = Versioned<History>)))]
pub(super) async fn history(
    State(api): State<Api>,
    Named(name): Named<String>,
    Asked(asked): Asked<HistoryAsked>,
) -> Answer {
    let mut query = format!("step={}", asked.step.unwrap_or(1));
    if let Some(from) = asked.from {
        query += &format!("&from={from}");
    }
    if let Some(component) = asked.component {
        query += &format!("&component={component}");
    }
    let shown =
        api.look(move |engine, now| history::history(engine, &name, &Query::of(&query), now));
    Ok(shown.await?.document())
}

/// A page of what one component may be asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OfComponent {
    /// Items of one page at most.
    #[param(minimum = 1, maximum = 1000, default = 500)]
    limit: Option<u32>,
    /// Items that are skipped.
    offset: Option<u32>,
    /// Only those of this component.
    component: Option<String>,
}

/// The newest errors of a topology, newest first
#[utoipa::path(get, path = "/api/v1/topologies/{name}/errors", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology"), OfComponent),
    responses((status = 200, body = Vec<TaskError>)))]
pub(super) async fn errors(
    State(api): State<Api>,
    Named(name): Named<String>,
    Asked(asked): Asked<OfComponent>,
) -> Answer {
    let page = Page::of(asked.limit, asked.offset)?;
    let shown = api.look(move |engine, now| {
        let mut all = model::topology(engine, &name, now)?.errors;
        all.retain(|it| is(asked.component.as_deref(), &it.component));
        Ok(all)
    });
    Ok(shown.await?.page(page))
}

/// What is wrong with a topology, first what causes it
#[utoipa::path(get, path = "/api/v1/topologies/{name}/findings", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology"), OfComponent),
    responses((status = 200, body = Vec<Finding>)))]
pub(super) async fn findings(
    State(api): State<Api>,
    Named(name): Named<String>,
    Asked(asked): Asked<OfComponent>,
) -> Answer {
    let page = Page::of(asked.limit, asked.offset)?;
    let shown = api.look(move |engine, now| {
        let mut all = model::topology(engine, &name, now)?.findings;
        all.retain(|it| is(asked.component.as_deref(), it.component.as_deref().unwrap_or("")));
        Ok(all)
    });
    Ok(shown.await?.page(page))
}

/// What the tasks of a topology left
///
/// A page ends early where it would be larger than a mebibyte, but for one result alone.
#[utoipa::path(get, path = "/api/v1/topologies/{name}/results", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology"), OfComponent),
    responses((status = 200, body = Vec<TaskValue>)))]
pub(super) async fn results(
    State(api): State<Api>,
    Named(name): Named<String>,
    Asked(asked): Asked<OfComponent>,
) -> Answer {
    let page = Page::of(asked.limit, asked.offset)?;
    let shown = api.look(move |engine, now| {
        let mut all = model::topology(engine, &name, now)?.results;
        all.retain(|it| is(asked.component.as_deref(), &it.component));
        Ok(all)
    });
    let shown = shown.await?;
    let fitting = fitting(shown.it.get(page.offset..).unwrap_or(&[]), PAGE_BYTES_MAX).max(1);
    Ok(shown.page(Page { limit: page.limit.min(fitting), ..page }))
}

/// Whether something is what is wanted, if anything is.
fn is(wanted: Option<&str>, it: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.is_empty() || wanted == it)
}
