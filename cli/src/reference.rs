//! The page `docs/configuration.md`, made from the code: no setting is missing there, none is
//! invented, and every default and range is the one that is used.
//!
//! The flags come from clap, the keys of the file from what its parser accepts, the settings of
//! topologies from `config_keys`. Written by hand are only the words around them and the reasons,
//! in `words`; a setting without one fails here. `SQUALL_WRITE_DOCS=1` writes the page anew.

mod words;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use topology_api::{ConfigKey, ConfigKind, config_keys, format_duration, format_size};

use crate::args::command;
use crate::config::File;

/// Sections of the file; `topology` holds settings of topologies.
const SECTIONS: [&str; 4] = ["client", "nimbus", "supervisor", "topology"];

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The keys that the file may have in a section, by the word of its parser.
fn file_keys(section: &str) -> BTreeSet<String> {
    let head = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
    let error = toml::from_str::<File>(&format!("{head}\"?\" = 1")).expect_err("an unknown key");
    let names = error.message().split('`').skip(1).step_by(2).map(str::to_owned);
    let is_section = |name: &String| section.is_empty() && SECTIONS.contains(&name.as_str());
    names.filter(|name| name != "?" && !is_section(name)).collect()
}

/// The key of the file that means the same as this environment variable.
fn file_key(variable: &str) -> Option<String> {
    let name = variable.strip_prefix("SQUALL_")?.to_lowercase().replace('_', "-");
    for section in ["nimbus", "supervisor"] {
        let key = name.strip_prefix(section).and_then(|rest| rest.strip_prefix('-'));
        if let Some(key) = key.filter(|key| file_keys(section).contains(*key)) {
            return Some(format!("{section}.{key}"));
        }
    }
    if file_keys("").contains(&name) {
        return Some(name);
    }
    file_keys("client").contains(&name).then(|| format!("client.{name}"))
}

fn variable(argument: &Arg) -> Option<String> {
    argument.get_env().map(|name| name.to_string_lossy().into_owned())
}

/// What help says of a flag, apart from its default.
fn meaning(argument: &Arg) -> (String, String) {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let declared: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    match help.split_once(" [default: ") {
        Some((meaning, default)) => (meaning.to_owned(), default.trim_end_matches(']').to_owned()),
        None if argument.get_action().takes_values() => (help, declared.join(" ")),
        None => (help, "off".to_owned()),
    }
}

fn flag(argument: &Arg) -> String {
    let long = argument.get_long().map(|long| format!("`--{long}`"));
    let short = argument.get_short().map(|short| format!("`-{short}`"));
    match (short, long) {
        (Some(short), Some(long)) => format!("{short}, {long}"),
        (_, Some(long)) => long,
        _ => format!("`{}`", value_name(argument)),
    }
}

