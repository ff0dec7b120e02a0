//! Findings, events, rates and times: what nimbus says of how a topology does.

use serde::Deserialize;

/// Something that is wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FindingStatus {
    /// What kind it is.
    pub(crate) code: String,
    /// "critical", "warning" or "info".
    pub(crate) severity: String,
    /// What is wrong.
    pub(crate) text: String,
    /// What to do.
    pub(crate) next: String,
}

/// `topologies/NAME/events`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventsStatus {
    /// The newest first.
    pub(crate) events: Vec<EventStatus>,
}

/// Something that happened.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventStatus {
    /// Rises by one with each.
    pub(crate) number: u64,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// What kind it is.
    pub(crate) kind: String,
    /// What happened, and why.
    pub(crate) text: String,
    /// The worker it is about.
    pub(crate) worker: Option<u32>,
    /// The supervisor it is about.
    pub(crate) supervisor: Option<String>,
}

/// Tuples a second.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RatesStatus {
    /// Emitted.
    pub(crate) emitted: f64,
    /// Executed.
    pub(crate) executed: f64,
    /// Acked.
    pub(crate) acked: f64,
    /// Failed.
    pub(crate) failed: f64,
}

/// Of each second, how many ms executors were in which state.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TimeStatus {
    /// Busy.
    pub(crate) busy: f64,
    /// Without room ahead.
    pub(crate) back_pressured: f64,
    /// Waiting for acks.
    pub(crate) throttled: f64,
    /// Without anything to do.
    pub(crate) idle: f64,
}
