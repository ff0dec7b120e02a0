//! A seeded simulation of the ledger, the links and the credits: whole clusters in memory, in which
//! everything that can go wrong does, and what the engine promises is held against what happened.
//!
//! What decides is what workers run: `worker::engine`, with the frames of `worker::transport::codec`
//! and the edges of `worker::executor::anchoring`. What is here stands in for the shell around it
//! (threads, sockets, time) and for what workers do not see of a cluster. A run hangs on its seed
//! alone.
//!
//! ```text
//! cargo test -p tests --test sim                        the seeds of `./test`
//! SQUALL_SIM_SEED=7 cargo test -p tests --test sim      exactly this one
//! SQUALL_SIM_SEEDS=20000 cargo test -p tests --test sim this many
//! ```

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
mod sending;
mod spout;
mod wires;
mod world;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::world::World;

/// Seeds that are run unless told otherwise.
const SEEDS: u64 = 1_000;

/// What must have happened in that many seeds: a simulation in which it does not is void.
const MUST_HAPPEN: [&str; 24] = [
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

/// What happened, by name, and a digest of all of it.
type Happened = (BTreeMap<&'static str, u64>, u64);

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`")))
}

/// Lives through the world of a seed.
///
/// # Panics
///
/// If a promise was broken: with the seed and the last steps.
fn run(seed: u64) -> Happened {
    let attempt = |traced| {
        let mut world = World::new(seed, traced);
        let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
        (world, ended)
    };
    let (world, ended) = attempt(false);
    if ended.is_ok() {
        let mut happened = world.env.counts;
        happened.extend(world.env.ghosts.outcomes);
        return (happened, world.env.digest);
    }
    // The same again, with a trace: it costs too much where all is well.
    let (world, ended) = attempt(true);
    let text = ended.err().map_or("it does not fail again".to_owned(), |panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
    });
    let trace: Vec<String> = world.env.trace.into_iter().flatten().collect();
    panic!(
        "seed {seed}: {text}\n\nthe last steps:\n{}\n\nagain: SQUALL_SIM_SEED={seed} cargo test -p tests --test sim",
        trace.join("\n"),
    );
}

/// Says something that the test harness does not swallow.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").expect("the standard output takes a line");
}

#[test]
fn no_seed_breaks_a_promise() {
    let first = number("SQUALL_SIM_SEED");
    let count = number("SQUALL_SIM_SEEDS").unwrap_or(SEEDS);
    let seeds = first.map_or(0..count, |seed| seed..seed + 1);
    say(&format!("simulating the seeds {seeds:?}"));
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds.clone() {
        for (what, count) in run(seed).0 {
            *happened.entry(what).or_default() += count;
        }
    }
    say(&format!("{} seeds: {happened:?}", seeds.end - seeds.start));
    if seeds.end - seeds.start >= SEEDS {
        let missing: Vec<_> = MUST_HAPPEN.iter().filter(|it| !happened.contains_key(*it)).collect();
        assert!(missing.is_empty(), "void: {missing:?} did not happen, only {happened:?}");
    }
}

#[test]
fn a_seed_always_lives_the_same_life() {
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
