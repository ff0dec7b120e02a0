//! Rules for `docs/operating.md`: what a daemon may log, and what it measures, is explained there.

use crate::documents::code_spans;
use crate::sources::code;
use crate::{TextFile, files, read, report};

/// What an operator runs, and what a worker is made of.
const SHIPPED: [&str; 6] = [
    "cli/src/",
    "coordination/src/",
    "daemon/src/",
    "nimbus/src/",
    "supervisor/src/",
    "worker/src/",
];

/// Where metrics are made.
const METRICS: [&str; 2] = ["nimbus/src/status/prometheus", "worker/src/metrics"];

/// What logs a line that is shown unless somebody turns it off.
const LOGS: [&str; 3] = ["error!(", "info!(", "warn!("];

/// The code of a file up to its tests, without comments.
fn shipped(file: &TextFile) -> String {
    let lines: Vec<&str> = code(file).map(|(_, line)| line).collect();
    let text = lines.join("\n");
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

/// The message of each log line: the first text after the macro, which is given its fields as names.
fn messages(text: &str) -> Vec<&str> {
    let calls = LOGS.iter().flat_map(|log| text.split(log).skip(1));
    calls.filter_map(|call| call.split('"').nth(1)).collect()
}

/// Whether a span of the page is this message; what stands in braces may be anything.
fn fits(span: &str, message: &str) -> bool {
    if !message.contains('{') {
        return span == message;
    }
    let mut rest = span;
    message.split(['{', '}']).step_by(2).all(|fixed| match rest.find(fixed) {
        Some(at) => {
            rest = &rest[at + fixed.len()..];
            true
        }
        None => false,
    })
}

fn page() -> String {
    read("docs/operating.md").expect("there is a page for operators")
}

#[test]
fn every_line_that_is_logged_is_explained_to_operators() {
    let page = page();
    let spans = code_spans(&page);
    let mut breaches = Vec::new();
    for file in
        files(&["rs"]).iter().filter(|file| SHIPPED.iter().any(|of| file.path.starts_with(of)))
    {
        for message in messages(&shipped(file)) {
            if !spans.iter().any(|span| fits(span, message)) {
                breaches.push(format!("{}: `{message}`", file.path));
            }
        }
    }
    report("say in docs/operating.md what the line means and what to do", &breaches);
}

#[test]
fn every_metric_is_explained_to_operators() {
    let page = page();
    let spans = code_spans(&page);
    let rust = files(&["rs"]);
    let made = rust.iter().filter(|file| METRICS.iter().any(|of| file.path.starts_with(of)));
    let text = made.map(shipped).collect::<Vec<_>>().join("\n");
    let names = text.split('"').filter(|text| text.starts_with("squall_"));
    let unknown: Vec<String> =
        names.filter(|name| !spans.contains(name)).map(str::to_owned).collect();
    report("say in docs/operating.md what the metric means", &unknown);
    for name in ["squall_store_up", "squall_findings", "squall_worker_task_pending"] {
        assert!(text.contains(name), "metrics are found where they are made: {name}");
    }
}

#[test]
fn messages_are_read_as_meant() {
    let text =
        "warn!(%error, \"cannot {what}, again\");\n info!(\n    id,\n    \"worker (new)\"\n);";
    assert_eq!(messages(text), ["worker (new)", "cannot {what}, again"]);
    assert!(fits("cannot write, again", "cannot {what}, again"));
    assert!(!fits("cannot write", "cannot {what}, again"));
    assert!(!fits("no longer leads", "leads"));
}
