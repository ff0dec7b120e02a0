//! Who was turned away by whom: fencing, as people see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::Engine;

/// Who was turned away by somebody, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Turned {
    /// Who: `worker 3`, `supervisor machine-1`, `a stranger`.
    pub who: String,
    /// The incarnation it named last; empty if it has none.
    pub epoch: String,
    /// `retired`, `not-me`, `foreign`, `cannot-resume`, `token`, `digest` or `unassigned`.
    pub why: String,
    /// How often.
    pub count: u64,
}

/// What somebody reports of whom it turned away.
pub(super) fn reported(turned: &[proto::supervisor::Turned]) -> Vec<Turned> {
    let each = |it: &proto::supervisor::Turned| Turned {
        who: it.who.clone(),
        epoch: it.epoch.clone(),
        why: it.why.clone(),
        count: it.count,
    };
    turned.iter().map(each).collect()
}

/// Whose reports this nimbus did not take.
pub(super) fn by_nimbus(engine: &Engine) -> Vec<Turned> {
    let each = |(who, epoch, why, count): (&str, &str, &'static str, u64)| Turned {
        who: who.to_owned(),
        epoch: epoch.to_owned(),
        why: why.to_owned(),
        count,
    };
    engine.reports().turned_away.iter().map(each).collect()
}
