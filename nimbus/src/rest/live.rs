//! Live views: server-sent events, a document once a second.
//!
//! Every view is made when its reader has room for it, so one that is slow gets fewer, not later
//! ones; one that takes nothing at all is hung up on (`status::connections`). There are so many at
//! once and no more. They end when the nimbus is asked to stop, and with the topology.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::Event;
use futures::Stream;
use futures::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};
use utoipa::ToSchema;

use super::Api;
use super::answer::Versioned;
use super::input::Named;
use super::problem::{Code, Problem};
use super::reads::without_more_results;
use crate::status::model::{self, Cluster, Summary};

/// How often a view is shown.
const EVERY: Duration = Duration::from_secs(1);

/// Topologies that are listed in a live view.
const TOPOLOGIES_MAX: usize = 1_000;

/// The cluster and its topologies.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Overview {
    /// The cluster as a whole.
    cluster: Cluster,
    /// Its topologies.
    topologies: Vec<Summary>,
}

/// What is shown next.
enum Next {
    Show(Event),
    /// The last one.
    End(Event),
}

/// The cluster and its topologies, live
///
/// Server-sent events: `cluster` once a second with a document as in the schema `Overview`, or
/// `problem` with an error while the nimbus knows nothing.
#[utoipa::path(get, path = "/api/v1/stream", tag = "live",
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn cluster(
    State(api): State<Api>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = api.place()?;
    let shutdown = api.shutdown.clone();
    let next = move || overview(api.clone());
    Ok(Sse::new(ticking(place, async move { shutdown.asked().await }, next)))
}

/// One topology, live
///
/// Server-sent events: `topology` once a second with the document of the topology, `problem` with an
/// error while the nimbus knows nothing, and `gone` with an error at the end.
#[utoipa::path(get, path = "/api/v1/topologies/{name}/stream", tag = "live",
    params(("name" = String, Path, description = "Name of the topology")),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn stream(
    State(api): State<Api>,
    Named(name): Named<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let wanted = name.clone();
    api.look(move |engine, _| engine.topology("watch", &wanted).map(|_| ())).await?;
    let place = api.place()?;
    let shutdown = api.shutdown.clone();
    let next = move || topology(api.clone(), name.clone());
    Ok(Sse::new(ticking(place, async move { shutdown.asked().await }, next)))
}

impl Api {
    /// Takes room for a live view.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.viewers.clone().try_acquire_owned().map_err(|_| {
            let what = "failed to show it live";
            let why = format!("{} others watch already", super::VIEWERS_MAX);
            let fix = "close some, or ask for the document now and then";
            Problem::new(Code::TooMany, what, &why, fix)
        })
    }
}

async fn overview(api: Api) -> Next {
    let (name, security) = (api.handle.cluster().to_owned(), api.handle.security().clone());
    let shown = api.look(move |engine, now| {
        let mut topologies = model::topologies(engine, now);
        topologies.truncate(TOPOLOGIES_MAX);
        Ok(Overview { cluster: model::cluster(engine, (&name, &security), now), topologies })
    });
    match shown.await {
        Ok(shown) => Next::Show(event("cluster", Versioned::of(shown.it))),
        Err(problem) => Next::Show(event("problem", problem.body())),
    }
}

async fn topology(api: Api, name: String) -> Next {
    let shown = api.look(move |engine, now| model::topology(engine, &name, now)).await;
    match shown.map(|shown| shown.map(without_more_results)) {
        Ok(shown) => Next::Show(event("topology", Versioned::of(shown.it))),
        Err(problem) if problem.code() == Code::NotFound => {
            Next::End(event("gone", problem.body()))
        }
        Err(problem) => Next::Show(event("problem", problem.body())),
    }
}

/// An event with a document.
pub(super) fn event(kind: &str, document: impl Serialize) -> Event {
    let text = serde_json::to_string(&document).expect("the documents are plain data");
    Event::default().event(kind).data(text)
}

/// A view that shows what `next` makes, once a second, until it is `asked` to end.
struct Ticking<N, A> {
    next: N,
    asked: A,
    ticks: Interval,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

fn ticking<N, F>(
    place: OwnedSemaphorePermit,
    asked: impl Future<Output = ()> + Send + 'static,
    next: N,
) -> impl Stream<Item = Result<Event, Infallible>>
where
    N: FnMut() -> F + Send + 'static,
    F: Future<Output = Next> + Send,
{
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let view = Ticking { next, asked: Box::pin(asked), ticks, ended: false, _place: place };
    stream::unfold(view, |mut view| async move {
        if view.ended {
            return None;
        }
        tokio::select! {
            () = &mut view.asked => return None,
            _ = view.ticks.tick() => {}
        }
        let event = match (view.next)().await {
            Next::Show(event) => event,
            Next::End(event) => {
                view.ended = true;
                event
            }
        };
        Some((Ok(event), view))
    })
}
