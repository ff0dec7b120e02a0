//! `squall plan`: what a submit or a rebalance would change, without doing it.
//!
//! Nimbus checks and places it as it would if it were meant, and writes nothing.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use proto::nimbus::{PlanRequest, plan_request};
use serde::Deserialize;

use crate::client::unary;
use crate::commands::rebalance::{self, Rebalance};
use crate::commands::submit::{self, Submit};
use crate::commands::{Globals, written};
use crate::error::Failure;
use crate::output::{self, escape};
use crate::table::{Align, table};

/// Flags of `squall plan`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall plan submit ./word_count --workers 4\n  \
    squall plan rebalance word-count -e count=8\n\n\
    It takes the flags of the verb, and changes nothing.")]
pub(crate) struct Plan {
    /// What would be done.
    #[command(subcommand)]
    verb: What,
}

/// What would be done.
#[derive(Debug, Subcommand)]
enum What {
    /// Give a topology to the cluster to run
    Submit(Submit),
    /// Spread a topology anew, or change its workers or parallelism
    Rebalance(Rebalance),
}

/// What nimbus foresees.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Forecast {
    topology: String,
    changes: bool,
    explanation: String,
    tasks_moved: u32,
    tasks_started: u32,
    before: Vec<Worker>,
    after: Vec<Worker>,
}

/// A worker that is or would be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Worker {
    worker: u32,
    supervisor: String,
    slot: u32,
    executors: BTreeMap<String, u32>,
}

/// Asks nimbus what would be.
pub(crate) async fn run(plan: Plan, globals: &Globals) -> Result<(), Failure> {
    let (what, asked) = match plan.verb {
        What::Submit(submit) => {
            let what = format!("cannot plan to submit {}", submit.binary.display());
            let defaults = globals.file.topology_pairs()?;
            let prepared = submit::prepare(&what, &submit, defaults).await?;
            (what, plan_request::What::Submit(prepared.begin(&submit)))
        }
        What::Rebalance(rebalance) => {
            let what = format!("cannot plan to rebalance `{}`", rebalance.name);
            let request = rebalance::request(&what, rebalance)?;
            (what, plan_request::What::Rebalance(request))
        }
    };
    let request = PlanRequest { what: Some(asked) };
    let mut client = globals.client();
    let reply =
        client.call(&what, async |mut nimbus| nimbus.plan(unary(request.clone())).await).await?;
    if globals.format.is_for_programs() {
        return globals.show_document(&reply.json);
    }
    let forecast: Forecast = serde_json::from_str(&reply.json).unwrap_or_default();
    written(output::print(&text(&forecast)))
}

fn text(forecast: &Forecast) -> String {
    let Forecast { topology, explanation, tasks_moved, tasks_started, .. } = forecast;
    let name = escape(topology);
    let mut text = match (forecast.after.is_empty(), forecast.changes) {
        (true, _) => format!("`{name}` would wait"),
        (false, false) => format!("nothing would change for `{name}`"),
        (false, true) => {
            format!("of `{name}`, {tasks_started} tasks would start and {tasks_moved} would move")
        }
    };
    if !explanation.is_empty() {
        text += &format!(": {}", escape(explanation));
    }
    let headings = [
        ("", Align::Left),
        ("WORKER", Align::Right),
        ("SUPERVISOR", Align::Left),
        ("SLOT", Align::Right),
        ("EXECUTORS", Align::Left),
    ];
    let rows = rows(forecast);
    if !rows.is_empty() {
        text += &format!("\n\n{}", table(&headings, rows));
    }
    text
}

/// What goes, what comes, and what stays, as `diff` marks it.
fn rows(forecast: &Forecast) -> Vec<Vec<String>> {
    let row = |mark: &str, it: &Worker| {
        let executors: Vec<String> =
            it.executors.iter().map(|(name, count)| format!("{name} x{count}")).collect();
        let (worker, slot) = (it.worker.to_string(), it.slot.to_string());
        vec![mark.to_owned(), worker, it.supervisor.clone(), slot, executors.join(", ")]
    };
    // If it would wait, what there is stays.
    let goes = |it: &&Worker| !forecast.after.is_empty() && !forecast.after.contains(it);
    let mut rows: Vec<_> = forecast.before.iter().filter(goes).map(|it| row("-", it)).collect();
    for worker in &forecast.after {
        rows.push(row(if forecast.before.contains(worker) { " " } else { "+" }, worker));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_marks_what_goes_and_what_comes() {
        let worker = |worker: u32, count: u32| Worker {
            worker,
            supervisor: "m1".into(),
            slot: worker,
            executors: [("count".to_owned(), count)].into(),
        };
        let mut forecast = Forecast {
            topology: "wc".into(),
            changes: true,
            tasks_moved: 2,
            before: vec![worker(0, 4), worker(2, 1)],
            after: vec![worker(0, 2), worker(1, 2), worker(2, 1)],
            ..Forecast::default()
        };
        let text = text(&forecast);
        assert!(text.contains("0 tasks would start and 2 would move"), "{text}");
        let marks: Vec<String> = rows(&forecast).into_iter().map(|row| row[0].clone()).collect();
        assert_eq!(marks, ["-", "+", "+", " "]);
        forecast.after.clear();
        forecast.explanation = "waiting: no slot is free".into();
        assert!(super::text(&forecast).contains("would wait: waiting: no slot"), "it waits");
        assert!(rows(&forecast).is_empty(), "what there is stays");
    }
}
