//! How an error looks: a code for programs; what, why and how to fix it for people.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, SCHEMA_VERSION};
use crate::engine::command::{Refusal, RefusalKind};

/// What kind of error it is: words that do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Code {
    /// The request has to be corrected.
    Invalid,
    /// There is no such page, topology, component or supervisor.
    NotFound,
    /// The page does not answer this method.
    MethodNotAllowed,
    /// The request does not come from where requests may come from.
    Forbidden,
    /// The body took too long.
    Timeout,
    /// The body is too large.
    TooLarge,
    /// The body is not said to be JSON.
    NotJson,
    /// It cannot be done now: the status of the topology has to change first.
    NotNow,
    /// There is one of this name already.
    AlreadyExists,
    /// Another nimbus leads, and only that one can do it.
    NotLeader,
    /// Try again, with the same idempotency key.
    Unavailable,
    /// The coordination store does not answer.
    StoreSilent,
    /// Too much of it is asked for at once.
    TooMany,
}

/// The body of an answer that says no.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProblemBody {
    /// The version of this and all other documents.
    schema_version: u32,
    /// What is wrong.
    error: Failure,
}

/// What is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Failure {
    /// What kind of error it is.
    code: Code,
    /// What failed.
    what: String,
    /// Why.
    why: String,
    /// What to do.
    fix: String,
    /// Where the leader's pages are, if another nimbus leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
}

/// An answer that says no.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    failure: Failure,
}

impl Problem {
    /// Says no: `what` failed because of `why`; do `fix`.
    pub(crate) fn new(code: Code, what: &str, why: &str, fix: &str) -> Self {
        let (what, why, fix) = (what.to_owned(), why.to_owned(), fix.to_owned());
        let failure = Failure { code, what, why, fix, leader: None };
        Self { status: status(code), failure }
    }

    /// What kind of error it is.
    pub(super) fn code(&self) -> Code {
        self.failure.code
    }

    /// The body, for what has no status.
    pub(super) fn body(self) -> ProblemBody {
        ProblemBody { schema_version: SCHEMA_VERSION, error: self.failure }
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::Invalid => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::Timeout => StatusCode::REQUEST_TIMEOUT,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::NotNow | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::NotLeader | Code::Unavailable | Code::StoreSilent => StatusCode::SERVICE_UNAVAILABLE,
        Code::TooMany => StatusCode::TOO_MANY_REQUESTS,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal.kind {
            RefusalKind::NotLeader(_) => Code::NotLeader,
            RefusalKind::AlreadyExists => Code::AlreadyExists,
            RefusalKind::NotFound => Code::NotFound,
            RefusalKind::Invalid => Code::Invalid,
            RefusalKind::NotNow => Code::NotNow,
            RefusalKind::Unavailable => Code::Unavailable,
            RefusalKind::StoreSilent => Code::StoreSilent,
            RefusalKind::Exhausted => Code::TooMany,
        };
        Self::new(code, &refusal.what, &refusal.why, &refusal.fix)
    }
}

impl Api {
    /// Turns a refusal into an answer; one of a nimbus that does not lead says who does.
    pub(super) fn problem(&self, refusal: Refusal) -> Problem {
        let mut problem = Problem::from(refusal);
        problem.failure.leader = self.leader_elsewhere();
        problem
    }

    /// Where the leader's pages are, if this nimbus does not lead and knows it.
    pub(super) fn leader_elsewhere(&self) -> Option<String> {
        let role = self.handle.role();
        let (_, http) = role.leader.filter(|_| !role.leading)?;
        Some(format!("{}://{http}", self.handle.security().scheme()))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let leader = self.failure.leader.clone();
        let status = self.status;
        let mut response = (status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(Ok(leader)) = leader.map(|it| HeaderValue::from_str(&it)) {
            headers.insert("squall-leader", leader);
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
