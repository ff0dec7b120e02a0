//! What the status endpoint serves: documents and changes (`crate::rest`), metrics, health.
//!
//! A nimbus that does not lead answers too, from what the store shows. It says so in the document
//! (`standby`) where that is an object, and in the header `squall-standby` everywhere; the header
//! `squall-leader` says where the leader's status is.

use axum::Router as Routes;
use axum::extract::State;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use daemon::Shutdown;
use proto::nimbus::Standby;
use serde_json::Value;

use super::{dashboard, documents, prometheus};
use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::command::Refusal;
use crate::engine::event::Now;
use crate::rest::{self, Code, Guard, Problem};

/// Serves the status.
pub(crate) struct Router {
    handle: Handle,
    shutdown: Shutdown,
    guard: Guard,
}

impl Router {
    pub(crate) fn new(handle: Handle, shutdown: &Shutdown, guard: Guard) -> Self {
        Self { handle, shutdown: shutdown.clone(), guard }
    }

    /// Makes the routes.
    pub(crate) fn routes(self) -> Routes {
        let Self { handle, shutdown, guard } = self;
        Routes::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(handle.clone())
            .merge(rest::routes(handle, shutdown))
            .merge(dashboard::routes())
            .fallback(async || {
                let fix = "there are /ui/, /metrics, /healthz, /readyz and what \
                           /api/v1/openapi.json lists";
                Problem::new(Code::NotFound, "failed to answer", "there is no such page", fix)
            })
            .method_not_allowed_fallback(async || {
                let why = "this page does not answer that method";
                let fix = "/api/v1/openapi.json says which it answers";
                Problem::new(Code::MethodNotAllowed, "failed to answer", why, fix)
            })
            .layer(from_fn_with_state(guard, rest::guard))
    }
}

/// A document, and what the nimbus that made it says beside it if it does not lead.
pub(crate) struct Document {
    pub(crate) json: Value,
    pub(crate) standby: Option<Standby>,
}

/// Makes the JSON document of this path, such as `topologies/NAME`, with its query.
///
/// # Errors
///
/// That there is no such document or topology.
pub(crate) async fn document(handle: &Handle, path: String) -> Result<Document, Refusal> {
    let (cluster, security) = (handle.cluster().to_owned(), handle.security().clone());
    let shown = look(handle, move |engine, now| {
        documents::document(engine, &path, (&cluster, &security), now)
    });
    let (json, standby) = shown.await?;
    Ok(Document { json, standby })
}

/// Looks at the engine's state, if it is current, and at what is to be said beside it if this nimbus
/// does not lead.
pub(crate) async fn look<T: Send + 'static>(
    handle: &Handle,
    look: impl FnOnce(&Engine, Now) -> Result<T, Refusal> + Send + 'static,
) -> Result<(T, Option<Standby>), Refusal> {
    let look = move |engine: &Engine, now| {
        if engine.view().revision == 0 || !engine.is_current() {
            return Err(engine.not_leading());
        }
        Ok((look(engine, now)?, engine.standby()))
    };
    handle.look(look).await?
}

async fn ready(State(handle): State<Handle>) -> Response {
    let role = handle.role();
    let why = match (&role.store_problem, &role.leader) {
        (Some(problem), _) => format!("the coordination store cannot be used: {problem}"),
        (None, None) => "no nimbus leads yet".to_owned(),
        (None, Some(_)) => return "ready\n".into_response(),
    };
    Problem::new(Code::Unavailable, "not ready", &why, "wait, or look at its log").into_response()
}

async fn metrics(State(handle): State<Handle>) -> Response {
    let (cluster, security) = (handle.cluster().to_owned(), handle.security().clone());
    let look = move |engine: &Engine, now| prometheus::page(engine, (&cluster, &security), now);
    let page = handle.look(look).await;
    match page {
        Ok(page) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], page).into_response()
        }
        Err(refusal) => Problem::from(refusal).into_response(),
    }
}
