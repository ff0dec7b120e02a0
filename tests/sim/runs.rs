//! Many seeds, the seeds that are kept, and the proof that the checks see.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use super::World;

/// Seeds after which a run in which something never happened is void.
const ENOUGH: u64 = 1_000;

/// Seeds within which a deliberate fault must be caught.
const CAUGHT_WITHIN: u64 = 400;

/// What happened in many seeds.
///
/// ```
/// use tests::sim::{World, run_seeds};
///
/// let summary = run_seeds(World::Workers, 0..2).unwrap();
/// assert!(summary.to_string().starts_with("workers: 2 seeds"));
/// ```
#[derive(Clone, Debug)]
pub struct Summary {
    /// The kind of world.
    pub world: World,
    /// How many seeds.
    pub seeds: u64,
    /// What happened how often, by name.
    pub counts: BTreeMap<&'static str, u64>,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} seeds: {:?}", self.world.name(), self.seeds, self.counts)
    }
}

/// Lives through the worlds of these seeds.
///
/// # Errors
///
/// The first promise that was broken: with the last steps, and how to see it again. Or what never
/// happened, though there were a thousand seeds to happen in: then they prove nothing.
pub fn run_seeds(world: World, seeds: Range<u64>) -> Result<Summary, String> {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in seeds.clone() {
        for (what, count) in live(world, seed)? {
            *counts.entry(what).or_default() += count;
        }
    }
    let seeds = seeds.end - seeds.start;
    let never = |what: &&&str| !counts.contains_key(**what);
    let missing: Vec<_> = world.must_happen().iter().filter(never).collect();
    if seeds >= ENOUGH && !missing.is_empty() {
        return Err(format!("void: {missing:?} did not happen, only {counts:?}"));
    }
    Ok(Summary { world, seeds, counts })
}

fn live(world: World, seed: u64) -> Result<BTreeMap<&'static str, u64>, String> {
    let lived = world.live(seed);
    let Some(promise) = lived.broken else { return Ok(lived.counts) };
    let (name, steps) = (world.name(), lived.last_steps);
    Err(format!(
        "seed {seed} of the world of {name}: {promise}\n\nthe last steps:\n{steps}\n\n\
         again: cargo run --release -p tests --bin sim -- --world {name} --seed {seed}"
    ))
}

/// A seed that once broke a promise.
///
/// ```
/// let kept = tests::sim::kept_seeds();
/// assert!(kept.iter().all(|kept| !kept.showed.is_empty()), "{kept:?}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// In which world.
    pub world: World,
    /// The seed.
    pub seed: u64,
    /// What it showed.
    pub showed: String,
}

/// Reads the seeds that are kept, of `tests/sim/seeds.txt`.
///
/// # Panics
///
/// If a line of that file is not `world seed what it showed`.
#[must_use]
pub fn kept_seeds() -> Vec<Kept> {
    let lines = include_str!("seeds.txt").lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| kept(line).unwrap_or_else(|| panic!("not a seed: {line}"))).collect()
}

fn kept(line: &str) -> Option<Kept> {
    let (world, rest) = line.split_once(' ')?;
    let (seed, showed) = rest.trim().split_once(' ')?;
    let (world, seed) = (World::named(world)?, seed.parse().ok()?);
    Some(Kept { world, seed, showed: showed.trim().to_owned() })
}

/// Does every deliberate fault of a world, each until a check sees it, and returns them as a table:
/// what was done wrong, what that breaks, at which seed it was caught, and by which promise.
///
/// # Errors
///
/// The same table, if some fault was not caught.
pub fn prove_checks(world: World) -> Result<String, String> {
    let mut table = format!("deliberate faults in the world of {}:\n", world.name());
    let mut missed = 0;
    for (at, (name, breaks, first)) in world.faults().into_iter().enumerate() {
        let seeds = first..first + CAUGHT_WITHIN;
        let lives = seeds.map(|seed| (seed, world.try_to_live(seed, Some(at), false)));
        let caught = lives.filter_map(|(seed, lived)| Some((seed, lived.broken?))).next();
        let (seed, promise) = match caught {
            Some((seed, promise)) => (seed.to_string(), first_line(&promise)),
            None => ("-".to_owned(), "NOT CAUGHT".to_owned()),
        };
        missed += u32::from(seed == "-");
        writeln!(table, "{name:22} | {breaks:45} | seed {seed:>3} | {promise}")
            .expect("a text takes a line");
    }
    if missed == 0 { Ok(table) } else { Err(table) }
}

fn first_line(promise: &str) -> String {
    promise.lines().next().unwrap_or_default().chars().take(100).collect()
}
