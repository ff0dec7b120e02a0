//! What happened to a topology, and to the cluster, newest first.

use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::Engine;
use crate::engine::command::Refusal;
use crate::engine::events::Happened;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Events {
    /// The topology's name; `null` for the cluster.
    pub topology: Option<String>,
    /// The newest events, newest first.
    pub events: Vec<Happened>,
}

/// Lists what happened to a topology since this nimbus leads, and what the records tell of before.
///
/// # Errors
///
/// That there is no such topology.
pub fn of_topology(engine: &Engine, name: &str) -> Result<Events, Refusal> {
    let record = &engine.topology("show the events of", name)?.record;
    let timeline = engine.events().topologies.get(&record.id).map(|(_, timeline)| timeline);
    let events = timeline.map(|timeline| timeline.newest().cloned().collect());
    Ok(Events { topology: Some(record.name.clone()), events: events.unwrap_or_default() })
}

/// Lists what happened to the cluster since this nimbus leads.
#[must_use]
pub fn of_cluster(engine: &Engine) -> Events {
    Events { topology: None, events: engine.events().cluster.newest().cloned().collect() }
}
