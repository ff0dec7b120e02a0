//! `squall trace`: tuple trees of a running topology, hop by hop, with where their time went.

use std::time::Duration;

use clap::Args;
use proto::nimbus::TraceRequest;
use serde_json::Value;

use crate::args::duration;
use crate::commands::{Globals, topology_name, written};
use crate::error::{Exit, Failure};
use crate::output::{self, Format, escape, latency};
use crate::status::{HopStatus, TracesStatus, TreeStatus};
use crate::table::{Align, table};

/// The longest that a nimbus looks.
const TIME_MAX: Duration = Duration::from_secs(120);

/// How much longer than its time nimbus may take to answer.
const MARGIN: Duration = Duration::from_secs(15);

/// Flags of `squall trace`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall trace word-count                      some trees, as soon as they have ended\n  \
    squall trace word-count --slowest --for 10s  the slowest of all that were sampled in that time\n  \
    squall trace orders --failed -o wide         where and why trees fail")]
pub(crate) struct TraceTrees {
    /// The topology
    #[arg(value_parser = topology_name)]
    name: String,
    /// The slowest first, of all that are sampled in the time of `--for`
    #[arg(long)]
    slowest: bool,
    /// Only trees that failed
    #[arg(long)]
    failed: bool,
    /// How many trees are shown
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// For how long is looked, at most: up to 2m
    #[arg(long = "for", value_name = "DURATION", value_parser = time, default_value = "10s")]
    time: Duration,
    /// Only trees of this spout
    #[arg(long, value_name = "SPOUT")]
    component: Option<String>,
}

/// Times that nimbus does not refuse.
fn time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() || time > TIME_MAX {
        return Err("it is looked for up to 2m, and not for no time".to_owned());
    }
    Ok(time)
}

/// Has nimbus ask the workers, and shows what they saw.
pub(crate) async fn run(asked: TraceTrees, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot trace `{}`", asked.name);
    let request = TraceRequest {
        name: asked.name.clone(),
        for_ms: u64::try_from(asked.time.as_millis()).unwrap_or(u64::MAX).max(1),
        limit: asked.limit,
        slowest: asked.slowest,
        failed: asked.failed,
        component: asked.component.clone().unwrap_or_default(),
    };
    let traced = globals
        .client()
        .call(&what, async |mut nimbus| {
            let mut request = tonic::Request::new(request.clone());
            request.set_timeout(asked.time.saturating_add(MARGIN));
            nimbus.trace(request).await
        })
        .await?;
    if globals.format.is_for_programs() {
        return globals.show_document(&traced.json);
    }
    let document: Value = serde_json::from_str(&traced.json).unwrap_or_default();
    let read: TracesStatus = serde_json::from_value(document).unwrap_or_default();
    for remark in &read.remarks {
        output::note(&escape(remark));
    }
    if read.trees.is_empty() && read.seen == 0 {
        let why = format!("no tuple tree was seen within {}", seconds(read.looked_ms));
        let fix = "look for longer with `--for`; `squall top NAME` shows whether tuples flow";
        let fix = read.remarks.first().map_or(fix, String::as_str);
        return Err(Failure::new(Exit::Temporary, &what, why, fix));
    }
    for tree in &read.trees {
        written(output::print(&shown(tree, globals.format)))?;
    }
    output::note(&sums(&read, asked.failed));
    Ok(())
}

fn seconds(ms: u64) -> String {
    latency(Some(ms as f64 * 1_000.0))
}

/// How much of what there was has been seen.
fn sums(read: &TracesStatus, failed: bool) -> String {
    let sample = match read.one_in {
        0 | 1 => "each tree was looked at".to_owned(),
        many => format!("one tree in {} was looked at", output::grouped(many)),
    };
    let none = if failed && read.trees.is_empty() { "no tree failed; " } else { "" };
    let mut text = format!(
        "{none}{} of {} trees shown, {} failed, in {}; {sample}",
        read.trees.len(),
        read.seen,
        read.failed,
        seconds(read.looked_ms),
    );
    if read.left_out > 0 {
        text += &format!("; {} notes left out for lack of room", output::grouped(read.left_out));
    }
    text
}

/// One tree: a line about it, its hops, and what of it was not seen.
fn shown(tree: &TreeStatus, format: Format) -> String {
    let TreeStatus { id, outcome, component, took_us, .. } = tree;
    let reason = tree.reason.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
    let took = match outcome.as_str() {
        "open" => format!("open for {}", latency(*took_us)),
        _ => format!("{outcome}{reason} after {}", latency(*took_us)),
    };
    let from = if component.is_empty() { "a spout that was not seen" } else { component };
    let task = tree.task.map(|task| format!(" task {task}")).unwrap_or_default();
    let place = tree.worker.map(|worker| format!(" at worker {worker}")).unwrap_or_default();
    let mut text = escape(&format!("tree {id}: {took}, from {from}{task}{place}"));
    text.push('\n');
    text += &hops(tree, format);
    text.push('\n');
    if tree.hops_left_out > 0 {
        text += &format!("  and {} more tuples\n", tree.hops_left_out);
    }
    for hole in &tree.holes {
        text += &format!("  - {}\n", escape(hole));
    }
    text
}

