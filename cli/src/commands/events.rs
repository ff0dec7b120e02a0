//! `squall events`: what happened to a topology or to the cluster, and why.

use std::time::Duration;

use clap::Args;
use daemon::Clock;
use serde_json::{Value, json};

use crate::client::Client;
use crate::commands::{Globals, topology_name, written};
use crate::error::Failure;
use crate::output::{self, Format, age, escape};
use crate::status::{EventStatus, EventsStatus};
use crate::table::{Align, table};

/// How often `--follow` looks again.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Flags of `squall events`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall events word-count           what happened to it, the newest last\n  \
    squall events word-count -f        and what happens from now on\n  \
    squall events                      of the cluster: machines, leaders\n\n\
    The leading nimbus keeps the newest 200 in memory.")]
pub(crate) struct Events {
    /// The topology [default: the cluster itself]
    #[arg(value_parser = topology_name)]
    name: Option<String>,
    /// Show what comes until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Show the newest so many
    #[arg(long, value_name = "N", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Shows what happened.
pub(crate) async fn run(events: Events, globals: &Globals) -> Result<(), Failure> {
    let (what, path) = match &events.name {
        Some(name) => {
            (format!("cannot show the events of `{name}`"), format!("topologies/{name}/events"))
        }
        None => ("cannot show the events of the cluster".to_owned(), "events".to_owned()),
    };
    let mut client = globals.client();
    let limit = usize::try_from(events.limit).unwrap_or(usize::MAX);
    if events.follow {
        return follow(&mut client, (&what, &path), limit, globals).await;
    }
    let mut document: Value = client.status(&what, &path).await?;
    if let Some(list) = document["events"].as_array_mut() {
        list.truncate(limit);
    }
    if globals.format.is_for_programs() {
        return globals.show_value(document);
    }
    let read: EventsStatus = serde_json::from_value(document).unwrap_or_default();
    if read.events.is_empty() {
        output::note("nothing happened since this nimbus leads");
        return Ok(());
    }
    let now_ms = Clock::system().wall_ms();
    written(output::print(&rows(&read.events, globals.format, now_ms)))
}

/// Shows each event once, as it comes; a new leader counts anew.
async fn follow(
    client: &mut Client,
    (what, path): (&str, &str),
    limit: usize,
    globals: &Globals,
) -> Result<(), Failure> {
    let (mut seen, mut first) = (0, true);
    loop {
        let mut read: EventsStatus = client.status(what, path).await?;
        let newest = read.events.iter().map(|event| event.number).max().unwrap_or(0);
        if newest < seen {
            seen = 0;
        }
        read.events.truncate(if first { limit } else { usize::MAX });
        for event in read.events.iter().rev().filter(|event| event.number > seen) {
            show(event, globals)?;
        }
        (seen, first) = (newest, false);
        tokio::time::sleep(FOLLOW_EVERY).await;
    }
}

fn show(event: &EventStatus, globals: &Globals) -> Result<(), Failure> {
    let EventStatus { at_ms, kind, text, worker, supervisor, number } = event;
    if globals.format.is_for_programs() {
        let row = json!({
            "number": number, "at_ms": at_ms, "kind": kind, "text": text, "worker": worker,
            "supervisor": supervisor,
        });
        return written(output::print_row(globals.format, &row));
    }
    let ago = age(Clock::system().wall_ms().saturating_sub(*at_ms));
    written(output::print(&format!("{ago:>7} ago  {:<18} {}", escape(kind), escape(text))))
}

fn rows(events: &[EventStatus], format: Format, now_ms: u64) -> String {
    let mut headings = vec![("AGO", Align::Right), ("KIND", Align::Left), ("WHAT", Align::Left)];
    let wide = format == Format::Wide;
    if wide {
        headings.splice(
            1..1,
            [("AT MS", Align::Right), ("WORKER", Align::Right), ("SUPERVISOR", Align::Left)],
        );
    }
    let row = |it: &EventStatus| {
        let ago = age(now_ms.saturating_sub(it.at_ms));
        let mut row = vec![ago, it.kind.clone(), it.text.clone()];
        if wide {
            let worker = it.worker.map(|worker| worker.to_string()).unwrap_or_default();
            let supervisor = it.supervisor.clone().unwrap_or_default();
            row.splice(1..1, [it.at_ms.to_string(), worker, supervisor]);
        }
        row
    };
    table(&headings, events.iter().rev().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_in_order_and_cannot_act_on_the_terminal() {
        let document = r#"{"topology":"wc","events":[
            {"number":2,"at_ms":9000,"kind":"worker-ended","text":"worker 1 panicked\u001b[2J","worker":1},
            {"number":1,"at_ms":1000,"kind":"submitted","text":"by somebody"}]}"#;
        let read: EventsStatus = serde_json::from_str(document).expect("a lenient model");
        let text = rows(&read.events, Format::Table, 10_000);
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.find("submitted") < text.find("worker-ended"), "the newest is last:\n{text}");
        assert!(rows(&read.events, Format::Wide, 10_000).contains("AT MS"));
    }
}
