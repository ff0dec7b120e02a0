//! What the status endpoint serves: documents and changes (`crate::rest`), metrics, health.
//!
//! A nimbus that does not lead answers too, from what the store shows. It says so in the document
//! (`standby`) where that is an object, and in the header `squall-standby` everywhere; the header
//! `squall-leader` says where the leader's status is.

use std::io::{self, Write};

use axum::Router as Routes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use daemon::Shutdown;
use daemon::exposition::CONTENT_TYPE;
use flate2::Compression;
use flate2::write::GzEncoder;
use proto::nimbus::Standby;
use serde::Deserialize;
use serde_json::Value;

use super::prometheus::{Gathered, Histograms, Wanted};
use super::{dashboard, documents, prometheus};
use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::command::Refusal;
use crate::engine::event::Now;
use crate::rest::{self, Asked, Code, Guard, Problem};

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

/// Which metrics are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsAsked {
    /// Only those of this topology, and of the cluster.
    topology: Option<String>,
    /// Which histograms there are.
    #[serde(default)]
    histograms: Histograms,
}

async fn metrics(
    State(handle): State<Handle>,
    Asked(asked): Asked<MetricsAsked>,
    headers: HeaderMap,
) -> Response {
    let MetricsAsked { topology, histograms } = asked;
    let wanted = Wanted { topology, histograms };
    let gathered = match prometheus::gather(&handle, wanted).await {
        Ok(gathered) => gathered,
        Err(refusal) => return Problem::from(refusal).into_response(),
    };
    let packs = takes_gzip(&headers);
    // Megabytes take some milliseconds, and others wait for this thread.
    let written = tokio::task::spawn_blocking(move || match packs {
        true => gzip(|packed| prometheus::write(&gathered, packed)),
        false => text(&gathered),
    });
    let Ok(Ok(page)) = written.await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let kind = [(header::CONTENT_TYPE, CONTENT_TYPE)];
    match packs {
        true => (kind, [(header::CONTENT_ENCODING, "gzip")], page).into_response(),
        false => (kind, page).into_response(),
    }
}

/// All metrics of the page.
///
/// # Errors
///
/// That this nimbus is stopping.
#[cfg(feature = "otel")]
pub(crate) async fn all_metrics(handle: &Handle) -> Result<String, Refusal> {
    let wanted = Wanted { topology: None, histograms: Histograms::All };
    let gathered = prometheus::gather(handle, wanted).await?;
    let written = tokio::task::spawn_blocking(move || text(&gathered));
    let page = written.await.ok().and_then(Result::ok).unwrap_or_default();
    Ok(String::from_utf8(page).unwrap_or_default())
}

/// Whether who asks reads gzip, as Prometheus does.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING);
    let mut accepted =
        accepted.iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
    accepted.any(|it| {
        let (name, weight) = it.split_once(';').unwrap_or((it, ""));
        name.trim().eq_ignore_ascii_case("gzip") && weight.trim() != "q=0"
    })
}

fn text(gathered: &Gathered) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    prometheus::write(gathered, &mut text)?;
    Ok(text)
}

/// Packs what is written; names that come again and again take hardly any room (RFC 1952, 1996).
fn gzip(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    write(&mut encoder)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::http::HeaderValue;
    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn a_page_is_packed_for_who_says_that_it_reads_gzip() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static(value),
            )]))
        };
        assert!(takes("gzip") && takes("br, GZIP;q=0.5"));
        assert!(!takes("identity") && !takes("gzip;q=0") && !takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn histograms_are_those_of_topologies_unless_others_are_asked_for() {
        let asked = |query: &str| {
            let uri: axum::http::Uri = format!("/metrics{query}").parse().expect("that is one");
            let asked = axum::extract::Query::<MetricsAsked>::try_from_uri(&uri);
            asked.map(|asked| asked.0.histograms).ok()
        };
        for (query, histograms) in [
            ("", Some(Histograms::Topology)),
            ("?topology=clicks", Some(Histograms::Topology)),
            ("?histograms=topology", Some(Histograms::Topology)),
            ("?histograms=all", Some(Histograms::All)),
            ("?histograms=true", Some(Histograms::All)),
            ("?histograms=none", Some(Histograms::None)),
            ("?histograms=false", Some(Histograms::None)),
            ("?histograms=some", None),
        ] {
            assert_eq!(asked(query), histograms, "{query}");
        }
    }

    #[test]
    fn what_was_packed_comes_back_as_it_was() {
        let page = "squall_emitted_total{topology=\"clicks\"} 7\n".repeat(1_000);
        let packed = gzip(|packed| packed.write_all(page.as_bytes()));
        let packed = packed.expect("it goes to memory");
        assert!(packed.len() < page.len() / 20, "{} of {}", packed.len(), page.len());
        let mut text = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("it is gzip");
        assert_eq!(text, page);
    }
}
