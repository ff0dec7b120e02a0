//! Accepting a store that went back: raises the count that every daemon compares with what it knew.

use coordination::{Error, Guard, Transaction, decode, put};
use proto::nimbus::Done;
use proto::store::RecoveryRecord;
use tracing::warn;

use super::Context;
use crate::engine::command::{Refusal, RefusalKind};

const WHAT: &str = "failed to recover";

/// Accepts what the store holds now, if it went back.
pub(super) async fn recover(context: &Context) -> Result<Done, Refusal> {
    let look = |engine: &crate::engine::Engine, now: crate::engine::event::Now| {
        (engine.store_went_back(), engine.store_problem(), now.wall_ms)
    };
    let (went_back, problem, at_ms) = context.handle.look(look).await?;
    let Some((seen, found)) = went_back else {
        return Err(match problem {
            Some(problem) => Refusal::store_silent(&problem),
            None => {
                let why = "the store has not gone back: there is nothing to accept";
                Refusal::new(RefusalKind::NotNow, WHAT, why, "`squall describe` shows its state")
            }
        });
    };
    let key = context.keys.recovery();
    let there = context.store.get(&key).await.map_err(failed)?;
    let guard = there.as_ref().map_or_else(
        || Guard::Absent(key.clone()),
        |entry| Guard::ModifiedAt(key.clone(), entry.modified),
    );
    let stored = there.as_ref().and_then(|entry| decode::<RecoveryRecord>(entry).ok());
    // Higher than any count that a daemon may have seen before the store went back.
    let count = seen.recovery.max(stored.unwrap_or_default().count) + 1;
    let operations = vec![put(key, &RecoveryRecord { count, at_ms }, None)];
    let transaction = Transaction { guards: vec![guard], operations };
    context.store.commit(transaction).await.map_err(failed)?;
    warn!(from = seen.revision, to = found.revision, "accepted that the store went back");
    let text = format!(
        "accepted that the store went back from revision {} to {}",
        seen.revision, found.revision
    );
    Ok(Done { text })
}

fn failed(error: Error) -> Refusal {
    match error {
        Error::Conflict => {
            let why = "somebody else accepted it at the same moment";
            Refusal::new(RefusalKind::NotNow, WHAT, why, "`squall describe` shows its state")
        }
        error => Refusal::store_silent(&error.to_string()),
    }
}
