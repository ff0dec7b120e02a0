//! The simulations of `./test`: a thousand seeds of each world, those that are kept, and the proof
//! that the checks see. What they are is told in `tests/sim/mod.rs`.

use std::io::Write;

use tests::sim::{World, kept_seeds, prove_checks, run_seeds};

/// Seeds of each world.
const SEEDS: u64 = 1_000;

/// Says something that the test harness does not swallow.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").expect("the standard output takes a line");
}

fn run(world: World) {
    match run_seeds(world, 0..SEEDS) {
        Ok(summary) => say(&summary.to_string()),
        Err(failure) => panic!("{failure}"),
    }
}

fn prove(world: World) {
    match prove_checks(world) {
        Ok(table) => say(&table),
        Err(table) => panic!("a deliberate fault was not caught\n{table}"),
    }
}

#[test]
fn no_seed_of_the_workers_breaks_a_promise() {
    run(World::Workers);
}

#[test]
fn no_seed_of_the_cluster_breaks_a_promise() {
    run(World::Cluster);
}

#[test]
fn every_deliberate_fault_of_the_cluster_is_caught() {
    prove(World::Cluster);
}

#[test]
fn every_deliberate_fault_of_the_workers_is_caught() {
    prove(World::Workers);
}

#[test]
fn no_seed_that_is_kept_breaks_its_promise_again() {
    for kept in kept_seeds() {
        if let Err(failure) = run_seeds(kept.world, kept.seed..kept.seed + 1) {
            panic!("it showed before: {}\n{failure}", kept.showed);
        }
    }
}

#[test]
fn a_seed_always_lives_the_same_life() {
    for world in World::ALL {
        let hashes: Vec<u64> = (0..5).map(|seed| world.live(seed).trace_hash).collect();
        let again: Vec<u64> = (0..5).map(|seed| world.live(seed).trace_hash).collect();
        assert_eq!(hashes, again, "{world:?}");
        assert!(hashes.windows(2).all(|pair| pair[0] != pair[1]), "another seed, another life");
    }
}
