//! What is wrong with the cluster and its topologies, first what causes it.

use super::cluster::{Cluster, Nimbus};
use super::model;
use crate::engine::Engine;
use crate::engine::event::Now;
use crate::engine::findings::machines::{Machine, Machines, of_cluster};
use crate::engine::findings::{Finding, Severity};

/// More findings are not shown together.
const FINDINGS_MAX: usize = 50;

/// What is wrong with the cluster, and with any of its topologies beyond what is merely worth knowing:
/// as of a few seconds ago. Only the leader knows.
#[must_use]
pub fn of_all(engine: &Engine, cluster: &Cluster, now: Now) -> Vec<Finding> {
    if !engine.is_leading() {
        return Vec::new();
    }
    let topologies = engine.findings().values().flatten();
    let topologies = topologies.filter(|it| it.severity != Severity::Info).cloned();
    let mut all: Vec<Finding> =
        of_cluster(&machines(engine, cluster, now)).into_iter().chain(topologies).collect();
    all.sort_by_key(|finding| finding.severity);
    all.truncate(FINDINGS_MAX);
    all
}

fn machines(engine: &Engine, cluster: &Cluster, now: Now) -> Machines {
    let machine = |it: model::Supervisor| Machine {
        status: it.status.to_owned(),
        silence_ms: u64::try_from(engine.silence(&it.id, now).as_millis()).unwrap_or(u64::MAX),
        held_back: it.held_back,
        version: it.version,
        workers: it.slots_used,
        tls_problem: it.tls_problem,
        id: it.id,
    };
    let nimbus = |it: &Nimbus| (it.id.clone(), it.version.clone());
    Machines {
        version: cluster.version.to_owned(),
        store_problem: engine.store_problem(),
        supervisors: model::supervisors(engine, now).into_iter().map(machine).collect(),
        nimbuses: cluster.nimbuses.iter().map(nimbus).collect(),
        turned_away: engine.turned_away_of_late(),
    }
}
