//! `squall top`: what the components of topologies do now, redrawn in place; one table on a pipe.

mod keys;
mod view;

use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::args::duration;
use crate::client::Client;
use crate::commands::{Globals, topology_name, topology_path, written};
use crate::error::Failure;
use crate::output;
use crate::status::{TopologyDetail, TopologySummary};
use keys::{Key, Keys};
use view::{Row, View};

/// Topologies that are looked at when none is named.
const TOPOLOGIES_MAX: usize = 50;

/// Flags of `squall top`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall top word-count\n  \
    squall top --sort queue --filter count       of all topologies\n  \
    squall top word-count | head                 one table\n  \
    squall top word-count -o json                one document\n\n\
    Keys: s sorts by the next column, r the other way, / filters (Enter ends), q ends.")]
pub(crate) struct Top {
    /// The topology [default: all]
    #[arg(value_parser = topology_name)]
    name: Option<String>,
    /// What comes first: the most of it
    #[arg(long, value_name = "COLUMN", value_enum, default_value_t = Sort::Busy,
        hide_possible_values = true)]
    sort: Sort,
    /// The least first
    #[arg(long)]
    reverse: bool,
    /// Only components whose name (or topology's name) has this in it
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// How often to look
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1s")]
    every: Duration,
    /// End after so many looks [default: never on a terminal, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
}

/// What rows are sorted by: `name`, `busy`, `rate`, `latency`, `queue`, `pressure` or `failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// As they are called.
    Name,
    /// The share of time they are busy.
    Busy,
    /// Tuples a second.
    Rate,
    /// The time that 99 of 100 do not pass.
    Latency,
    /// How full their mailboxes are.
    Queue,
    /// The share of time that they have no room ahead.
    Pressure,
    /// Failures a second.
    Failed,
}

/// Looks again and again, until it is told to end.
pub(crate) async fn run(top: Top, globals: &Globals) -> Result<(), Failure> {
    let mut client = globals.client();
    let live = io::stdout().is_terminal() && !globals.format.is_for_programs();
    let mut looks = top.count.or((!live).then_some(1));
    let mut view = View::new(top.sort, top.reverse, top.filter.clone());
    let every = top.every.max(Duration::from_millis(100));
    // Keys only where there are a screen to change and a keyboard.
    let mut keys = Keys::open(live);
    let screen = Screen::open(live);
    let mut signal = pin!(crate::daemons::signal());
    loop {
        let rows = look(&mut client, top.name.as_deref()).await?;
        if globals.format.is_for_programs() {
            let rows: Vec<Value> = view.chosen(&rows).into_iter().map(document).collect();
            globals.show_value(json!({ "components": rows }))?;
        } else if live {
            screen.draw(&view, &rows)?;
        } else {
            written(output::print(&view.table(&rows, globals.format)))?;
        }
        looks = looks.map(|left| left - 1);
        if looks == Some(0) {
            return Ok(());
        }
        let mut pause = pin!(tokio::time::sleep(every));
        loop {
            let key = tokio::select! {
                () = &mut pause => break,
                exit = &mut signal => return Err(Failure::early_end(exit)),
                key = keys.next() => key,
            };
            if key == Key::Quit {
                return Ok(());
            }
            view.press(key);
            screen.draw(&view, &rows)?;
        }
    }
}

/// The components of the topology, or of all.
async fn look(client: &mut Client, name: Option<&str>) -> Result<Vec<Row>, Failure> {
    const WHAT: &str = "cannot show what runs";
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => {
            let all: Vec<TopologySummary> = client.status(WHAT, "topologies").await?;
            all.into_iter().map(|it| it.name).take(TOPOLOGIES_MAX).collect()
        }
    };
    let mut rows = Vec::new();
    for topology in &names {
        match client.status::<TopologyDetail>(WHAT, &topology_path(topology)).await {
            Ok(detail) => {
                rows.extend(detail.components.into_iter().map(|it| Row::of(topology, it)));
            }
            // It went while we looked at the others.
            Err(failure) if name.is_none() && failure.exit == crate::error::Exit::NoInput => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(rows)
}

fn document(row: &Row) -> Value {
    json!({
        "topology": row.topology, "component": row.name, "kind": row.kind,
        "executors": row.executors, "tasks": row.tasks, "rate": row.rate,
        "failed_rate": row.failed, "p50_us": row.p50_us, "p99_us": row.p99_us,
        "queue_fill": row.queue_fill, "busy": row.busy, "back_pressured": row.back_pressured,
        "throttled": row.throttled, "idle": row.idle,
    })
}

/// The terminal's other screen, given back at the end.
struct Screen {
    live: bool,
}

impl Screen {
    fn open(live: bool) -> Self {
        if live {
            write("\x1b[?1049h\x1b[?25l");
        }
        Self { live }
    }

    fn draw(&self, view: &View, rows: &[Row]) -> Result<(), Failure> {
        if !self.live {
            return Ok(());
        }
        let (width, height) = keys::size();
        let lines = view.frame(rows, (width, height), std::env::var_os("NO_COLOR").is_none());
        let mut text = String::from("\x1b[H\x1b[?7l");
        for line in lines {
            text.push_str(&format!("{line}\x1b[K\r\n"));
        }
        text.push_str("\x1b[J\x1b[?7h");
        let mut out = io::stdout().lock();
        written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.live {
            write("\x1b[?25h\x1b[?1049l");
        }
    }
}

/// Nobody can be told if a terminal takes nothing.
fn write(text: &str) {
    let mut out = io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
