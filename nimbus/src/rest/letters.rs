//! The dead letters of a topology: listed, replayed, dropped, as over gRPC.

#![expect(unused_qualifications, reason = "what `utoipa::path` makes of parameters has some")]

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use proto::nimbus::dead_letters_request::Verb;
use proto::nimbus::{DeadLettersReply, DeadLettersRequest};
use proto::supervisor::DeadLetter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::Versioned;
use super::input::{Asked, Body, Named};
use super::problem::{Code, Problem};
use crate::rpc::letters::dead_letters;

/// Letters of one page if nobody says how many, and at most.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 500;

/// How much of the tuples of one page is shown.
const TEXT_BYTES_MAX: usize = 800_000;

/// Dead letters of a topology.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Letters {
    /// By supervisor and number.
    letters: Vec<Letter>,
    /// Give this as `after` for the next page; `null` if this is the last.
    next: Option<String>,
    /// Supervisors that did not answer, and why: what they keep is not in here.
    away: BTreeMap<String, String>,
}

/// A tuple that failed too often.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Letter {
    /// Its id: who keeps it, and a number.
    id: String,
    /// The component whose task handed it over.
    component: String,
    /// The task.
    task: u32,
    /// The last reason: `error`, `panic`, `timeout`, ...
    reason: String,
    /// What the error or the panic said; empty if that is not known.
    error: String,
    /// How often it was emitted.
    attempts: u32,
    /// When it failed first.
    first_failed_ms: u64,
    /// When it failed last.
    last_failed_ms: u64,
    /// The tuple as JSON, for people; cut off if it is long.
    text: String,
    /// It is being replayed.
    replaying: bool,
}

/// What was done with dead letters.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LettersDone {
    /// How many are dropped, or being replayed.
    done: u64,
    /// Letters that were asked for, by id, and why nothing was done about them.
    refused: BTreeMap<String, String>,
    /// Supervisors that did not answer, and why.
    away: BTreeMap<String, String>,
}

/// Which dead letters are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LettersAsked {
    /// Letters of one page at most.
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<u32>,
    /// Only those behind this id.
    after: Option<String>,
}

/// Which dead letters are meant: either some, or all.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LettersMeant {
    /// Ids of letters.
    ids: Vec<String>,
    /// All letters are meant.
    all: bool,
}

/// The dead letters of a topology
#[utoipa::path(get, path = "/api/v1/topologies/{name}/dead-letters", tag = "topologies",
    params(("name" = String, Path, description = "Name of the topology"), LettersAsked),
    responses((status = 200, body = Versioned<Letters>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Named(name): Named<String>,
    Asked(asked): Asked<LettersAsked>,
) -> Result<Json<Versioned<Letters>>, Problem> {
    let max = asked.limit.unwrap_or(PAGE);
    if max == 0 || max > PAGE_MAX {
        let what = format!("failed to read `limit={max}`");
        let (why, fix) = ("a page has 1 to 500 letters", "ask for the rest with `after`");
        return Err(Problem::new(Code::Invalid, &what, why, fix));
    }
    let after = asked.after.unwrap_or_default();
    let request =
        DeadLettersRequest { name, verb: Verb::List.into(), after, max, ..Default::default() };
    let reply = api.letters(request).await?;
    let mut room = TEXT_BYTES_MAX;
    let all = reply.letters.len();
    let fits = |letter: &DeadLetter| {
        let fits = letter.text.len() <= room;
        room = room.saturating_sub(letter.text.len());
        fits
    };
    let letters: Vec<Letter> = reply.letters.into_iter().take_while(fits).map(letter).collect();
    let more = reply.more || letters.len() < all;
    let next = letters.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Json(Versioned::of(Letters { letters, next, away: reply.away })))
}

/// Emits dead letters again
#[utoipa::path(post, path = "/api/v1/topologies/{name}/dead-letters/replay", tag = "changes",
    params(("name" = String, Path, description = "Name of the topology")),
    request_body = LettersMeant, responses((status = 200, body = Versioned<LettersDone>)))]
pub(super) async fn replay(
    State(api): State<Api>,
    Named(name): Named<String>,
    Body(meant): Body<LettersMeant>,
) -> Result<Json<Versioned<LettersDone>>, Problem> {
    api.do_with_letters(name, Verb::Replay, meant).await
}

/// Throws dead letters away
#[utoipa::path(post, path = "/api/v1/topologies/{name}/dead-letters/drop", tag = "changes",
    params(("name" = String, Path, description = "Name of the topology")),
    request_body = LettersMeant, responses((status = 200, body = Versioned<LettersDone>)))]
pub(super) async fn discard(
    State(api): State<Api>,
    Named(name): Named<String>,
    Body(meant): Body<LettersMeant>,
) -> Result<Json<Versioned<LettersDone>>, Problem> {
    api.do_with_letters(name, Verb::Drop, meant).await
}

impl Api {
    async fn letters(&self, request: DeadLettersRequest) -> Result<DeadLettersReply, Problem> {
        let reply = dead_letters(&self.handle, request).await;
        reply.map_err(|refusal| self.problem(refusal))
    }

    async fn do_with_letters(
        &self,
        name: String,
        verb: Verb,
        LettersMeant { ids, all }: LettersMeant,
    ) -> Result<Json<Versioned<LettersDone>>, Problem> {
        let request =
            DeadLettersRequest { name, verb: verb.into(), ids, all, ..Default::default() };
        let DeadLettersReply { done, refused, away, .. } = self.letters(request).await?;
        Ok(Json(Versioned::of(LettersDone { done, refused, away })))
    }
}

fn letter(letter: DeadLetter) -> Letter {
    Letter {
        id: format!("{}.{}", letter.supervisor, letter.number),
        component: letter.component,
        task: letter.task,
        reason: letter.reason,
        error: letter.error,
        attempts: letter.attempts,
        first_failed_ms: letter.first_failed_ms,
        last_failed_ms: letter.last_failed_ms,
        text: letter.text,
        replaying: letter.replaying,
    }
}
