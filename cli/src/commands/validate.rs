//! `squall validate`: finds what is wrong with a topology's program, without a cluster.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use topology_api::{ComponentDescription, Description};

use crate::args::pair;
use crate::commands::submit::{self, Submit};
use crate::commands::{Globals, topology_name, written};
use crate::error::Failure;
use crate::output;
use crate::table::{Align, table};

/// Flags of `squall validate`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall validate target/release/word_count\n  \
    squall validate ./word_count -c message_timeout=10s -- /data/in.txt")]
pub(crate) struct Validate {
    /// The topology's program
    #[arg(value_name = "BINARY")]
    binary: PathBuf,
    /// Name of the topology [default: the one its program gives it]
    #[arg(long, value_name = "N", value_parser = topology_name)]
    name: Option<String>,
    /// Sets a key of its configuration; may be repeated
    #[arg(short = 'c', long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,
    /// Arguments for the topology
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// Asks the program what it is, as a submission would, and checks that.
pub(crate) async fn run(validate: Validate, globals: &Globals) -> Result<(), Failure> {
    let what = format!("{} is not valid", validate.binary.display());
    let submit = Submit {
        binary: validate.binary,
        name: validate.name,
        workers: 1,
        settings: validate.settings,
        inactive: false,
        wait: false,
        timeout: Duration::ZERO,
        arguments: validate.arguments,
    };
    let defaults = globals.file.topology_pairs()?;
    let prepared = submit::prepare(&what, &submit, defaults).await?;
    let description = prepared.description;
    let warnings = warnings(&description);
    if globals.format.is_for_programs() {
        let components: Vec<_> = description.components.iter().map(document).collect();
        return globals.show_value(json!({
            "name": description.name, "valid": true, "digest": prepared.digest,
            "components": components, "warnings": warnings,
        }));
    }
    for warning in &warnings {
        output::note(&format!("warning: {}", output::escape(warning)));
    }
    written(output::print(&text(&description)))
}

/// What is allowed, and yet probably not meant.
fn warnings(description: &Description) -> Vec<String> {
    let all = &description.components;
    let read = |component: &str, stream: &str| {
        let mut inputs = all.iter().flat_map(|it| &it.inputs);
        inputs.any(|input| input.component == component && input.stream == stream)
    };
    let mut warnings = Vec::new();
    for component in all {
        let unread = component.outputs.iter().filter(|it| !read(&component.name, &it.name));
        for stream in unread {
            let (name, stream) = (&component.name, &stream.name);
            warnings.push(format!("nobody reads the stream `{stream}` of `{name}`"));
        }
        if component.executors < component.tasks {
            warnings.push(format!(
                "`{}` has {} tasks on {} executors: fine, if a rebalance is to use more later",
                component.name, component.tasks, component.executors
            ));
        }
    }
    warnings
}

fn inputs(component: &ComponentDescription) -> Vec<String> {
    let input = |it: &topology_api::InputDescription| {
        let stream = if it.stream == "default" { String::new() } else { format!(".{}", it.stream) };
        format!("{}{stream} ({})", it.component, it.grouping)
    };
    component.inputs.iter().map(input).collect()
}

fn document(component: &ComponentDescription) -> serde_json::Value {
    json!({
        "name": component.name, "kind": if component.spout { "spout" } else { "bolt" },
        "executors": component.executors, "tasks": component.tasks,
        "inputs": inputs(component),
    })
}

fn text(description: &Description) -> String {
    let headings = [
        ("COMPONENT", Align::Left),
        ("KIND", Align::Left),
        ("EXECUTORS", Align::Right),
        ("TASKS", Align::Right),
        ("READS", Align::Left),
    ];
    let row = |it: &ComponentDescription| {
        vec![
            it.name.clone(),
            if it.spout { "spout" } else { "bolt" }.to_owned(),
            it.executors.to_string(),
            it.tasks.to_string(),
            inputs(it).join(", "),
        ]
    };
    let components = table(&headings, description.components.iter().map(row).collect());
    format!("`{}` is valid\n\n{components}", output::escape(&description.name))
}
