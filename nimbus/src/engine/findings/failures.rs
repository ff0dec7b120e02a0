//! Tuples that fail: the same again and again, many of one component, or by the timeout.

use std::collections::BTreeMap;

use super::{Finding, Severity, cut, percent, rate, tuples};
use crate::engine::figures::{Component, Error, Figures};

/// So many failures with the same words are one tuple, or one kind of tuple.
const SAME: usize = 3;

/// An error before this is old news, in ms.
const RECENT_MS: u64 = 120_000;

/// A component whose calls fail for at least this share fails a lot.
const MANY: f64 = 0.01;

/// The same tuple fails again and again.
pub(super) fn poison(figures: &Figures) -> Vec<Finding> {
    figures.components.iter().filter_map(|component| poison_of(figures, component)).collect()
}

fn poison_of(figures: &Figures, component: &Component) -> Option<Finding> {
    let own =
        |it: &&Error| it.ago_ms < RECENT_MS && matches!(it.reason.as_str(), "error" | "panic");
    let mut same: BTreeMap<(&str, &str), Vec<&Error>> = BTreeMap::new();
    for error in component.errors.iter().filter(own) {
        same.entry((&error.reason, &error.text)).or_default().push(error);
    }
    let ((reason, words), errors) = same.into_iter().max_by_key(|(_, errors)| errors.len())?;
    let newest = errors.first().filter(|_| errors.len() >= SAME)?;
    let counted =
        |name: &str| figures.components.iter().filter_map(|it| it.counting.get(name)).sum::<f64>();
    let (replayed, dead) = (counted("replayed"), counted("dead-lettered"));
    let mut text = format!(
        "the same tuple, or one kind of them, fails in `{}` again and again: {} of its newest errors \
         say ({reason}) {}",
        component.name,
        errors.len(),
        cut(words)
    );
    if replayed > 0.0 {
        text += &format!("; {} are replayed", tuples(replayed));
    }
    if dead > 0.0 {
        text += &format!(", {} go to dead letters", rate(dead));
    }
    let next = if dead > 0.0 {
        "look at the stream of dead letters: it has the tuples".to_owned()
    } else {
        format!(
            "make `{}` return Ok for such tuples, or give its spout `t.replaying` with a limit, \
             so that they end as dead letters",
            component.name
        )
    };
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred errors are kept")]
    let count = errors.len() as f64;
    Some(
        Finding::new("poison-tuple", Severity::Warning, text)
            .of(&component.name)
            .at_task(newest.task)
            .at_worker(newest.worker)
            .next(next)
            .shown_by("same_errors", count)
            .shown_by("replayed_per_second", replayed),
    )
}

/// Many tuples of a component fail, by its own errors or by the timeout.
pub(super) fn failing(figures: &Figures) -> Vec<Finding> {
    let mut findings = Vec::new();
    for component in &figures.components {
        let by = |reasons: &[&str]| {
            reasons.iter().filter_map(|it| component.failing.get(*it)).sum::<f64>()
        };
        let done = component.minute.acked + component.minute.failed;
        let share = |failed: f64| failed / done.max(failed).max(0.001);
        let own =
            by(&["error", "panic", "dropped-guard", "too-large", "too-much-output", "no-target"]);
        // A spout's failures are what its bolts failed.
        if !component.spout && share(own) >= MANY && poison_of(figures, component).is_none() {
            let newest = component.errors.first();
            let says = newest.map(|it| format!(", the newest: {}", cut(&it.text)));
            let text = format!(
                "{} of the tuples of `{}` fail ({}){}",
                percent(share(own)),
                component.name,
                rate(own),
                says.unwrap_or_default()
            );
            let next = format!("squall describe {} shows the newest errors", figures.name);
            findings.push(
                Finding::new("errors", Severity::Warning, text)
                    .of(&component.name)
                    .next(next)
                    .shown_by("failed_share", share(own)),
            );
        }
        findings.extend(away(component));
        let late = by(&["timeout"]);
        if late > 0.0 {
            let text = format!(
                "{} of `{}` time out: they were not done within {} s",
                tuples(late),
                component.name,
                figures.timeout_ms / 1_000
            );
            let next = "find what is slow or hangs (see what is above), or raise \
                        `message_timeout` if so long is normal";
            findings.push(
                Finding::new("timeouts", Severity::Warning, text)
                    .of(&component.name)
                    .next(next)
                    .shown_by("timeouts_per_second", late),
            );
        }
    }
    findings
}

/// Tuples come again and again since something that their bolt needs is away.
fn away(component: &Component) -> Option<Finding> {
    let failed = component.failing.get("unavailable").copied().unwrap_or_default();
    if component.spout || failed <= 0.0 {
        return None;
    }
    let newest = component.errors.iter().find(|error| error.reason == "unavailable");
    let says = newest.map(|error| format!(": {}", cut(&error.text)));
    let text = format!(
        "something that `{}` needs is away{}; {} come again until it is back",
        component.name,
        says.unwrap_or_default(),
        tuples(failed)
    );
    Some(
        Finding::new("unavailable", Severity::Warning, text)
            .of(&component.name)
            .next("look at the server that the error names; nothing is lost meanwhile")
            .shown_by("unavailable_per_second", failed),
    )
}
