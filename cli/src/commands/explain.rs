//! `squall explain`: what is wrong with a topology, why its tasks are where they are, and what would
//! make it faster.
//!
//! What is wrong is found by nimbus (`docs/operating.md` lists the rules); here it is told.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use crate::commands::{Globals, topology_name, topology_path, written};
use crate::error::Failure;
use crate::output::{self, escape};
use crate::status::{ComponentStatus, FindingStatus, TopologyDetail, WorkerStatus};

/// Flags of `squall explain`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall explain word-count                            the bottleneck, what waits, and why\n  \
    squall explain word-count -o json | jq .findings")]
pub(crate) struct Explain {
    /// The topology
    #[arg(value_parser = topology_name)]
    name: String,
}

/// Shows what is wrong first, then where everything is.
pub(crate) async fn run(explain: Explain, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot explain `{}`", explain.name);
    let mut client = globals.client();
    let mut document: Value = client.status(&what, &topology_path(&explain.name)).await?;
    let topology: TopologyDetail = serde_json::from_value(document.clone()).unwrap_or_default();
    if globals.format.is_for_programs() {
        let workers: Vec<Value> = topology.workers.iter().map(|it| placed(&topology, it)).collect();
        return globals.show_value(json!({
            "topology": topology.name, "status": topology.status, "reason": topology.reason,
            "findings": document["findings"].take(), "workers_wanted": topology.workers_wanted,
            "workers": workers, "placement": placement(&topology), "pace": pace(&topology),
        }));
    }
    written(output::print(&text(&topology)))
}

fn text(topology: &TopologyDetail) -> String {
    let TopologyDetail { name, status, reason, workers, .. } = topology;
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let mut text = escape(&format!("`{name}` is {status}{because}"));
    text += "\n\nWHAT IS WRONG";
    if topology.findings.is_empty() {
        text += "\n  nothing was found (what is found is some seconds old, and needs traffic)";
    }
    for (number, finding) in topology.findings.iter().enumerate() {
        text += &format!("\n{:>3}. {}", number + 1, wrong(finding));
    }
    text += "\n\nWHERE TIME GOES";
    for line in pace(topology) {
        text += &format!("\n  {}", escape(&line));
    }
    text += "\n\nWHERE TASKS ARE, AND WHY";
    for line in placement(topology) {
        text += &format!("\n  {}", escape(&line));
    }
    for worker in workers {
        let inside: Vec<String> = inside(topology, worker)
            .into_iter()
            .map(|(name, count)| format!("{name} x{count}"))
            .collect();
        let line = format!(
            "worker {} on {} slot {} ({}): {}",
            worker.worker,
            worker.supervisor,
            worker.slot,
            worker.state,
            inside.join(", ")
        );
        text += &format!("\n  {}", escape(&line));
    }
    text
}

fn wrong(finding: &FindingStatus) -> String {
    let next = if finding.next.is_empty() {
        String::new()
    } else {
        format!("\n     next: {}", escape(&finding.next))
    };
    let (severity, code) = (escape(&finding.severity), escape(&finding.code));
    format!("{severity} ({code}): {}{next}", escape(&finding.text))
}

/// A sentence a component about what it does with its time.
fn pace(topology: &TopologyDetail) -> Vec<String> {
    let sentence = |it: &ComponentStatus| {
        let Some(time) = &it.time else { return format!("{}: not known yet", it.name) };
        let percent = |ms: f64| format!("{:.0}%", ms / 10.0);
        let capacity = it.capacity.unwrap_or(0.0);
        let could = if capacity > 0.01 && it.kind == "bolt" {
            let most = it.rates_10s.executed / capacity;
            format!("; {} executors could take about {most:.0}/s", it.executors)
        } else {
            String::new()
        };
        format!(
            "{}: busy {}, back-pressured {}, throttled {}, idle {}; its fullest mailbox is {:.0}% full{could}",
            it.name,
            percent(time.busy),
            percent(time.back_pressured),
            percent(time.throttled),
            percent(time.idle),
            it.queue_fill * 100.0,
        )
    };
    topology.components.iter().map(sentence).collect()
}

/// The rules that led to where tasks are.
fn placement(topology: &TopologyDetail) -> Vec<String> {
    let executors: u32 = topology.components.iter().map(|it| it.executors).sum();
    let (have, want) = (topology.workers.len(), topology.workers_wanted);
    if have == 0 {
        return vec!["nothing of it is placed: see above what it waits for".to_owned()];
    }
    let mut machines: BTreeMap<&str, usize> = BTreeMap::new();
    for worker in &topology.workers {
        *machines.entry(&worker.supervisor).or_default() += 1;
    }
    let machines: Vec<String> =
        machines.iter().map(|(machine, count)| format!("{count} on {machine}")).collect();
    let mut lines = vec![format!(
        "{have} of {want} workers: {}. Workers go to the supervisors with the fewest, evenly",
        machines.join(", ")
    )];
    if u32::try_from(have).is_ok_and(|have| have < want) {
        let why = if executors < want {
            format!("there are {executors} executors, and a worker needs one")
        } else {
            "there was no free slot for more; `squall rebalance` uses those that come".to_owned()
        };
        lines.push(format!("{want} workers were asked for: {why}"));
    }
    lines.push(format!(
        "{executors} executors are dealt evenly, component by component, and stay where they run \
         as long as that is even"
    ));
    lines
}

/// How many executors of each component a worker has: they are numbered component by component.
fn inside<'a>(topology: &'a TopologyDetail, worker: &WorkerStatus) -> Vec<(&'a str, usize)> {
    let mut first = 0;
    let mut all = Vec::new();
    for component in &topology.components {
        let range = first..first + component.executors;
        first = range.end;
        let count = worker.executors.iter().filter(|index| range.contains(index)).count();
        if count > 0 {
            all.push((component.name.as_str(), count));
        }
    }
    all
}

fn placed(topology: &TopologyDetail, worker: &WorkerStatus) -> Value {
    let executors: BTreeMap<&str, usize> = inside(topology, worker).into_iter().collect();
    json!({
        "worker": worker.worker, "supervisor": worker.supervisor, "slot": worker.slot,
        "state": worker.state, "executors": executors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_first_with_the_next_step_then_where_tasks_are() {
        let document = r#"{"name":"wc","status":"active","workers_wanted":3,
            "findings":[{"code":"bottleneck","severity":"warning","text":"`count` is the bottleneck",
                "next":"squall rebalance wc -e count=4"}],
            "components":[{"name":"lines","kind":"spout","executors":1},
                {"name":"count","kind":"bolt","executors":2,"capacity":0.5,"queue_fill":0.25,
                 "rates_10s":{"executed":1000.0},
                 "time":{"busy":900,"back_pressured":0,"throttled":0,"idle":100}}],
            "workers":[{"worker":0,"supervisor":"m1","slot":2,"state":"running","executors":[0,2]},
                {"worker":1,"supervisor":"m2","state":"running","executors":[1]}]}"#;
        let topology: TopologyDetail = serde_json::from_str(document).expect("a lenient model");
        let text = text(&topology);
        for part in [
            "1. warning (bottleneck): `count` is the bottleneck",
            "next: squall rebalance wc -e count=4",
            "count: busy 90%",
            "2 executors could take about 2000/s",
            "2 of 3 workers: 1 on m1, 1 on m2",
            "there was no free slot",
            "worker 0 on m1 slot 2 (running): lines x1, count x1",
        ] {
            assert!(text.contains(part), "`{part}` is missing:\n{text}");
        }
        assert!(text.find("WRONG") < text.find("WHERE TASKS"), "{text}");
    }
}
