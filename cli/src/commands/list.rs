//! `squall list`: the topologies of the cluster.

use clap::Args;

use crate::commands::{Globals, written};
use crate::error::Failure;
use crate::output::{self, Format, age, grouped};
use crate::status::TopologySummary;
use crate::table::{Align, table};

/// Flags of `squall list`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall list\n  \
    squall list -o wide\n  \
    squall list -o json | jq '.items[].name'")]
pub(crate) struct List {}

/// Shows one line a topology.
pub(crate) async fn run(_: List, globals: &Globals) -> Result<(), Failure> {
    const WHAT: &str = "cannot list the topologies";
    let mut client = globals.client();
    if globals.format.is_for_programs() {
        return globals.show_document(&client.status_text(WHAT, "topologies").await?);
    }
    let topologies: Vec<TopologySummary> = client.status(WHAT, "topologies").await?;
    if topologies.is_empty() {
        output::note("no topology runs here; `squall submit BINARY` starts one");
        return Ok(());
    }
    written(output::print(&rows(topologies, globals.format == Format::Wide)))
}

fn rows(topologies: Vec<TopologySummary>, wide: bool) -> String {
    let mut headings = vec![
        ("NAME", Align::Left),
        ("STATUS", Align::Left),
        ("WORKERS", Align::Right),
        ("EXECUTORS", Align::Right),
        ("TASKS", Align::Right),
        ("AGE", Align::Right),
        ("DEAD LETTERS", Align::Right),
        ("REASON", Align::Left),
    ];
    if wide {
        headings.insert(1, ("ID", Align::Left));
    }
    let row = |it: TopologySummary| {
        let mut row = vec![
            it.name,
            it.status,
            it.workers.to_string(),
            it.executors.to_string(),
            it.tasks.to_string(),
            age(it.uptime_ms),
            grouped(it.dead_letters),
            it.reason,
        ];
        if wide {
            row.insert(1, it.id);
        }
        row
    };
    table(&headings, topologies.into_iter().map(row).collect())
}
