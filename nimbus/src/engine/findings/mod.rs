//! What is wrong, first what causes it: sentences with their evidence and the next step.
//!
//! One group of rules a file; each looks at plain figures and says what it finds. What is found is
//! ranked: what stops work before what slows it, and of the same weight the cause before what follows
//! from it: a rule that knows of a cause is higher in the list of `RULES`.
//!
//! | file | finds |
//! |---|---|
//! | `placing` | not scheduled, quarantined |
//! | `workers` | crash loops, workers that hang, links that are down, memory near its limit |
//! | `pace` | hot tasks, the bottleneck |
//! | `failures` | poison tuples, components that fail, timeouts |
//! | `sources` | spouts limited by `max_pending`, sources without data |
//! | `machines` | of the cluster: the store, supervisors, versions, who was turned away |

mod failures;
pub mod machines;
mod pace;
mod placing;
mod sources;
mod workers;

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::figures::Figures;

/// More findings of one topology are not shown.
const FINDINGS_MAX: usize = 20;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not work.
    Critical,
    /// Something works less well than it could, or soon will not.
    Warning,
    /// Worth knowing.
    #[default]
    Info,
}

/// Something that is wrong.
///
/// ```
/// use nimbus::engine::findings::{Finding, Severity};
///
/// let finding = Finding::new("timeouts", Severity::Warning, "3 tuples a second time out".to_owned())
///     .of("count")
///     .next("raise `message_timeout`");
/// assert_eq!((finding.code, finding.component.as_deref()), ("timeouts", Some("count")));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Finding {
    /// What kind it is: a word that does not change.
    pub code: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong, with the numbers that show it.
    pub text: String,
    /// What to do: a command, or a setting.
    pub next: String,
    /// The topology it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// The component that causes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The task that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// The worker that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// The supervisor that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<String>,
    /// The numbers, for programs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<&'static str, f64>,
}

impl Finding {
    /// A finding of this kind.
    #[must_use]
    pub fn new(code: &'static str, severity: Severity, text: String) -> Self {
        Self { code, severity, text, ..Self::default() }
    }

    /// A component causes it.
    #[must_use]
    pub fn of(self, component: &str) -> Self {
        Self { component: Some(component.to_owned()), ..self }
    }

    /// A task causes it.
    #[must_use]
    pub fn at_task(self, task: u32) -> Self {
        Self { task: Some(task), ..self }
    }

    /// A worker causes it.
    #[must_use]
    pub fn at_worker(self, worker: u32) -> Self {
        Self { worker: Some(worker), ..self }
    }

    /// What to do about it.
    #[must_use]
    pub fn next(self, next: impl Into<String>) -> Self {
        Self { next: next.into(), ..self }
    }

    /// A number that shows it.
    #[must_use]
    pub fn shown_by(mut self, name: &'static str, number: f64) -> Self {
        self.evidence.insert(name, (number * 1_000.0).round() / 1_000.0);
        self
    }
}

/// What looks at figures.
type Rule = fn(&Figures) -> Vec<Finding>;

/// The rules, causes before what follows from them.
const RULES: [Rule; 12] = [
    placing::quarantined,
    placing::not_scheduled,
    workers::crash_loop,
    workers::hung,
    workers::link_down,
    pace::hot_task,
    pace::bottleneck,
    failures::poison,
    failures::failing,
    workers::memory,
    sources::max_pending,
    sources::no_data,
];

/// Finds what is wrong with a topology; nothing, if all is well.
///
/// ```
/// use nimbus::engine::figures::Figures;
/// use nimbus::engine::findings;
///
/// let waiting = Figures { unplaced: Some("waiting: no slot is free".to_owned()), ..Figures::default() };
/// assert_eq!(findings::of_topology(&waiting)[0].code, "not-scheduled");
/// assert!(findings::of_topology(&Figures::default()).is_empty(), "nothing is known to be wrong");
/// ```
#[must_use]
pub fn of_topology(figures: &Figures) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(figures)).collect();
    for finding in &mut findings {
        finding.topology = Some(figures.name.clone());
    }
    drop_what_follows(&mut findings);
    ranked(findings)
}

/// Puts the gravest first; of the same weight, causes stay before what follows from them.
fn ranked(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| finding.severity);
    findings.truncate(FINDINGS_MAX);
    findings
}

/// Leaves out what is no news beside its cause.
fn drop_what_follows(findings: &mut Vec<Finding>) {
    let found = |code: &str| findings.iter().any(|finding| finding.code == code);
    let (slow, down) = (found("bottleneck") || found("hot-task"), found("not-scheduled"));
    // Who waits for acks waits for whoever is slow; and what does not run gets no data.
    findings.retain(|it| match it.code {
        "max-pending" => !slow,
        "no-data" => !down,
        _ => true,
    });
}

/// A share, as people say it.
fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A rate, as people say it.
fn rate(per_second: f64) -> String {
    said(per_second, "")
}

/// So many tuples in a time, as people say it.
fn tuples(per_second: f64) -> String {
    said(per_second, " tuples")
}

fn said(per_second: f64, what: &str) -> String {
    match per_second {
        it if it >= 10.0 => format!("{it:.0}{what} a second"),
        it if it >= 0.95 => format!("{it:.1}{what} a second"),
        it => format!("{:.0}{what} a minute", (it * 60.0).max(1.0)),
    }
}

/// The last line of a text, cut to a length that fits a sentence.
fn last_line(text: &str) -> String {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    cut(line)
}

/// A text, cut to a length that fits a sentence.
fn cut(text: &str) -> String {
    const LONGEST: usize = 160;
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.chars().count() > LONGEST {
        true => line.chars().take(LONGEST).chain(['…']).collect(),
        false => line,
    }
}

#[cfg(test)]
mod tests;