fn value_name(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn code(text: Option<String>) -> String {
    text.map(|text| format!("`{text}`")).unwrap_or_default()
}

fn row(page: &mut String, cells: &[String]) {
    writeln!(page, "| {} |", cells.join(" | ")).expect("writing to a string cannot fail");
}

fn head(page: &mut String, cells: &[&str]) {
    row(page, &cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    row(page, &vec!["---".to_owned(); cells.len()]);
}

/// The table of a verb's flags.
fn flags(verb: &Command, page: &mut String) {
    let name = verb.get_name();
    let with_reasons = matches!(name, "squall" | "nimbus" | "supervisor");
    let mut titles = vec!["flag", "environment", "file", "value", "default", "meaning"];
    titles.extend(with_reasons.then_some("reason"));
    head(page, &titles);
    for argument in verb.get_arguments() {
        let (meaning, default) = meaning(argument);
        let variable = variable(argument);
        let long = argument.get_long().unwrap_or_default();
        let key = variable.as_deref().and_then(file_key);
        let value = match (argument.get_action().takes_values(), &variable) {
            (true, _) => words::value(&value_name(argument), long),
            (false, Some(_)) if key.is_none() => "no value; `true` or `false` in the environment",
            (false, Some(_)) => "no value; `true` or `false` in the environment and the file",
            (false, None) => "no value",
        };
        let mut cells =
            vec![flag(argument), code(variable), code(key), value.into(), default, cell(&meaning)];
        if with_reasons {
            cells.push(words::reason(name, argument.get_id().as_str()).to_owned());
        }
        row(page, &cells);
    }
}

fn kind(key: &ConfigKey) -> (&'static str, String) {
    match key.kind {
        ConfigKind::Count { min, max } => ("count", format!("{min} to {max}")),
        ConfigKind::Switch => ("switch", "`true` or `false`".to_owned()),
        ConfigKind::Time { min, max } => {
            ("duration", format!("{} to {}", format_duration(min), format_duration(max)))
        }
        ConfigKind::Size { min, max } => {
            ("size", format!("{} to {}", format_size(min), format_size(max)))
        }
        ConfigKind::SizeLimit { min, max } => {
            ("size", format!("`none`, or {} to {}", format_size(min), format_size(max)))
        }
        ConfigKind::Listen => ("listen", "`none`, `IP:PORT` or `IP:FIRST-LAST`".to_owned()),
        ConfigKind::CoresLimit { min, max } => {
            let cores = |thousandths: u32| f64::from(thousandths) / 1_000.0;
            ("cores", format!("`none`, or {} to {}", cores(min), cores(max)))
        }
    }
}

fn topology_settings(page: &mut String) {
    head(page, &["key", "unit", "default", "allowed", "meaning", "reason for the default"]);
    for key in config_keys() {
        let (unit, allowed) = kind(key);
        let name = format!("`{}`", key.name);
        let reason = words::reason("topology", key.name).to_owned();
        let cells = [name, unit.into(), key.default.into(), allowed, key.meaning.into(), reason];
        row(page, &cells);
    }
}

fn page() -> String {
    let mut page = words::HEAD.to_owned();
    topology_settings(&mut page);
    page.push_str(words::FLAGS);
    flags(&command(), &mut page);
    for verb in command().get_subcommands() {
        section("squall", verb, &mut page);
    }
    page.push_str(words::TAIL);
    page
}

/// The section of a verb, and those of the verbs below it.
fn section(above: &str, verb: &Command, page: &mut String) {
    let name = format!("{above} {}", verb.get_name());
    write!(page, "\n### `{name}`\n\n").expect("a string takes all");
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(page, "{about}.").expect("a string takes all");
    if verb.get_arguments().next().is_some() {
        page.push('\n');
        flags(verb, page);
    }
    for below in verb.get_subcommands() {
        section(&name, below, page);
    }
}

/// The blocks of a document between "```toml" and "```".
fn toml_blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next())
}

#[test]
fn the_page_of_settings_says_what_the_code_does() {
    let path = documents().join("configuration.md");
    let page = page();
    if std::env::var_os("SQUALL_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).expect("the page is there");
    let differing = written.lines().zip(page.lines()).find(|(written, made)| written != made);
    assert!(
        written == page,
        "docs/configuration.md is not what the code says: run \
         `SQUALL_WRITE_DOCS=1 cargo test -p cli reference`. First difference: {differing:#?}"
    );
}

#[test]
fn every_key_of_the_file_is_in_the_page() {
    let page = page();
    for section in ["", "client", "nimbus", "supervisor"] {
        for key in file_keys(section) {
            let key = if section.is_empty() { key } else { format!("{section}.{key}") };
            assert!(page.contains(&format!("| `{key}` |")), "{key} is in no row");
        }
    }
}

#[test]
fn every_configuration_file_in_the_documents_can_be_read() {
    let operating = std::fs::read_to_string(documents().join("operating.md")).expect("it is there");
    for text in [page(), operating] {
        assert!(toml_blocks(&text).next().is_some(), "it shows a file: {text}");
        for block in toml_blocks(&text) {
            let file: File = toml::from_str(block).unwrap_or_else(|error| panic!("{error}"));
            let pairs = file.topology_pairs().unwrap_or_else(|error| panic!("{error:?}"));
            topology_api::TopologyConfig::from_pairs(pairs).expect("settings that there are");
        }
    }
}

#[test]
fn values_are_taken_and_refused_as_the_page_says() {
    for verb in command().get_subcommands() {
        for argument in verb.get_arguments().filter(|argument| argument.get_long().is_some()) {
            let long = argument.get_long().unwrap_or_default();
            let name = value_name(argument);
            for &(value, taken) in words::samples(&name, long) {
                let flag = format!("--{long}={value}");
                let line = ["squall", verb.get_name(), &flag];
                let refused = command().try_get_matches_from(line).err();
                let refused = refused.is_some_and(|error| {
                    use clap::error::ErrorKind::{InvalidValue, ValueValidation};
                    matches!(error.kind(), InvalidValue | ValueValidation)
                });
                assert_eq!(taken, !refused, "squall {} {flag}", verb.get_name());
            }
        }
    }
}
