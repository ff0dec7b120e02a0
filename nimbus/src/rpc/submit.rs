//! Taking a topology in: its description first, then its binary, then copies of that on as many
//! nimbuses as are wanted, then one request to the engine.

use std::time::Duration;

use proto::nimbus::{SubmitBegin, SubmitPart, SubmitReply, submit_part};
use tonic::{Status, Streaming};
use tracing::debug;

use super::{Context, refused};
use crate::binaries::BinaryError;
use crate::engine::command::{Refusal, RefusalKind, Reply};
use crate::engine::event::{Request, Submission, Verb};

/// How long the next part of a submission may take.
const PART_TIMEOUT: Duration = Duration::from_secs(30);

/// Takes a submission in and answers when it is in the store.
pub(super) async fn submit(
    context: &Context,
    mut parts: Streaming<SubmitPart>,
) -> Result<SubmitReply, Status> {
    let Context { handle, binaries, copier, .. } = context;
    let Some(submit_part::Kind::Begin(begin)) = next(&mut parts).await?.flatten() else {
        return Err(protocol("the first part of a submission says what it is"));
    };
    let request = request(begin);
    let Verb::Submit(submission) = &request.verb else {
        return Err(Status::internal("a submission became something else"));
    };
    // Whoever would be refused anyway is told before the binary is on its way.
    let (copy, digest) = (request.clone(), submission.digest.clone());
    let foreseen = handle.look(move |engine, now| engine.foresee(&copy, now)).await;
    match foreseen.map_err(refused)?.map_err(refused)? {
        Some(Reply::Submitted(reply)) => return Ok(reply),
        Some(Reply::Done(_)) => return Err(Status::internal("another request has this id")),
        None => {}
    }
    let not_kept = |error| refused(not_kept(&submission.spec.name, error));
    let upload = binaries.upload(&digest, submission.binary_bytes).await;
    let mut upload = upload.map_err(not_kept)?;
    while let Some(part) = next(&mut parts).await? {
        let Some(submit_part::Kind::Chunk(chunk)) = part else {
            return Err(protocol("the parts after the first are chunks of the binary"));
        };
        upload.write(&chunk).await.map_err(not_kept)?;
    }
    let pin = upload.finish().await.map_err(not_kept)?;
    let answer = match copier.replicate(&digest, submission.binary_bytes).await {
        Ok(()) => handle.ask(request.clone()).await,
        Err(refusal) => Err(refusal),
    };
    drop(pin);
    if answer.is_err() {
        let wanted = digest.clone();
        // Whatever may still be written keeps its binary: only a plain "no" is certain.
        let certain = !matches!(&answer, Err(no) if no.kind == RefusalKind::Unavailable);
        let used = handle.look(move |engine, _| engine.view().uses(&wanted)).await;
        if certain && used.is_ok_and(|used| !used) {
            debug!(digest, "refused submission leaves no binary");
            binaries.remove_unused(&digest);
        }
    }
    match answer.map_err(refused)? {
        Reply::Submitted(reply) => Ok(reply),
        Reply::Done(_) => Err(Status::internal("another request has this id")),
    }
}

/// Waits for the next part, but not for ever: an upload that stands still holds a file open.
async fn next(
    parts: &mut Streaming<SubmitPart>,
) -> Result<Option<Option<submit_part::Kind>>, Status> {
    match tokio::time::timeout(PART_TIMEOUT, parts.message()).await {
        Ok(part) => Ok(part?.map(|part| part.kind)),
        Err(_) => Err(protocol(&format!("nothing came for {PART_TIMEOUT:?}"))),
    }
}

pub(super) fn request(begin: SubmitBegin) -> Request {
    let submission = Submission {
        spec: begin.spec.unwrap_or_default(),
        digest: begin.digest,
        binary_bytes: begin.binary_bytes,
        arguments: begin.arguments,
        workers: begin.workers,
        inactive: begin.inactive,
        random: rand::random(),
    };
    Request { id: begin.request_id, verb: Verb::Submit(Box::new(submission)) }
}

fn not_kept(name: &str, error: BinaryError) -> Refusal {
    let name: String = name.chars().take(128).collect();
    let what = format!("failed to submit `{name}`");
    let kind = match &error {
        // A disk does not heal while a client tries again and again to send its binary.
        BinaryError::TooLarge { .. } | BinaryError::Disk { .. } => RefusalKind::Exhausted,
        BinaryError::Damaged(_) | BinaryError::Foreign(_) | BinaryError::NotADigest(_) => {
            RefusalKind::Invalid
        }
        BinaryError::Missing(_) => RefusalKind::NotFound,
        BinaryError::InUse(_) => RefusalKind::Unavailable,
    };
    let fix = match &error {
        BinaryError::Disk { .. } => "make room on the nimbus's disk, then submit again",
        _ => "build the topology for this cluster and submit it again",
    };
    Refusal::new(kind, what, error.to_string(), fix)
}

fn protocol(text: &str) -> Status {
    let fix = "use the `squall` command of this version";
    refused(Refusal::new(RefusalKind::Invalid, "failed to submit", text, fix))
}
