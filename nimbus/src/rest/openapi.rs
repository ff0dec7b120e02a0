//! The description of the REST pages, as an `OpenAPI` document (version 3.1.0, 2021), made of the
//! handlers and of the documents themselves.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::path::{HttpMethod, Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi as Description, Ref, ResponseBuilder, Type,
};

use super::Api;
use super::live::Overview;
use super::logs::LogPart;
use super::problem::ProblemBody;
use super::tap::TuplesShown;

/// What is true of all pages.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Squall",
        version = "1",
        description = "What a Squall cluster runs, how it does, and how to change it. Every document \
                       carries `schema_version`; new fields may come at any time. Submitting a binary \
                       is left to `squall submit`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemBody, Overview, LogPart, TuplesShown))
)]
struct Begun;

/// The description without its pages.
pub(super) fn begun() -> Description {
    Begun::openapi()
}

/// Errors that each page may answer with, and what they mean.
const ALWAYS: [(&str, &str); 3] = [
    ("400", "The request cannot be read: correct it"),
    ("403", "The request comes from another site, or for a host that this nimbus is not known by"),
    ("503", "It cannot be done or known at the moment, or only by the leader: `error.leader`"),
];

/// Errors of pages that name something.
const NAMED: (&str, &str) = ("404", "There is nothing of this name");

/// Errors of changes.
const CHANGES: [(&str, &str); 5] = [
    ("408", "The body did not come in time"),
    ("409", "It cannot be done in the status that the topology has"),
    ("413", "The body is too large"),
    ("415", "The body is not said to be JSON"),
    ("429", "There is no room for more"),
];

/// Errors of live views.
const LIVE: (&str, &str) = ("429", "Too many watch already");

/// Adds what is the same everywhere: errors, and the key of changes. Dead letters
/// need none: a letter that is gone is not replayed or dropped again.
pub(super) fn complete(described: &mut Description) {
    for (path, item) in &mut described.paths.paths {
        for method in [HttpMethod::Get, HttpMethod::Post] {
            let operation = match method {
                HttpMethod::Get => item.get.as_mut(),
                _ => item.post.as_mut(),
            };
            let Some(operation) = operation else { continue };
            ALWAYS.iter().for_each(|error| add(operation, error));
            if path.contains('{') {
                add(operation, &NAMED);
            }
            if operation.tags.iter().flatten().any(|tag| tag == "live") {
                add(operation, &LIVE);
            }
            if method == HttpMethod::Post {
                CHANGES.iter().for_each(|error| add(operation, error));
                if !path.contains("dead-letters") {
                    operation.parameters.get_or_insert_default().push(key().into());
                }
            }
        }
    }
}

fn add(operation: &mut Operation, (status, meaning): &(&str, &str)) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemBody"))).build();
    let response = ResponseBuilder::new().description(*meaning);
    let response = response.content("application/json", content).build();
    operation.responses.responses.insert((*status).to_owned(), response.into());
}

fn key() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "The client's name for the change: a repetition under the same one gets the first answer",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

/// This description
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "cluster",
    responses((status = 200, body = Object)))]
pub(super) async fn openapi(State(api): State<Api>) -> Response {
    let text = api.description.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
