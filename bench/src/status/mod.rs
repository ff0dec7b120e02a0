//! What it costs nimbus to know and show a large cluster: memory, time and size of answers.
//!
//! Fifty topologies of a thousand tasks are the size that the figures of `docs/performance.md` are
//! promised for.

mod answers;
mod engine;
mod fill;
mod reports;
mod served;

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use self::answers::{Answer, Resident};
use self::engine::Engine;

use self::reports::Shape;
use crate::note;
use crate::problem::Problem;
use crate::run::{print, tell_machine};

/// The flags of `status`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Status {
    /// Topologies
    #[arg(long, value_name = "N", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=200))]
    topologies: u32,
    /// Tasks of each, one an executor
    #[arg(long, value_name = "N", default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(10..=10_000))]
    tasks: u32,
    /// Workers of each; there are as many supervisors
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=100))]
    workers: u32,
    /// How often each page is asked for
    #[arg(long, value_name = "N", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Show failures as JSON too, and nothing for people
    #[arg(long)]
    json: bool,
    /// Be the nimbus that is measured
    #[arg(long, hide = true)]
    serve: bool,
}

/// The line that is printed.
#[derive(Debug, Serialize)]
struct Figures {
    case: &'static str,
    topologies: u32,
    tasks: u32,
    workers: u32,
    rounds: u32,
    engine: Engine,
    process: Resident,
    answers: BTreeMap<String, Answer>,
}

/// Measures, and prints a line.
pub(crate) fn measure(status: &Status) -> Result<(), Problem> {
    let Status { topologies, tasks, workers, rounds, json, serve } = *status;
    // Each worker has as many tasks as every other, of every component.
    let tasks = tasks.next_multiple_of(workers * reports::COMPONENTS);
    let shape = Shape { topologies, tasks, workers };
    if serve {
        return served::serve(shape);
    }
    let before = tell_machine("before");
    let engine = engine::measure(shape)?;
    let (answers, process) = answers::measure(shape, rounds)?;
    let after = tell_machine("after");
    let case = "status";
    let figures = Figures { case, topologies, tasks, workers, rounds, engine, process, answers };
    if !json {
        note(&told(&figures));
    }
    print(&figures, [before, after])
}

/// The same as a table.
fn told(figures: &Figures) -> String {
    let Engine { packing_worker_ms, report_ms, tenth_ms, .. } = figures.engine;
    let Resident { full_mib, asked_mib, most_mib, .. } = figures.process;
    let mut lines = vec![
        format!(
            "its process after a day: {full_mib} MiB, {asked_mib} MiB once it was asked, {most_mib} \
             MiB at most"
        ),
        format!(
            "the engine was held up by a report for {report_ms} ms, by a tenth of a second for \
             {tenth_ms} ms; a thread by a worker's report for {packing_worker_ms} ms"
        ),
        format!("{:>9} {:>9} {:>9} {:>10}  page", "p50 ms", "p99 ms", "max ms", "bytes"),
    ];
    lines.extend(figures.answers.iter().map(|(page, it)| {
        format!("{:>9} {:>9} {:>9} {:>10}  {page}", it.p50_ms, it.p99_ms, it.max_ms, it.bytes)
    }));
    lines.join("\n")
}
