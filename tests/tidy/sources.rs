//! Rules for source files.

use crate::{TextFile, files, has_word, report};

/// Longest file, in lines.
const LINES_MAX: usize = 400;

/// Folders of this name decide and never act: no runtime, no socket, no disk, no clock.
const PURE: &str = "/engine/";

/// Words that betray input, output, a clock or chance in a pure file.
const IMPURE: [&str; 16] = [
    "tokio::",
    "tonic::",
    concat!("etcd_", "client"),
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "Clock::system",
    "async fn",
    ".await",
    "rand::rng",
    "rand::random",
];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helpers", "misc", "types"];

/// What is left over from the workbench; put together here so that this file is free of it.
const LEFT_OVERS: [&str; 5] = [
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
];

/// The code of a file, without its comments.
pub(super) fn code(file: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let lines = file.text.lines().enumerate();
    lines.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

/// Every line of code, outside of the files that may, that holds the word.
fn named_in_code(word: &str, may: impl Fn(&str) -> bool) -> Vec<String> {
    let mut breaches = Vec::new();
    for file in files(&["rs"]) {
        if may(&file.path) {
            continue;
        }
        for (number, line) in code(&file).filter(|(_, line)| has_word(line, word)) {
            breaches.push(format!("{}:{number}: {}", file.path, line.trim()));
        }
    }
    breaches
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent = files(&["rs"]).into_iter().filter(|file| !file.text.starts_with("//! "));
    let silent: Vec<String> = silent.map(|file| file.path).collect();
    report("begin the file with a `//!` sentence that says what it is for", &silent);
}

#[test]
fn no_source_file_is_too_long_to_read() {
    let long = files(&["rs", "proto"]).into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines", file.path))
    });
    report(&format!("split what is longer than {LINES_MAX} lines"), &long.collect::<Vec<_>>());
}

#[test]
fn engines_decide_and_never_act() {
    let mut breaches = Vec::new();
    for file in files(&["rs"]).iter().filter(|file| file.path.contains(PURE)) {
        for (number, line) in code(file) {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                breaches.push(format!("{}:{number}: mentions `{word}`", file.path));
            }
        }
    }
    report("what is below engine/ is given the time, chance and all facts", &breaches);
}

#[test]
fn nothing_is_left_over_from_the_workbench() {
    let mut breaches = Vec::new();
    for file in files(&["rs", "proto", "md", "toml"]) {
        for word in
            LEFT_OVERS.iter().filter(|word| has_word(&file.text, word.trim_end_matches('!')))
        {
            // A macro is meant with its exclamation mark only.
            if file.text.contains(word) {
                breaches.push(format!("{}: `{word}`", file.path));
            }
        }
    }
    report("finish it, or open an issue", &breaches);
}

#[test]
fn names_of_files_say_what_is_inside() {
    let empty = files(&["rs"]).into_iter().map(|file| file.path).filter(|path| {
        let mut parts = path.trim_end_matches(".rs").split('/');
        parts.any(|part| EMPTY_NAMES.contains(&part))
    });
    report("name it after what it holds", &empty.collect::<Vec<_>>());
}

#[test]
fn etcd_stands_behind_one_module() {
    let word = concat!("etcd_", "client");
    let breaches = named_in_code(word, |path| {
        path.starts_with("coordination/src/etcd") || path.starts_with("coordination/tests/")
    });
    report("go through `coordination::Store`", &breaches);
}

#[test]
fn every_channel_is_dialled_where_tls_is_known() {
    let mut breaches = Vec::new();
    let shipped = ["cli/src/", "nimbus/src/", "supervisor/src/", "worker/src/"];
    // An OpenTelemetry collector is no part of the cluster: its TLS would not be the cluster's.
    let is_ours =
        |path: &str| shipped.iter().any(|of| path.starts_with(of)) && path != "nimbus/src/otel.rs";
    for file in files(&["rs"]).iter().filter(|it| is_ours(&it.path)) {
        for (number, line) in code(file) {
            // The socket of a supervisor has no TLS: only its user can open it.
            let by_itself = line.contains(".connect()") || line.contains(".connect_lazy()");
            if by_itself || line.contains("\"http://{") {
                breaches.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    breaches.retain(|breach| !breach.contains("Endpoint::from_shared("));
    report("dial with `daemon::grpc::connect` and its `Security`, or TLS is left out", &breaches);
}

#[test]
fn bincode_stands_behind_one_module() {
    let word = concat!("bin", "code");
    let breaches = named_in_code(word, |path| {
        let module = path.starts_with("topology-api/src/codec");
        // What must not compile may name anything.
        module || path == "topology-api/src/serde_field.rs" || path.contains("/tests/ui/")
    });
    report("go through `#[tuple(serde)]`, which limits what is read", &breaches);
}
