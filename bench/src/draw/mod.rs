//! Draws what was measured into the documentation: pictures, and tables between marks.
//!
//! `bench/measure` leaves one file of JSON lines a section in `bench/results/`. From each a picture
//! and a table are made, so that no figure in the documentation is copied by hand. What was not
//! measured yet is left out.

mod chart;
mod table;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::chart::{Bar, Chart, Group};
use crate::compare::Summary;
use crate::problem::{EX_DATAERR, EX_NOINPUT, EX_OSERR, Problem};
use crate::say;
use crate::stages::Stages;

/// The flags of `draw`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Draw {
    /// Where the results are
    #[arg(long, value_name = "DIR", default_value = "bench/results")]
    results: PathBuf,
    /// The page whose tables are replaced; pictures go into a folder of its name
    #[arg(long, value_name = "FILE", default_value = "docs/performance.md")]
    page: PathBuf,
    /// The page with the table of faults
    #[arg(long, value_name = "FILE", default_value = "docs/recovery.md")]
    recovery_page: PathBuf,
    /// Show failures as JSON too
    #[arg(long)]
    json: bool,
}

/// A file of comparisons, and how it is drawn.
struct Section {
    /// Of the file, the picture and the marks.
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    /// Figures that become bars: of each group the first that is there.
    bars: &'static [&'static [&'static str]],
}

const TUPLES: &[&[&str]] = &[&["tuples_per_s"]];

/// What becomes bars where how late tuples are is measured.
const LATENCIES: &[&[&str]] = &[&["complete_p50_us", "p50_us"], &["complete_p99_us", "p99_us"]];

const SECTIONS: [Section; 6] = [
    Section {
        name: "cases",
        title: "All cases, as fast as they go",
        unit: "tuples/s",
        bars: TUPLES,
    },
    Section {
        name: "limits",
        title: "Against what the machine can do",
        unit: "tuples/s",
        bars: TUPLES,
    },
    Section { name: "growth", title: "More executors in a worker", unit: "tuples/s", bars: TUPLES },
    Section { name: "latency", title: "How late tuples are", unit: "µs", bars: LATENCIES },
    Section { name: "kafka", title: "From Kafka to Kafka", unit: "records/s", bars: TUPLES },
    Section { name: "peers", title: "Against other systems", unit: "tuples/s", bars: TUPLES },
];

/// Draws every section that was measured.
pub(crate) fn run(draw: &Draw) -> Result<(), Problem> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| {
            let what = format!("cannot read {}", path.display());
            Problem::new(EX_NOINPUT, what, error, "run it in the root of the repository")
        })
    };
    let mut page = read(&draw.page)?;
    let pictures = draw.page.with_extension("");
    std::fs::create_dir_all(&pictures).map_err(|error| written(&pictures, &error))?;
    let folder = pictures.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for section in &SECTIONS {
        let path = draw.results.join(section.name).with_extension("jsonl");
        if !path.exists() {
            continue;
        }
        let summaries: Vec<Summary> = lines(&path, &read(&path)?)?;
        let chart = chart(section, &summaries);
        put(
            &mut page,
            &pictures,
            &folder,
            &chart,
            (section.name, &table::of_summaries(&summaries)),
        )?;
    }
    let path = draw.results.join("stages.jsonl");
    if path.exists() {
        let stages: Vec<Stages> = lines(&path, &read(&path)?)?;
        if let Some(stages) = stages.last() {
            let chart = chart_of_stages(stages);
            put(&mut page, &pictures, &folder, &chart, ("stages", &table::of_stages(stages)))?;
        }
    }
    std::fs::write(&draw.page, page).map_err(|error| written(&draw.page, &error))?;
    let path = draw.results.join("recovery.jsonl");
    if path.exists() {
        let faults: Vec<Value> = lines(&path, &read(&path)?)?;
        let page = read(&draw.recovery_page)?;
        let page = replaced(&page, "recovery", &table::of_faults(&faults))?;
        std::fs::write(&draw.recovery_page, page)
            .map_err(|error| written(&draw.recovery_page, &error))?;
    }
    say(&format!("drew {} and the pictures in {}", draw.page.display(), pictures.display()));
    Ok(())
}

