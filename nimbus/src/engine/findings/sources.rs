//! Spouts that could give more, or have nothing to give.

use super::{Finding, Severity, percent};
use crate::engine::figures::{Component, Figures};

/// A spout that waits for acks so much of the time could give more.
const WAITS: f64 = 0.5;

/// A topology that is younger may still be starting, in ms.
const YOUNG_MS: u64 = 60_000;

/// Nothing is slow, but a spout has as many open trees as may be.
pub(super) fn max_pending(figures: &Figures) -> Vec<Finding> {
    let waits = |component: &&Component| {
        component.spout && component.shares().is_some_and(|shares| shares.throttled >= WAITS)
    };
    let finding = |component: &Component| {
        let share = component.shares().unwrap_or_default().throttled;
        let took = component.tasks.iter().filter_map(|task| task.complete_us);
        let took = took.map(|[half, ..]| half).fold(0.0, f64::max) / 1_000.0;
        let text = format!(
            "`{}` waits for acks {} of the time: its tasks may have {} open trees each, and a tree \
             takes {took:.1} ms",
            component.name,
            percent(share),
            figures.max_pending
        );
        let next = "raise `max_pending` if the machines have time to spare";
        Finding::new("max-pending", Severity::Info, text)
            .of(&component.name)
            .next(next)
            .shown_by("throttled", share)
    };
    figures.components.iter().filter(waits).map(finding).collect()
}

/// A spout that may emit has emitted nothing for a minute, and nothing holds it up.
pub(super) fn no_data(figures: &Figures) -> Vec<Finding> {
    if !figures.active || figures.age_ms < YOUNG_MS {
        return Vec::new();
    }
    let silent = |component: &&Component| {
        let known = component.tasks.iter().all(|task| task.minute.is_some());
        let idle = component.shares().is_some_and(|shares| shares.idle() >= 0.9);
        let nothing = component.minute.emitted == 0.0;
        component.spout && !component.tasks.is_empty() && known && idle && nothing
    };
    let finding = |component: &Component| {
        let text = format!(
            "`{}` has emitted nothing for a minute, and nothing holds it up: its source has no data",
            component.name
        );
        let next = "see whether its source (file, queue, sender) has something new";
        Finding::new("no-data", Severity::Info, text)
            .of(&component.name)
            .next(next)
            .shown_by("emitted_per_second", component.minute.emitted)
    };
    figures.components.iter().filter(silent).map(finding).collect()
}
