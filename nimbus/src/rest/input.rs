//! Reading what a request says: names, queries, bodies. What cannot be read is refused as JSON, and
//! so is a parameter that nobody knows: one that is misspelt would else be left out in silence.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::problem::{Code, Problem};

/// Items of one page if nobody says how many, and at most.
const PAGE: u32 = 500;
const PAGE_MAX: u32 = 1_000;

/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What a query asks for.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let asked = Query::<T>::from_request_parts(parts, state).await;
        asked.map(|Query(asked)| Self(asked)).map_err(|rejection| {
            let fix = "/api/v1/openapi.json lists the parameters";
            Problem::new(Code::Invalid, "failed to read the query", &rejection.body_text(), fix)
        })
    }
}

/// The names in the path.
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = Path::<T>::from_request_parts(parts, state).await;
        named.map(|Path(named)| Self(named)).map_err(|rejection| {
            let (what, fix) = ("failed to read the address", "correct the address");
            Problem::new(Code::Invalid, what, &rejection.body_text(), fix)
        })
    }
}

/// A body of JSON; an empty one says nothing.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        const WHAT: &str = "failed to read the body";
        if !is_json(request.headers()) {
            let fix = "send JSON with the header `content-type: application/json`";
            let why = "it is not said to be JSON: a form of another site could have sent it";
            return Err(Problem::new(Code::NotJson, WHAT, why, fix));
        }
        let bytes = tokio::time::timeout(BODY_TIME, Bytes::from_request(request, state)).await;
        let Ok(bytes) = bytes else {
            let why = format!("it did not come within {BODY_TIME:?}");
            return Err(Problem::new(Code::Timeout, WHAT, &why, "send all of it"));
        };
        let bytes = bytes.map_err(|rejection| {
            let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
            let code = if too_large { Code::TooLarge } else { Code::Invalid };
            Problem::new(code, WHAT, &rejection.body_text(), "send less, and all of it")
        })?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let fix = "/api/v1/openapi.json says what it may hold";
            Problem::new(Code::Invalid, WHAT, &error.to_string(), fix)
        })
    }
}

/// Whether a body is said to be JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

/// The client's name for a change.
pub(super) struct Key(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(key) = parts.headers.get("idempotency-key") else {
            return Ok(Self(String::new()));
        };
        let text = key.to_str().map_err(|_| {
            let (what, why) = ("failed to read `idempotency-key`", "it is not plain text");
            Problem::new(Code::Invalid, what, why, "give letters and digits")
        })?;
        Ok(Self(text.to_owned()))
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl Page {
    /// Reads the two parameters that every list has.
    pub(super) fn of(limit: Option<u32>, offset: Option<u32>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(PAGE);
        if limit == 0 || limit > PAGE_MAX {
            let what = format!("failed to read `limit={limit}`");
            let (why, fix) = ("a page has 1 to 1000 items", "ask for the rest with `offset`");
            return Err(Problem::new(Code::Invalid, &what, why, fix));
        }
        Ok(Self { offset: offset.unwrap_or(0) as usize, limit: limit as usize })
    }
}

/// A page of any list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct AnyPage {
    /// Items of one page at most.
    #[param(minimum = 1, maximum = 1000, default = 500)]
    pub(super) limit: Option<u32>,
    /// Items that are skipped.
    pub(super) offset: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_to_be_json_is_read() {
        let said = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().expect("a value"));
            is_json(&headers)
        };
        assert!(said("application/json") && said("Application/JSON; charset=utf-8"));
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            assert!(!said(kind), "{kind:?}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