fn written(path: &Path, error: &std::io::Error) -> Problem {
    let what = format!("cannot write {}", path.display());
    Problem::new(EX_OSERR, what, error, "make it writable")
}

fn lines<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<T>, Problem> {
    let lines: Result<_, _> = text.lines().map(serde_json::from_str).collect();
    lines.map_err(|error| {
        let what = format!("cannot draw {}", path.display());
        Problem::new(EX_DATAERR, what, error, "measure it again with bench/measure")
    })
}

/// Writes a picture, and puts it with its table between the marks of the page.
fn put(
    page: &mut String,
    pictures: &Path,
    folder: &str,
    chart: &Chart,
    (name, table): (&str, &str),
) -> Result<(), Problem> {
    let path = pictures.join(name).with_extension("svg");
    std::fs::write(&path, chart.svg()).map_err(|error| written(&path, &error))?;
    let text = format!("![{}]({folder}/{name}.svg)\n\n{table}", chart.title);
    *page = replaced(page, name, &text)?;
    Ok(())
}

/// Puts a text between the marks of this name, which must be there.
fn replaced(page: &str, name: &str, text: &str) -> Result<String, Problem> {
    between_marks(page, name, text).ok_or_else(|| {
        let why = format!("the page has no lines `{}` and `{END}` behind it", begin(name));
        Problem::new(EX_DATAERR, "cannot put a table into the page", why, "add these lines")
    })
}

const END: &str = "<!-- end -->";

fn begin(name: &str) -> String {
    format!("<!-- {name}: made by `bench draw` -->")
}

/// Replaces what stands between the marks of this name.
fn between_marks(page: &str, name: &str, text: &str) -> Option<String> {
    let begin = begin(name);
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n\n{}\n\n{END}{after}", text.trim()))
}

fn chart(section: &Section, summaries: &[Summary]) -> Chart {
    let group = |summary: &Summary| {
        let labels = summary.labels();
        let bars = summary.sides.iter().zip(labels).flat_map(|(side, label)| {
            section.bars.iter().filter_map(move |names| {
                let (name, figure) =
                    names.iter().find_map(|name| Some((name, side.figures.get(*name)?)))?;
                let several = section.bars.len() > 1;
                let label = if several { format!("{label} {name}") } else { label.clone() };
                Some(Bar {
                    label: label.trim().trim_end_matches("_us").to_owned(),
                    median: figure.median,
                    least: figure.least,
                    greatest: figure.greatest,
                })
            })
        });
        Group { name: summary.name.clone(), bars: bars.collect() }
    };
    Chart {
        title: section.title.to_owned(),
        unit: section.unit,
        logarithmic: true,
        groups: summaries.iter().map(group).collect(),
    }
}

fn chart_of_stages(stages: &Stages) -> Chart {
    let mut groups: Vec<Group> = Vec::new();
    for stage in &stages.stages {
        let bar = Bar {
            label: stage.what.clone(),
            median: stage.median_ns,
            least: stage.least_ns,
            greatest: stage.greatest_ns,
        };
        match groups.last_mut() {
            Some(group) if group.name == stage.stage => group.bars.push(bar),
            _ => groups.push(Group { name: stage.stage.clone(), bars: vec![bar] }),
        }
    }
    Chart {
        title: "What a tuple costs at each stage".to_owned(),
        unit: "ns",
        logarithmic: false,
        groups,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_its_own_marks_is_replaced() {
        let page = format!("a\n{}\nold\n{END}\nb\n{}\nkept\n{END}\n", begin("x"), begin("y"));
        let new = between_marks(&page, "x", "new\n").unwrap();
        assert_eq!(new, page.replace("\nold\n", "\n\nnew\n\n"));
        assert_eq!(between_marks(&page, "z", "new"), None);
    }
}
