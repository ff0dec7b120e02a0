//! The workers of one topology: ledgers, links, credits and routing, in clusters that live in memory.
//!
//! What decides is what workers run: `worker::engine`, with the frames of `worker::transport::codec`
//! and the edges of `worker::executor::anchoring`. What is here stands in for the shell around it
//! (threads, sockets, time) and for what workers do not see of a cluster.

mod bolt;
mod cluster;
mod env;
mod exits;
mod ghosts;
mod hub;
mod outbox;
mod plan;
mod process;
mod receiving;
pub(super) mod sabotage;
mod sending;
mod spout;
mod wires;
mod world;

use super::Lived;
use sabotage::Sabotage;
use world::World;

/// What must have happened in a thousand seeds: a simulation in which it does not is void.
pub(super) const MUST_HAPPEN: [&str; 24] = [
    "acked",
    "error",
    "panic",
    "dropped-guard",
    "timeout",
    "worker-lost",
    "link-lost",
    "crashes",
    "zombies",
    "pauses",
    "moves",
    "departures",
    "cuts",
    "duplicates",
    "gaps",
    "starts over",
    "frames lost",
    "fenced",
    "sessions replaced",
    "no answer",
    "gates closed",
    "gates opened",
    "joins",
    "generations",
];

/// Lives through the world of a seed.
pub(super) fn live(seed: u64, sabotage: Option<Sabotage>, traced: bool) -> Lived {
    let mut world = World::new(seed, sabotage, traced);
    let broken = super::broken(|| world.run());
    let mut counts = world.env.counts.clone();
    counts.extend(&world.env.ghosts.outcomes);
    let (trace_hash, last_steps) = (world.env.trace_hash, world.env.last_steps());
    Lived { counts, trace_hash, broken, last_steps }
}
