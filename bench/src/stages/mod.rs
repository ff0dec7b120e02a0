//! What a tuple costs at each stage of its way, in nanoseconds: the cost model.
//!
//! Every stage is the code that a worker runs, called on batches of 128 tuples and timed a batch at
//! a time; what has to be made ready before a call, and thrown away after it, is not timed. What
//! one look at the clock costs is measured and subtracted.

mod component;
mod paths;
mod trees;
mod wire;
mod words;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::figures::{as_f64, median, rounded};
use crate::meter::now_ns;
use crate::problem::Problem;
use crate::run::tell_machine;
use crate::{note, say};

/// Tuples of a batch: as many as leave an outbox at once.
const BATCH: usize = worker::executor::outbox::BATCH_TUPLES;

/// Batches of a round.
const BATCHES: u32 = 2_000;

/// The flags of `stages`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StagesArgs {
    /// How often each stage is measured
    #[arg(long, value_name = "N", default_value_t = 15,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// One line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// The line that is printed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stages {
    case: String,
    batch: usize,
    rounds: u32,
    pub(crate) stages: Vec<Stage>,
    round_trip_ns: [f64; 2],
    version: String,
}

/// One stage.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stage {
    /// Which.
    pub(crate) stage: String,
    /// Of what kind.
    pub(crate) what: String,
    /// Nanoseconds a tuple.
    pub(crate) median_ns: f64,
    pub(crate) least_ns: f64,
    pub(crate) greatest_ns: f64,
}

/// Measures stages, one after the other.
struct Bench {
    rounds: u32,
    /// What a look at the clock costs.
    clock_ns: f64,
    stages: Vec<Stage>,
}

/// Measures every stage and prints the table.
pub(crate) fn measure(args: &StagesArgs) -> Result<(), Problem> {
    let before = tell_machine("before");
    let mut bench = Bench { rounds: args.rounds, clock_ns: clock_ns(), stages: Vec::new() };
    component::emit(&mut bench)?;
    paths::route(&mut bench)?;
    paths::hand_over(&mut bench)?;
    component::execute(&mut bench)?;
    trees::ack(&mut bench)?;
    wire::encode_and_decode(&mut bench)?;
    let after = tell_machine("after");
    let stages = Stages {
        case: "stages".to_owned(),
        batch: BATCH,
        rounds: args.rounds,
        stages: bench.stages,
        round_trip_ns: [rounded(before), rounded(after)],
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    if !args.json {
        say(&table(&stages));
        return Ok(());
    }
    let line = serde_json::to_string(&stages)
        .map_err(|error| Problem::failed("the figures cannot be printed", error))?;
    say(&line);
    Ok(())
}

/// What two looks at the clock tell of nothing between them.
fn clock_ns() -> f64 {
    let looks = (0..10_000).map(|_| {
        let begun = now_ns();
        as_f64(now_ns() - begun)
    });
    median(&looks.collect::<Vec<_>>()).unwrap_or_default()
}

impl Bench {
    /// Measures what `run` does with what `ready` makes, a batch at a time.
    fn stage<S, R>(
        &mut self,
        (stage, what): (&str, &str),
        mut ready: impl FnMut() -> S,
        mut run: impl FnMut(S) -> R,
    ) {
        let clock_ns = self.clock_ns;
        self.rounds(stage, what, || {
            let mut timed = 0;
            for _ in 0..BATCHES {
                let made = ready();
                let begun = now_ns();
                let left = run(made);
                timed += now_ns() - begun;
                drop(left);
            }
            as_f64(timed) - clock_ns * f64::from(BATCHES)
        });
    }

    /// Measures what times itself: a round of batches, in nanoseconds.
    fn rounds(&mut self, stage: &str, what: &str, mut round: impl FnMut() -> f64) {
        // Once for the caches, and to let buffers grow.
        round();
        let tuples = f64::from(BATCHES) * as_f64(BATCH as u64);
        let each: Vec<f64> = (0..self.rounds).map(|_| round() / tuples).collect();
        let stage = Stage {
            stage: stage.to_owned(),
            what: what.to_owned(),
            median_ns: rounded(median(&each).unwrap_or_default()),
            least_ns: rounded(each.iter().copied().fold(f64::INFINITY, f64::min)),
            greatest_ns: rounded(each.iter().copied().fold(0.0, f64::max)),
        };
        note(&format!("{}: {}: {:.1} ns", stage.stage, stage.what, stage.median_ns));
        self.stages.push(stage);
    }
}

fn table(stages: &Stages) -> String {
    let row = |stage: &Stage| {
        let Stage { stage, what, median_ns, least_ns, greatest_ns } = stage;
        format!("{stage:<10} {what:<52} {median_ns:>7.1}  [{least_ns:.1} .. {greatest_ns:.1}]")
    };
    let mut lines = vec![format!("{:<10} {:<52} {:>7}", "stage", "what", "ns a tuple")];
    lines.extend(stages.stages.iter().map(row));
    lines.join("\n")
}