fn hops(tree: &TreeStatus, format: Format) -> String {
    let wide = format == Format::Wide;
    let mut headings = vec![
        ("  HOP", Align::Left),
        ("TASK", Align::Right),
        ("WORKER", Align::Right),
        ("START", Align::Right),
        ("WAY", Align::Right),
        ("WAIT", Align::Right),
        ("EXECUTE", Align::Right),
        ("HELD", Align::Right),
        ("", Align::Left),
    ];
    if wide {
        headings.splice(3..3, [("HOST", Align::Left), ("SUPERVISOR", Align::Left)]);
        headings.insert(0, ("  NO", Align::Right));
        headings.push(("FROM", Align::Left));
    }
    let row = |hop: &HopStatus| {
        let mut row = vec![
            format!("  {}{}", "  ".repeat(hop.depth.min(20)), hop.component),
            hop.task.to_string(),
            hop.worker.map_or("-".to_owned(), |worker| worker.to_string()),
            latency(Some(hop.start_us)),
            latency(hop.way_us),
            latency(hop.wait_us),
            latency(hop.execute_us),
            latency(hop.held_us),
            words(tree, hop),
        ];
        if wide {
            row.splice(3..3, [hop.host.clone(), hop.supervisor.clone()]);
            row.insert(0, format!("  {}", hop.number));
            let from: Vec<String> = hop.parents.iter().map(ToString::to_string).collect();
            row.push(match (from.is_empty(), hop.way_us) {
                (true, Some(_)) => "spout".to_owned(),
                // What it came of was not seen.
                (true, None) => "-".to_owned(),
                (false, _) => from.join(", "),
            });
        }
        row
    };
    table(&headings, tree.hops.iter().map(row).collect())
}

/// What is to be said of a hop, if anything.
fn words(tree: &TreeStatus, hop: &HopStatus) -> String {
    let mut words = Vec::new();
    match (hop.state.as_str(), &hop.reason) {
        ("acked", _) => {}
        ("failed", Some(reason)) => {
            let text = hop.text.as_ref().and_then(|text| text.lines().next());
            words.push(match text {
                Some(text) => format!("failed ({reason}): {text}"),
                None => format!("failed ({reason})"),
            });
        }
        ("unseen", _) => words.push("not seen".to_owned()),
        (state, _) => words.push(state.to_owned()),
    }
    if tree.widest == Some(hop.number) && tree.hops.len() > 1 {
        words.push("<- longest".to_owned());
    }
    if hop.fused {
        words.push("in the call of its sender".to_owned());
    }
    if let Some(apart) = hop.clocks_apart_us {
        words.push(format!("clocks {} apart", latency(Some(apart))));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> TreeStatus {
        let document = r#"{"id":"00c0000001000001","outcome":"failed","reason":"error",
            "component":"lines","task":0,"worker":0,"took_us":41200.0,"widest":1,"hops":[
            {"number":0,"component":"split","task":1,"worker":0,"state":"acked","start_us":3.0,
             "way_us":5.0,"wait_us":12.0,"execute_us":40.0,"held_us":0.0,"fused":true},
            {"number":1,"parents":[0],"depth":1,"component":"count","task":3,"worker":1,
             "state":"failed","reason":"error","text":"cannot take \u001b[2J\nmore","start_us":60.0,
             "way_us":5.0,"wait_us":40000.0,"execute_us":900.0,"clocks_apart_us":1500.0}],
            "holes":["tuples that were sent and not seen to arrive: 2"]}"#;
        serde_json::from_str(document).expect("a lenient model")
    }

    #[test]
    fn a_tree_shows_its_hops_where_it_failed_and_which_took_longest() {
        let text = shown(&tree(), Format::Table);
        let line = |of: &str| text.lines().find(|line| line.contains(of)).unwrap_or_default();
        assert!(text.starts_with("tree 00c0000001000001: failed (error) after 41.2ms, from lines"));
        assert!(line("  split").contains("in the call of its sender"), "{text}");
        let count = line("    count");
        assert!(count.contains("40.0ms") && count.contains("<- longest"), "{text}");
        assert!(
            count.contains("failed (error): cannot take") && !text.contains('\u{1b}'),
            "{text}"
        );
        assert!(count.contains("clocks 1.5ms apart"), "{text}");
        assert!(text.contains("  - tuples that were sent and not seen to arrive: 2"), "{text}");
        let wide = shown(&tree(), Format::Wide);
        assert!(wide.contains("SUPERVISOR") && wide.contains("FROM"), "{wide}");
    }

    #[test]
    fn the_sample_is_said_and_that_none_failed() {
        let read = TracesStatus { seen: 40, one_in: 1024, looked_ms: 10_000, ..Default::default() };
        let text = sums(&read, true);
        assert!(text.contains("no tree failed") && text.contains("one tree in 1 024"), "{text}");
    }
}
