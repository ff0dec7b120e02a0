//! Rules for who may depend on whom.

use std::collections::BTreeMap;

use crate::{read, report};

/// What must not come in with a topology's own code: whatever runs things.
const RUNTIMES: [&str; 8] =
    ["tokio", "tonic", "hyper", "axum", "futures", "mio", "async-std", "tower"];

/// Our crates and which of ours each may depend on, from the bottom up.
const LAYERS: [(&str, &[&str]); 11] = [
    ("topology-api/macros", &[]),
    ("topology-api", &["topology-api-macros"]),
    ("daemon", &[]),
    ("proto", &["topology-api"]),
    ("coordination", &["proto", "daemon"]),
    ("nimbus", &["topology-api", "proto", "daemon", "coordination"]),
    ("supervisor", &["topology-api", "proto", "daemon", "coordination"]),
    ("worker", &["topology-api", "proto", "daemon"]),
    ("examples", &["topology-api", "worker"]),
    (
        "bench",
        &[
            "topology-api",
            "proto",
            "daemon",
            "coordination",
            "nimbus",
            "supervisor",
            "worker",
            "tests",
        ],
    ),
    ("cli", &["topology-api", "proto", "daemon", "coordination", "nimbus", "supervisor", "worker"]),
];

/// The names in `[dependencies]` and the like, but for those that only tests use.
fn dependencies(krate: &str) -> Vec<String> {
    let manifest = read(&format!("{krate}/Cargo.toml"));
    let manifest = manifest.unwrap_or_else(|| panic!("{krate} has a Cargo.toml"));
    let mut section = String::new();
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
        } else if section.ends_with("dependencies") && !section.ends_with("dev-dependencies") {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            if !name.is_empty() && !name.starts_with('#') {
                names.push(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn a_topology_needs_no_runtime_to_be_written() {
    let mut breaches = Vec::new();
    for krate in ["topology-api", "topology-api/macros"] {
        for name in dependencies(krate).iter().filter(|name| RUNTIMES.contains(&name.as_str())) {
            breaches.push(format!("{krate} depends on {name}"));
        }
    }
    report("topology-api stays light", &breaches);
}

#[test]
fn crates_depend_only_on_those_below() {
    let ours: Vec<&str> = LAYERS.iter().map(|(krate, _)| *krate).collect();
    let is_ours = |name: &str| ours.contains(&name) || name == "topology-api-macros";
    let mut breaches = Vec::new();
    for (krate, may) in LAYERS {
        for name in dependencies(krate) {
            if is_ours(&name) && !may.contains(&name.as_str()) {
                breaches.push(format!("{krate} depends on {name}"));
            }
        }
    }
    report("the table in tests/tidy/manifests.rs says who may depend on whom", &breaches);
}

#[test]
fn versions_are_chosen_in_one_place() {
    let mut breaches = Vec::new();
    let mut members: BTreeMap<&str, ()> = LAYERS.iter().map(|(krate, _)| (*krate, ())).collect();
    members.insert("tests", ());
    for krate in members.keys() {
        let manifest = read(&format!("{krate}/Cargo.toml")).unwrap_or_default();
        for key in ["version", "edition", "license", "publish", "rust-version"] {
            if !manifest.contains(&format!("{key}.workspace = true")) {
                breaches.push(format!("{krate}/Cargo.toml: {key} is not the workspace's"));
            }
        }
        if !manifest.contains("[lints]\nworkspace = true") {
            breaches.push(format!("{krate}/Cargo.toml: does not take the workspace's lints"));
        }
    }
    report("say it in the workspace's Cargo.toml", &breaches);
}
