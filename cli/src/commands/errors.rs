//! `squall errors`: the newest errors of a topology, in whole.

use clap::Args;
use daemon::Clock;
use serde_json::{Value, json};

use crate::commands::{Globals, topology_name, topology_path, written};
use crate::error::Failure;
use crate::output::{self, Format, age};
use crate::status::{ErrorStatus, TopologyDetail};
use crate::table::{Align, table};

/// Flags of `squall errors`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall errors word-count                       the newest last\n  \
    squall errors word-count --component count\n  \
    squall errors word-count -o wide               with all lines of each")]
pub(crate) struct Errors {
    /// The topology
    #[arg(value_parser = topology_name)]
    name: String,
    /// Only those of this component
    #[arg(long, value_name = "C")]
    component: Option<String>,
}

/// Shows what components returned, and where they panicked.
pub(crate) async fn run(errors: Errors, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot show the errors of `{}`", errors.name);
    let mut client = globals.client();
    let mut document: Value = client.status(&what, &topology_path(&errors.name)).await?;
    if let (Some(list), Some(component)) = (document["errors"].as_array_mut(), &errors.component) {
        list.retain(|error| error["component"] == component.as_str());
    }
    if globals.format.is_for_programs() {
        let list = document["errors"].take();
        return globals.show_value(json!({ "topology": errors.name, "errors": list }));
    }
    let read: TopologyDetail = serde_json::from_value(document).unwrap_or_default();
    if read.errors.is_empty() {
        output::note(&format!("`{}` has no errors", errors.name));
        return Ok(());
    }
    let wide = globals.format == Format::Wide;
    written(output::print(&rows(read.errors, wide, Clock::system().wall_ms())))
}

fn rows(mut errors: Vec<ErrorStatus>, wide: bool, now_ms: u64) -> String {
    let headings = [
        ("AGO", Align::Right),
        ("ERROR IN", Align::Left),
        ("TASK", Align::Right),
        ("WORKER", Align::Right),
        ("KIND", Align::Left),
        ("TEXT", Align::Left),
    ];
    errors.sort_by_key(|error| error.at_ms);
    let row = |it: ErrorStatus| {
        let first = it.text.lines().next().unwrap_or_default().to_owned();
        vec![
            age(now_ms.saturating_sub(it.at_ms)),
            it.component,
            it.task.to_string(),
            it.worker.to_string(),
            it.reason,
            if wide { it.text } else { first },
        ]
    };
    table(&headings, errors.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stand_in_their_order_with_their_first_line_or_all() {
        let error =
            |at_ms, text: &str| ErrorStatus { at_ms, text: text.into(), ..Default::default() };
        let errors = || vec![error(2_000, "second\nline"), error(1_000, "first")];
        let text = rows(errors(), false, 3_000);
        assert!(text.find("first") < text.find("second"), "{text}");
        assert!(!text.contains("line"), "{text}");
        assert!(rows(errors(), true, 3_000).contains("line"));
    }
}
