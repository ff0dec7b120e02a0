//! How a good answer looks: a document with its version, or a page of a list.
//!
//! A list is a JSON array; how many there are in all is in the header `squall-total`. A nimbus that
//! does not lead says so in the header `squall-standby`, and in `squall-leader` who does.

use axum::Json;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use proto::nimbus::Standby;
use serde::Serialize;
use utoipa::ToSchema;

use super::input::Page;
use super::problem::Problem;
use super::{Api, SCHEMA_VERSION};
use crate::engine::Engine;
use crate::engine::command::Refusal;
use crate::engine::event::Now;
use crate::status;

/// A document and its version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Versioned<T> {
    /// Raised when a program that reads these documents would have to be changed.
    schema_version: u32,
    #[serde(flatten)]
    document: T,
}

impl<T> Versioned<T> {
    pub(super) fn of(document: T) -> Self {
        Self { schema_version: SCHEMA_VERSION, document }
    }
}

/// Something to show, and what a nimbus says beside it that does not lead.
pub(super) struct Shown<T> {
    pub(super) it: T,
    standby: Option<Standby>,
    leader: Option<String>,
}

impl Api {
    /// Looks at the engine's state, if it is current.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine, Now) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<Shown<T>, Problem> {
        match status::look(&self.handle, look).await {
            Ok((it, standby)) => {
                let leader = standby.as_ref().and_then(|_| self.leader_elsewhere());
                Ok(Shown { it, standby, leader })
            }
            Err(refusal) => Err(self.problem(refusal)),
        }
    }
}

impl<T> Shown<T> {
    /// Shows something else of it.
    pub(super) fn map<U>(self, of: impl FnOnce(T) -> U) -> Shown<U> {
        let Self { it, standby, leader } = self;
        Shown { it: of(it), standby, leader }
    }
}

impl<T: Serialize> Shown<T> {
    /// Answers with the document.
    pub(super) fn document(self) -> Response {
        let Self { it, standby, leader } = self;
        with_standby(Json(Versioned::of(it)).into_response(), standby, leader)
    }
}

impl<T: Serialize> Shown<Vec<T>> {
    /// Answers with a page of the list.
    pub(super) fn page(self, page: Page) -> Response {
        let Self { it, standby, leader } = self;
        let total = it.len();
        let items: Vec<T> = it.into_iter().skip(page.offset).take(page.limit).collect();
        let mut response = with_standby(Json(items).into_response(), standby, leader);
        response.headers_mut().insert("squall-total", HeaderValue::from(total));
        response
    }
}

fn with_standby(
    mut response: Response,
    standby: Option<Standby>,
    leader: Option<String>,
) -> Response {
    let headers =
        [("squall-standby", standby.map(|said| said.nimbus_id)), ("squall-leader", leader)];
    for (name, value) in headers {
        if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
