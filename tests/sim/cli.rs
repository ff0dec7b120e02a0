//! Runs simulations from the command line, as many as one likes: `--seeds N` for a summary, `--seed S`
//! for one life and its trace hash.

use std::io::Write;
use std::process::ExitCode;

use daemon::Clock;
use tests::sim::{World, kept_seeds, run_seeds};

const USAGE: &str = "usage: sim (--seeds N | --seed S | --kept) [--world WORLD|all]";

/// What was asked for.
struct Asked {
    seeds: Option<u64>,
    seed: Option<u64>,
    kept: bool,
    worlds: Vec<World>,
}

fn main() -> ExitCode {
    let asked = match parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(problem) => {
            let names = World::ALL.map(World::name).join(", ");
            say(&mut std::io::stderr(), &format!("{problem}\n{USAGE}\nworlds: {names}"));
            return ExitCode::from(64);
        }
    };
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&mut std::io::stderr(), &failure);
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let worlds = World::ALL.to_vec();
    let mut asked = Asked { seeds: None, seed: None, kept: false, worlds };
    while let Some(flag) = arguments.next() {
        if flag == "--kept" {
            asked.kept = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("`{flag}` needs a value"))?;
        let number = || value.parse().map_err(|_| format!("`{value}` is not a number"));
        match flag.as_str() {
            "--seeds" => asked.seeds = Some(number()?),
            "--seed" => asked.seed = Some(number()?),
            "--world" if value == "all" => {}
            "--world" => {
                let world = World::named(&value);
                asked.worlds = vec![world.ok_or_else(|| format!("no world is called `{value}`"))?];
            }
            _ => return Err(format!("there is no flag `{flag}`")),
        }
    }
    match (asked.seeds, asked.seed, asked.kept) {
        (Some(_), None, false) | (None, Some(_), false) | (None, None, true) => Ok(asked),
        _ => Err("ask for one of --seeds, --seed and --kept".to_owned()),
    }
}

fn run(asked: &Asked) -> Result<(), String> {
    let clock = Clock::system();
    for &world in &asked.worlds {
        let begun = clock.now();
        if let Some(seed) = asked.seed {
            run_seeds(world, seed..seed + 1)?;
            let lived = world.live(seed);
            let (name, hash, counts) = (world.name(), lived.trace_hash, lived.counts);
            tell(&format!("{name}: seed {seed}: trace hash {hash:016x}: {counts:?}"));
        } else if let Some(count) = asked.seeds {
            let summary = run_seeds(world, 0..count)?;
            let seconds = (clock.now() - begun).as_secs_f64();
            tell(&format!("{summary}\n{:.0} seeds/s", count as f64 / seconds));
        }
        for kept in kept_seeds().into_iter().filter(|kept| asked.kept && kept.world == world) {
            run_seeds(world, kept.seed..kept.seed + 1)?;
            tell(&format!("{}: seed {}: {}", world.name(), kept.seed, kept.showed));
        }
    }
    Ok(())
}

fn tell(text: &str) {
    say(&mut std::io::stdout(), text);
}

/// Whoever closed the pipe has seen enough.
fn say(out: &mut impl Write, text: &str) {
    writeln!(out, "{text}").ok();
}
