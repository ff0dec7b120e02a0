//! What a post is answered.

use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::super::records::CONTENT_TYPES;
use crate::buffer::NotStored;
use crate::intake::queue::{Failed, Refused};

/// Most failed records that one answer names.
const NAMED_MAX: usize = 1_000;

/// Seconds after which who was told to wait may try again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// Boxed, since most of what says no on the way is an error.
pub(super) type Answer = Box<Response<String>>;

fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Box::new(Response::new(format!("{body}\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
    }
    answer
}

fn error(status: StatusCode, text: &str) -> Answer {
    answer(status, &json!({ "error": text }))
}

pub(super) fn not_here(path: &str) -> Answer {
    error(StatusCode::NOT_FOUND, &format!("records are posted to {path}"))
}

pub(super) fn wrong_method() -> Answer {
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "records are sent by POST");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    answer
}

pub(super) fn unauthorized() -> Answer {
    let text = "send the token of this source: `authorization: Bearer TOKEN`";
    let mut answer = error(StatusCode::UNAUTHORIZED, text);
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

pub(super) fn too_large(bytes: usize) -> Answer {
    let text = format!("a body has at most {bytes} bytes: send less at a time");
    error(StatusCode::PAYLOAD_TOO_LARGE, &text)
}

pub(super) fn too_many(records: usize) -> Answer {
    let text = format!("a body has at most {records} records: send less at a time");
    error(StatusCode::PAYLOAD_TOO_LARGE, &text)
}

pub(super) fn wrong_type() -> Answer {
    error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("send {CONTENT_TYPES}"))
}

pub(super) fn cut_off(why: &str) -> Answer {
    error(StatusCode::BAD_REQUEST, &format!("the body did not come whole: {why}"))
}

pub(super) fn slow() -> Answer {
    error(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")
}

/// Nothing of the body was taken.
pub(super) fn malformed(record: usize, why: &str) -> Answer {
    let text = format!("record {record}: {why}; nothing of the body was taken");
    answer(StatusCode::BAD_REQUEST, &json!({ "error": text, "record": record }))
}

pub(super) fn no_verdict() -> Answer {
    let text = "there is no verdict yet: the records may still be processed";
    error(StatusCode::SERVICE_UNAVAILABLE, text)
}

/// Says what became of a post.
pub(super) fn of(posted: Result<Failed, Refused>, records: usize) -> Answer {
    let wait = StatusCode::TOO_MANY_REQUESTS;
    match posted {
        Ok(failed) if failed.is_empty() => {
            let mut accepted = answer(StatusCode::ACCEPTED, &json!({ "accepted": records }));
            accepted.headers_mut().remove(RETRY_AFTER);
            accepted
        }
        Ok(failed) => {
            let named = failed.iter().take(NAMED_MAX);
            let named: Vec<Value> = named
                .map(|(record, reason)| json!({ "record": record, "reason": reason }))
                .collect();
            let text = format!("{} of {records} records failed", failed.len());
            let accepted = records - failed.len();
            let body = json!({ "error": text, "accepted": accepted, "failed": named });
            answer(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
        Err(Refused::Full) => error(wait, "the topology is behind: send it again later"),
        Err(Refused::Inactive) => error(wait, "the topology is not active: send it again later"),
        Err(Refused::NotStored(why @ NotStored::Full)) => error(wait, &why.to_string()),
        Err(Refused::NotStored(why @ NotStored::TooLarge)) => {
            error(StatusCode::PAYLOAD_TOO_LARGE, &why.to_string())
        }
        Err(Refused::NotStored(why)) => error(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()),
        Err(Refused::Ended) => error(StatusCode::SERVICE_UNAVAILABLE, "the topology has ended"),
    }
}
