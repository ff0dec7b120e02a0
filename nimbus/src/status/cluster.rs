//! The cluster as a whole: who leads, who stands by, what there is, and how its store is.

use std::collections::BTreeMap;

use daemon::listen::Security;
use daemon::tls::Tls;
use serde::Serialize;
use utoipa::ToSchema;

use super::findings;
use super::turned::{self, Turned};
use crate::engine::Engine;
use crate::engine::event::Now;
use crate::engine::findings::Finding;
use crate::engine::liveness::Verdict;

/// The cluster as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Cluster {
    /// Its name.
    pub cluster: String,
    /// The version of the nimbus that says so.
    pub version: &'static str,
    /// Its clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// The nimbus that leads; `null` while nobody does.
    pub leader: Option<Leader>,
    /// Supervisors that are not lost.
    pub supervisors: usize,
    /// Their slots.
    pub slots: u32,
    /// Slots that workers are assigned to.
    pub slots_used: usize,
    /// Topologies, in whatever status.
    pub topologies: usize,
    /// Workers that are assigned.
    pub workers: usize,
    /// `ok`, or why nothing can be written to the coordination store.
    pub store: String,
    /// Nimbuses that are up.
    pub nimbuses: Vec<Nimbus>,
    /// What was refused because who sent it was out of date, by kind.
    pub refused: BTreeMap<String, u64>,
    /// Whose reports this nimbus did not take, since it leads.
    pub turned_away: Vec<Turned>,
    /// How the nimbus that says so listens: `loopback`, `tls` or `insecure`.
    pub security: &'static str,
    /// Connections of that nimbus that one end refused, by reason.
    pub tls_refused: BTreeMap<String, u64>,
    /// Why changed TLS files are not in use there; empty if they are.
    pub tls_problem: String,
    /// What is wrong, first what causes it: of the cluster, and of any topology.
    pub findings: Vec<Finding>,
    /// Set if a nimbus answers that does not lead.
    pub standby: Option<Standby>,
}

/// A nimbus that is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Nimbus {
    /// Its id.
    pub id: String,
    /// Whether it leads.
    pub leads: bool,
    /// Its gRPC endpoint.
    pub address: String,
    /// Its status endpoint.
    pub http: String,
    /// Its version.
    pub version: String,
    /// How many binaries it holds.
    pub binaries: usize,
}

/// What a nimbus that does not lead says beside its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Standby {
    /// Its id.
    pub id: String,
    /// The leader's gRPC endpoint; `null` while none is known.
    pub leader: Option<String>,
    /// What it does not know.
    pub unknown: String,
}

/// The nimbus that leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Leader {
    /// Its id.
    pub id: String,
    /// Its gRPC endpoint.
    pub address: String,
    /// Its status endpoint.
    pub http: String,
}

/// Describes the cluster as a whole: its name is `name`, and the nimbus that says so listens as
/// `security` says.
#[must_use]
pub fn cluster(engine: &Engine, (name, security): (&str, &Security), now: Now) -> Cluster {
    let view = engine.view();
    let supervisors: Vec<_> = engine
        .supervisors()
        .iter()
        .filter(|(id, _)| !engine.is_leading() || engine.verdict(id, now) != Verdict::Lost)
        .collect();
    let assigned = view.all_in_force().count();
    let mut shown = Cluster {
        cluster: name.to_owned(),
        version: crate::VERSION,
        now_ms: now.wall_ms,
        leader: view.leader.as_ref().map(|leader| Leader {
            id: leader.nimbus_id.clone(),
            address: leader.address.clone(),
            http: leader.http_address.clone(),
        }),
        supervisors: supervisors.len(),
        slots: supervisors.iter().map(|(_, record)| record.slots).sum(),
        slots_used: assigned,
        topologies: view.topologies.len(),
        workers: assigned,
        store: engine.store_problem().unwrap_or_else(|| "ok".to_owned()),
        nimbuses: nimbuses(engine),
        refused: engine.refused(),
        turned_away: turned::by_nimbus(engine),
        security: security.name(),
        tls_refused: security.tls().map(Tls::refusals).unwrap_or_default(),
        tls_problem: security.tls().and_then(Tls::problem).unwrap_or_default(),
        findings: Vec::new(),
        standby: standby(engine),
    };
    shown.findings = findings::of_all(engine, &shown, now);
    shown
}

fn nimbuses(engine: &Engine) -> Vec<Nimbus> {
    let leader = engine.view().leader.as_ref();
    let nimbus = |(id, record): (&String, &proto::store::NimbusRecord)| Nimbus {
        id: id.clone(),
        leads: leader.is_some_and(|leader| leader.nimbus_id == *id),
        address: record.address.clone(),
        http: record.http_address.clone(),
        version: record.version.clone(),
        binaries: record.digests.len(),
    };
    engine.view().nimbuses.iter().map(nimbus).collect()
}

pub(super) fn standby(engine: &Engine) -> Option<Standby> {
    engine.standby().map(|said| Standby {
        id: said.nimbus_id,
        leader: Some(said.leader).filter(|leader| !leader.is_empty()),
        unknown: said.unknown,
    })
}
