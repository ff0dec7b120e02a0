//! Topologies that do not run at all, and why.

use super::{Finding, Severity};
use crate::engine::figures::Figures;

/// The topology's records or its binary cannot be used.
pub(super) fn quarantined(figures: &Figures) -> Vec<Finding> {
    let finding = |why: &String| {
        Finding::new("quarantined", Severity::Critical, why.clone()).next(format!(
            "submit `{}` again if its binary is lost; the log of the nimbus says more",
            figures.name
        ))
    };
    figures.quarantined.iter().map(finding).collect()
}

/// It has no workers, or fewer than were asked for.
pub(super) fn not_scheduled(figures: &Figures) -> Vec<Finding> {
    let Some(why) = &figures.unplaced else { return Vec::new() };
    let (wanted, has) = (figures.workers_wanted.max(1), figures.workers.len());
    let severity = if has == 0 { Severity::Critical } else { Severity::Warning };
    let text = format!("it has {has} of the {wanted} workers that were asked for: {why}");
    let next = "start another supervisor, give one more slots (`squall supervisor --slots N`), or \
                kill what is not needed (`squall list`)";
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 workers")]
    let finding = Finding::new("not-scheduled", severity, text)
        .next(next)
        .shown_by("workers", has as f64)
        .shown_by("workers_wanted", wanted.into());
    vec![finding]
}
