//! The dashboard: files that are part of this program, so it needs no network, no folder and no step to
//! build it. What they show they fetch from the same address, as anybody could.
//!
//! A file is asked for again whenever a page is opened and sent only if it is another one than the
//! browser has (`ETag`): an upgrade is seen at once.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

/// Scripts, styles and data from here and nowhere else; nobody may put a page of ours into a frame.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; object-src 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

macro_rules! files {
    ($($kind:ident $name:literal,)*) => {
        /// The files, by name: their type and what is in them.
        static FILES: &[(&str, &str, &str)] =
            &[$(($name, $kind, include_str!(concat!("../../dashboard/", $name))),)*];
    };
}

files! {
    HTML "index.html",
    STYLE "style.css",
    STYLE "parts.css",
    STYLE "traces.css",
    IMAGE "icon.svg",
    SCRIPT "theme.js",
    SCRIPT "app.js",
    SCRIPT "api.js",
    SCRIPT "dom.js",
    SCRIPT "format.js",
    SCRIPT "parts.js",
    SCRIPT "graph.js",
    SCRIPT "plots.js",
    SCRIPT "actions.js",
    SCRIPT "cluster.js",
    SCRIPT "topology.js",
    SCRIPT "component.js",
    SCRIPT "workers.js",
    SCRIPT "records.js",
    SCRIPT "stream.js",
    SCRIPT "logs.js",
    SCRIPT "tap.js",
    SCRIPT "traces.js",
}

/// What tells one version of a file from another, in the order of [`FILES`].
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |(_, _, text): &(_, _, &str)| {
        let digest = Sha256::digest(text.as_bytes());
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("\"{hex}\"")
    };
    FILES.iter().map(tag).collect()
});

/// The routes of the dashboard; `/` leads there.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let there = || async { Redirect::temporary("/ui/") };
    Router::new()
        .route("/", get(there))
        .route("/ui", get(there))
        .route("/ui/", get(async |headers: HeaderMap| file("index.html", &headers)))
        .route(
            "/ui/{name}",
            get(async |Path(name): Path<String>, headers: HeaderMap| file(&name, &headers)),
        )
}

fn file(name: &str, asked: &HeaderMap) -> Response {
    let found = FILES.iter().zip(TAGS.iter()).find(|((known, _, _), _)| *known == name);
    let Some(((_, kind, text), tag)) = found else {
        return (
            StatusCode::NOT_FOUND,
            headers("text/plain; charset=utf-8"),
            "there is no such file\n",
        )
            .into_response();
    };
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = match known {
        Some(known) if known.split(',').any(|one| one.trim() == tag) => {
            (StatusCode::NOT_MODIFIED, headers(kind)).into_response()
        }
        _ => (headers(kind), *text).into_response(),
    };
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn headers(kind: &'static str) -> [(HeaderName, HeaderValue); 5] {
    [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(name: &str) -> Response {
        file(name, &HeaderMap::new())
    }

    fn header(response: &Response, name: HeaderName) -> &str {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[test]
    fn every_file_of_the_folder_is_served_with_its_type() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboard");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
            .collect();
        let mut served: Vec<&str> = FILES.iter().map(|(name, _, _)| *name).collect();
        there.sort();
        served.sort_unstable();
        assert_eq!(there, served, "the table names what is in {folder}");
        let kinds = [("html", HTML), ("css", STYLE), ("js", SCRIPT), ("svg", IMAGE)];
        for (name, kind, _) in FILES {
            let ending = name.rsplit('.').next().unwrap_or_default();
            assert!(kinds.contains(&(ending, kind)), "{name} is served as {kind}");
            let response = get(name);
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            assert_eq!(header(&response, header::CONTENT_TYPE), *kind, "{name}");
        }
        assert_eq!(get("../Cargo.toml").status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn files_come_with_a_policy_and_are_sent_again_only_if_they_changed() {
        let response = get("app.js");
        let policy = header(&response, header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(header(&response, header::CACHE_CONTROL), "no-cache");
        let tag = response.headers().get(header::ETAG).expect("it has a tag").clone();
        let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.clone())]);
        assert_eq!(file("app.js", &asked).status(), StatusCode::NOT_MODIFIED);
        let other = file("dom.js", &asked);
        assert_eq!(other.status(), StatusCode::OK, "another file has another tag");
    }

    #[test]
    fn pages_hold_no_script_or_style_of_their_own() {
        let html = FILES.iter().filter(|(name, _, _)| name.ends_with("html"));
        for (name, _, text) in html {
            let scripts = text.matches("<script").count();
            assert_eq!(scripts, text.matches("></script>").count(), "{name}: scripts are files");
            for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
                assert!(
                    !text.contains(inline),
                    "{name} holds `{inline}`, which the policy refuses"
                );
            }
        }
    }

    #[test]
    fn data_is_only_ever_shown_as_text() {
        let ways =
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("];
        for (name, _, text) in FILES {
            for way in ways {
                assert!(!text.contains(way), "{name} uses {way}: data would become markup or code");
            }
        }
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for (name, _, text) in FILES {
            // The name of SVG is written as an address; nobody fetches it.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for address in ["http://", "https://", "\"//", "'//", "@import"] {
                assert!(!text.contains(address), "{name} holds {address}");
            }
        }
    }
}
