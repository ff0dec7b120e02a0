//! The same figures as Markdown tables.

use serde_json::Value;

use super::chart::short;
use crate::compare::{Figure, Summary};
use crate::figures::rounded;
use crate::stages::Stages;

/// Figures that get a column, and what it is called.
const COLUMNS: [(&str, &str); 7] = [
    ("tuples_per_s", "tuples/s"),
    ("p50_us", "p50 µs"),
    ("p99_us", "p99 µs"),
    ("complete_p50_us", "to ack p50 µs"),
    ("complete_p99_us", "to ack p99 µs"),
    ("cpu_cores", "cores"),
    ("rss_mib", "MiB"),
];

/// A row a command, with the ratio to the last one.
pub(super) fn of_summaries(summaries: &[Summary]) -> String {
    let is_there = |(name, _): &&(&str, &str)| {
        let mut sides = summaries.iter().flat_map(|summary| &summary.sides);
        sides.any(|side| side.figures.contains_key(*name))
    };
    let columns: Vec<_> = COLUMNS.iter().filter(is_there).collect();
    let heads: Vec<&str> = columns.iter().map(|(_, head)| *head).collect();
    let mut lines = vec![
        format!("| what | command | {} | times the last | rounds |", heads.join(" | ")),
        format!("|---|---|{}---|---|", "---|".repeat(columns.len())),
    ];
    for summary in summaries {
        let rounds = format!("{} of {}", summary.near_rounds(), summary.rounds);
        for (at, side) in summary.sides.iter().enumerate() {
            let figure = |(name, _): &&(&str, &str)| {
                side.figures.get(*name).map_or_else(String::new, |figure| cell(name, figure))
            };
            let figures: Vec<String> = columns.iter().map(figure).collect();
            let last = summary.sides.last().filter(|_| at + 1 < summary.sides.len());
            let ratio = last.and_then(|last| side.ratio_to(last, "tuples_per_s"));
            lines.push(format!(
                "| {} | `{}` | {} | {} | {} |",
                if at == 0 { summary.name.as_str() } else { "" },
                side.words().join(" "),
                figures.join(" | "),
                ratio.map_or_else(String::new, |ratio| rounded(ratio).to_string()),
                if at == 0 { rounds.as_str() } else { "" },
            ));
        }
    }
    lines.join("\n")
}

/// The median; with the spread for what is compared.
fn cell(name: &str, figure: &Figure) -> String {
    let Figure { median, least, greatest, .. } = figure;
    if name == "tuples_per_s" && least < greatest {
        return format!("{} [{} .. {}]", short(*median), short(*least), short(*greatest));
    }
    short(*median)
}

/// Measurements of a fault that get a column.
const OF_FAULTS: [(&str, &str); 4] = [
    ("flow_ms", "tuples flow through others"),
    ("replayed_ms", "lost ones replayed and acked"),
    ("served_ms", "a change is made"),
    ("dip_percent", "missing elsewhere, %"),
];

/// A row a fault.
pub(super) fn of_faults(faults: &[Value]) -> String {
    let heads: Vec<&str> = OF_FAULTS.iter().map(|(_, head)| *head).collect();
    let mut lines = vec![
        format!(
            "| fault | times | tuples/s | {} | replayed | others restarted | lost |",
            heads.join(" | ")
        ),
        format!("|---|---|---|{}---|---|---|", "---|".repeat(OF_FAULTS.len())),
    ];
    for fault in faults {
        let spread = |(name, _): &(&str, &str)| {
            let quantile = |which: &str| Some(short(fault[*name][which].as_f64()?));
            let both = quantile("p50").zip(quantile("p99"));
            both.map_or_else(String::new, |(p50, p99)| format!("{p50} / {p99}"))
        };
        let spreads: Vec<String> = OF_FAULTS.iter().map(spread).collect();
        let replayed = fault["replayed"].as_array().into_iter().flatten();
        let replayed: u64 = replayed.filter_map(Value::as_u64).sum();
        lines.push(format!(
            "| {} | {} | {} | {} | {replayed} | {} | {} |",
            fault["name"].as_str().unwrap_or_default(),
            fault["count"],
            fault["rate"],
            spreads.join(" | "),
            fault["restarts_of_untouched"],
            fault["lost"],
        ));
    }
    lines.join("\n")
}

/// A row a stage.
pub(super) fn of_stages(stages: &Stages) -> String {
    let mut lines =
        vec!["| stage | what | ns a tuple | spread |".to_owned(), "|---|---|---|---|".to_owned()];
    for stage in &stages.stages {
        lines.push(format!(
            "| {} | {} | {:.1} | {:.1} .. {:.1} |",
            stage.stage, stage.what, stage.median_ns, stage.least_ns, stage.greatest_ns
        ));
    }
    lines.join("\n")
}
