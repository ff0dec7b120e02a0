//! How many dead letters there are, as the supervisors that keep them report.

use std::collections::BTreeMap;

use proto::supervisor::LettersReport;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::Engine;

/// The dead letters of a topology that supervisors keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadLetters {
    /// How many there are.
    pub kept: u64,
    /// How many of them are being replayed.
    pub replaying: u64,
    /// What they count as.
    pub bytes: u64,
    /// How often one was refused because a supervisor had no room for it, since that started.
    pub refused: u64,
}

/// What supervisors report of a topology, by its id.
fn reports<'a>(engine: &'a Engine, topology: &'a str) -> impl Iterator<Item = &'a LettersReport> {
    let supervisors = engine.reports().supervisors.values();
    supervisors.flat_map(|latest| &latest.report.letters).filter(move |it| it.topology == topology)
}

/// The dead letters of a topology.
pub(super) fn of(engine: &Engine, topology: &str) -> DeadLetters {
    let mut letters = DeadLetters::default();
    for report in reports(engine, topology) {
        letters.kept += report.by_component.values().sum::<u64>();
        letters.replaying += report.replaying;
        letters.bytes += report.bytes;
        letters.refused += report.refused;
    }
    letters
}

/// The same by component.
pub(super) fn by_component(engine: &Engine, topology: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (component, count) in reports(engine, topology).flat_map(|it| &it.by_component) {
        *all.entry(component.clone()).or_default() += count;
    }
    all
}
