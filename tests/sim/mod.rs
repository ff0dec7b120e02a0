//! Seeded simulations: clusters that live in memory, in which everything that can go wrong does, and
//! what the engines promise is held against what happened.
//!
//! The engines are those that ship. What is here stands in for the shells around them (threads,
//! sockets, disks, time). A run hangs on its seed alone.
//!
//! ```text
//! cargo test -p tests --test sim                                      the seeds of `./test`
//! cargo run --release -p tests --bin sim -- --seed 7 --world workers  exactly this one
//! cargo run --release -p tests --bin sim -- --seeds 20000             this many, in every world
//! ```

mod calendar;
mod cluster;
mod runs;
mod workers;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use runs::{Kept, Summary, kept_seeds, prove_checks, run_seeds};

/// A kind of simulated world.
///
/// ```
/// use tests::sim::World;
///
/// assert_eq!(World::named("workers"), Some(World::Workers));
/// assert_eq!(World::Workers.live(3), World::Workers.live(3), "the same seed, the same life");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// The workers of a topology, with their ledgers, links and credits.
    Workers,
    /// The nimbuses, supervisors and clients of a cluster, with their store.
    Cluster,
}

/// How a life went.
///
/// ```
/// let lived = tests::sim::World::Workers.live(0);
/// assert_eq!(lived.broken, None);
/// assert!(lived.counts["acked"] > 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lived {
    /// What happened how often, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// A digest of all that happened.
    pub trace_hash: u64,
    /// The promise that was broken, if one was.
    pub broken: Option<String>,
    /// The last steps before that, if it was.
    pub last_steps: String,
}

impl World {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Workers, Self::Cluster];

    /// Returns what it is called on command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Workers => "workers",
            Self::Cluster => "cluster",
        }
    }

    /// Finds a kind of world by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|world| world.name() == name)
    }

    /// Lives through the world of this seed; once more with a trace if a promise is broken.
    #[must_use]
    pub fn live(self, seed: u64) -> Lived {
        let lived = self.try_to_live(seed, None, false);
        match lived.broken {
            None => lived,
            // A trace costs too much where all is well.
            Some(_) => self.try_to_live(seed, None, true),
        }
    }

    /// Lives through it once, with a fault of this number in its list of deliberate ones.
    fn try_to_live(self, seed: u64, fault: Option<usize>, traced: bool) -> Lived {
        match self {
            Self::Workers => {
                let sabotage = fault.map(|at| workers::sabotage::ALL[at].0);
                workers::live(seed, sabotage, traced)
            }
            Self::Cluster => {
                let sabotage = fault.map(|at| cluster::sabotage::ALL[at].0);
                cluster::live(seed, sabotage, traced)
            }
        }
    }

    /// Names each deliberate fault, what it breaks, and a seed near one that shows it.
    fn faults(self) -> Vec<(&'static str, &'static str, u64)> {
        match self {
            Self::Workers => workers::sabotage::ALL.iter().map(|it| (it.1, it.2, it.3)).collect(),
            Self::Cluster => cluster::sabotage::ALL.iter().map(|it| (it.1, it.2, it.3)).collect(),
        }
    }

    /// What must happen in a thousand seeds.
    fn must_happen(self) -> &'static [&'static str] {
        match self {
            Self::Workers => &workers::MUST_HAPPEN,
            Self::Cluster => &cluster::MUST_HAPPEN,
        }
    }
}

/// Runs a life to its end, or to the first promise that is broken, and says which.
fn broken(life: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(life)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Some(text.unwrap_or_else(|| "a panic without a text".to_owned()))
}
