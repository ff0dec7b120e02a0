//! The status over HTTP: JSON documents, metrics, health. Nothing here changes anything.
//!
//! A nimbus that does not lead answers too, from what the store shows. It says so in the document
//! (`standby`) where that is an object, and in the header `squall-standby` everywhere; the header
//! `squall-leader` says where the leader's status is.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router as Routes};
use proto::nimbus::Standby;
use serde_json::{Value, json};

use super::{dashboard, documents, prometheus};
use crate::daemon::Handle;
use crate::engine::command::{Refusal, RefusalKind};

/// Serves the status.
pub(crate) struct Router {
    handle: Handle,
}

impl Router {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Makes the routes, all of them for GET only.
    pub(crate) fn routes(self) -> Routes {
        Routes::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/api/v1/{*path}", get(api))
            .merge(dashboard::routes())
            .fallback(async || {
                let fix = format!(
                    "there are /ui/, /metrics, /healthz, /readyz and, below /api/v1: {}",
                    documents::DOCUMENTS
                );
                failed(StatusCode::NOT_FOUND, "failed to answer", "there is no such page", &fix)
            })
            .method_not_allowed_fallback(async || {
                let why = "the status only answers GET";
                let fix = "use `squall` to change something";
                failed(StatusCode::METHOD_NOT_ALLOWED, "failed to answer", why, fix)
            })
            // One request a connection: an idle one would stay open for as long as it likes.
            .layer(map_response(async |mut response: Response| {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
                response
            }))
            .with_state(self.handle)
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
    let look = move |engine: &crate::engine::Engine, now| {
        if engine.view().revision == 0 || !engine.is_current() {
            return Err(engine.not_leading());
        }
        let json = documents::document(engine, &path, (&cluster, &security), now)?;
        Ok(Document { json, standby: engine.standby() })
    };
    handle.look(look).await?
}

async fn api(
    State(handle): State<Handle>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    let path = match path {
        Ok(Path(path)) => query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")),
        Err(rejection) => {
            let why = rejection.body_text();
            return failed(rejection.status(), "failed to answer", &why, "correct the address");
        }
    };
    match document(&handle, path).await {
        Ok(Document { json, standby: None }) => Json(json).into_response(),
        Ok(Document { json, standby: Some(standby) }) => {
            let leader = handle
                .role()
                .leader
                .map(|(_, http)| format!("{}://{http}", handle.security().scheme()));
            let mut response = Json(json).into_response();
            let headers = [("squall-standby", Some(standby.nimbus_id)), ("squall-leader", leader)];
            for (name, value) in headers {
                if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn ready(State(handle): State<Handle>) -> Response {
    let role = handle.role();
    let why = match (&role.store_problem, &role.leader) {
        (Some(problem), _) => format!("the coordination store cannot be used: {problem}"),
        (None, None) => "no nimbus leads yet".to_owned(),
        (None, Some(_)) => return "ready\n".into_response(),
    };
    failed(StatusCode::SERVICE_UNAVAILABLE, "not ready", &why, "wait, or look at its log")
}

async fn metrics(State(handle): State<Handle>) -> Response {
    let (cluster, security) = (handle.cluster().to_owned(), handle.security().clone());
    let look = move |engine: &crate::engine::Engine, now| {
        prometheus::page(engine, (&cluster, &security), now)
    };
    let page = handle.look(look).await;
    match page {
        Ok(page) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], page).into_response()
        }
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let status = match &refusal.kind {
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Invalid => StatusCode::BAD_REQUEST,
        RefusalKind::AlreadyExists | RefusalKind::NotNow => StatusCode::CONFLICT,
        RefusalKind::NotLeader(_) | RefusalKind::Unavailable | RefusalKind::StoreSilent => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        RefusalKind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
    };
    failed(status, &refusal.what, &refusal.why, &refusal.fix)
}

fn failed(status: StatusCode, what: &str, why: &str, fix: &str) -> Response {
    (status, Json(json!({ "error": { "what": what, "why": why, "fix": fix } }))).into_response()
}
