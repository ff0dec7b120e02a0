//! What a page of metrics is made of, gathered while the engine serves others.
//!
//! The engine is asked about few topologies at a time, for all of them at once would hold it up; the page
//! is written elsewhere. So topologies on one page may be some milliseconds apart.

use std::collections::BTreeMap;

use daemon::listen::Security;
use serde::Deserialize;

use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::command::Refusal;
use crate::engine::counters::Packed;
use crate::engine::event::Now;
use crate::status::model::{self, Cluster, Supervisor, Topology};
use crate::status::topology::{Spreads, measured};

/// Topologies that the engine is asked about at a time.
const AT_A_TIME: usize = 4;

/// What is wanted of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::status) struct Wanted {
    /// Only this topology.
    pub(in crate::status) topology: Option<String>,
    /// With which histograms.
    pub(in crate::status) histograms: Histograms,
}

/// Which histograms are on a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::status) enum Histograms {
    /// None of them.
    #[serde(alias = "false")]
    None,
    /// Those of whole topologies.
    #[default]
    Topology,
    /// Those of every component too: they are half of the page.
    #[serde(alias = "true")]
    All,
}

/// A topology, and how what it measured is spread.
pub(super) struct Told {
    pub(super) topology: Topology,
    /// Of all its components together; of times only.
    pub(super) whole: Kept,
    /// Of each, in their order.
    pub(super) components: Vec<Kept>,
}

/// How something is spread, in few bytes: there are thousands of histograms on a page.
#[derive(Default)]
pub(super) struct Kept {
    /// Time in `execute`.
    pub(super) execute: Packed,
    /// Time from emit to ack.
    pub(super) complete: Packed,
    /// Values of the author's own, by name.
    pub(super) own: BTreeMap<String, Packed>,
}

impl Told {
    /// Keeps what is wanted.
    fn of((topology, spreads): (Topology, Vec<Spreads>), histograms: Histograms) -> Self {
        let mut whole = Spreads::default();
        for it in spreads.iter().filter(|_| histograms != Histograms::None) {
            whole.execute.merge(&it.execute);
            whole.complete.merge(&it.complete);
        }
        let components = spreads.iter().filter(|_| histograms == Histograms::All);
        let components = components.map(Kept::of).collect();
        Self { topology, whole: Kept::of(&whole), components }
    }
}

impl Kept {
    fn of(spreads: &Spreads) -> Self {
        let own = spreads.own.iter().map(|(name, it)| (name.clone(), Packed::of(it)));
        Self {
            execute: Packed::of(&spreads.execute),
            complete: Packed::of(&spreads.complete),
            own: own.collect(),
        }
    }
}

/// What a page is made of.
pub(in crate::status) struct Gathered {
    pub(super) own: Own,
    pub(super) security: Security,
    pub(super) wanted: Wanted,
    /// Nothing at a nimbus that does not lead: it knows only of itself.
    pub(super) led: Option<Led>,
}

/// What a nimbus knows of itself.
pub(super) struct Own {
    pub(super) leading: bool,
    pub(super) store_up: bool,
    pub(super) read_only: bool,
    pub(super) writing: bool,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) binaries_held: usize,
}

/// What a leader knows.
pub(super) struct Led {
    pub(super) cluster: Cluster,
    pub(super) supervisors: Vec<Supervisor>,
    pub(super) topologies: Vec<Told>,
}

/// Gathers what is wanted.
///
/// # Errors
///
/// That this nimbus is stopping.
pub(in crate::status) async fn gather(
    handle: &Handle,
    wanted: Wanted,
) -> Result<Gathered, Refusal> {
    let (name, security) = (handle.cluster().to_owned(), handle.security().clone());
    let only = wanted.topology.clone();
    let begin = {
        let security = security.clone();
        move |engine: &Engine, now: Now| {
            let led = engine.is_leading().then(|| begin(engine, (&name, &security), now));
            let names = engine.view().topologies.values().map(|it| it.record.name.clone());
            let names = names.filter(|name| only.as_ref().is_none_or(|only| only == name));
            let names: Vec<String> = names.filter(|_| led.is_some()).collect();
            (own(engine), led, names)
        }
    };
    let (own, mut led, names) = handle.look(begin).await?;
    for few in names.chunks(AT_A_TIME) {
        let few = few.to_vec();
        let told = handle.look(move |engine, now| {
            // One that was killed in the meantime is left out.
            few.iter().filter_map(|name| measured(engine, name, now).ok()).collect::<Vec<_>>()
        });
        let told = told.await?;
        if let Some(led) = &mut led {
            led.topologies.extend(told.into_iter().map(|it| Told::of(it, wanted.histograms)));
        }
    }
    Ok(Gathered { own, security, wanted, led })
}

fn own(engine: &Engine) -> Own {
    let read_only = engine.is_store_read_only();
    Own {
        leading: engine.is_leading(),
        store_up: engine.store_problem().is_none() || read_only,
        read_only,
        writing: engine.is_writing(),
        refused: engine.refused(),
        binaries_held: engine.binaries_held(),
    }
}

fn begin(engine: &Engine, cluster: (&str, &Security), now: Now) -> Led {
    Led {
        cluster: model::cluster(engine, cluster, now),
        supervisors: model::supervisors(engine, now),
        topologies: Vec::new(),
    }
}
