//! The control plane: nimbuses, supervisors, the store, and clients that want something.
//!
//! What decides is what ships: the engines of `nimbus` and `supervisor`, the transactions that
//! plans become, and the store in memory, which the contract suite holds against a real etcd. The
//! loops around them are stood in for, as thinly as can be; so are the processes of workers, save for
//! their routing tables and what they say of executors that come and go.

mod client;
mod direct;
mod disk;
mod env;
mod events;
mod executors;
mod faults;
mod following;
mod history;
mod nimbus;
mod plan;
mod process;
mod registrar;
mod reporting;
mod rest;
pub(super) mod sabotage;
mod standing;
mod store;
mod supervisor;
mod witness;
mod world;

use super::Lived;
use sabotage::Sabotage;
use world::World;

/// What must have happened in a thousand seeds: a simulation in which it does not is void.
pub(super) const MUST_HAPPEN: [&str; 22] = [
    "adopted",
    "answered",
    "asked",
    "binaries freed",
    "compacted",
    "conflicts",
    "cut short",
    "direct",
    "elections",
    "given up",
    "leases lost",
    "let go",
    "lives on",
    "moves",
    "out of space",
    "processes",
    "repeated",
    "retired by a nimbus",
    "stopped and killed",
    "stops",
    "strays",
    "woken",
];

/// Lives through the cluster of a seed.
pub(super) fn live(seed: u64, sabotage: Option<Sabotage>, traced: bool) -> Lived {
    let mut world = World::new(seed, sabotage, traced);
    let broken = super::broken(|| world.run());
    let mut counts = world.env.counts.clone();
    if world.env.witness.moves > 0 {
        counts.insert("moves", world.env.witness.moves);
    }
    let (trace_hash, last_steps) = (world.env.trace_hash, world.env.last_steps());
    Lived { counts, trace_hash, broken, last_steps }
}
