//! Rules for `docs/failures.md`: each timing there is the one in the code, and none is left out of the
//! files that are about nothing else.

use std::time::Duration;

use topology_api::parse_duration;

use crate::documents::code_spans;
use crate::{read, report};

/// Files whose timings are all in the table.
const WHOLE: [&str; 3] = [
    "nimbus/src/engine/flapping.rs",
    "nimbus/src/engine/liveness.rs",
    "supervisor/src/engine/state.rs",
];

/// A line of the table: value, file, and name of the constant, field or setting.
struct Row {
    value: String,
    file: String,
    name: String,
}

fn rows(page: &str) -> Vec<Row> {
    let cells = page.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let row = |cells: Vec<&str>| {
        let &[_, _, value, defined, ..] = cells.as_slice() else { return None };
        let &[file, name] = code_spans(defined).as_slice() else { return None };
        let [value, file, name] = [value, file, name].map(str::to_owned);
        file.ends_with(".rs").then_some(Row { value, file, name })
    };
    cells.filter_map(row).collect()
}

/// Reads `1.5 s`, `250 ms` or `2 min`.
fn value(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => number / 1_000.0,
        "s" => number,
        "min" => number * 60.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(seconds))
}

/// Reads `Duration::from_millis(1_500)` and the like at the start of a piece of code.
fn duration(code: &str) -> Option<Duration> {
    let (unit, rest) = code.trim_start().strip_prefix("Duration::from_")?.split_once('(')?;
    let number: u64 = rest.split(')').next()?.replace('_', "").parse().ok()?;
    Some(match unit {
        "millis" => Duration::from_millis(number),
        "secs" => Duration::from_secs(number),
        "mins" => Duration::from_secs(60 * number),
        _ => return None,
    })
}

/// The timings that a file defines: constants, fields of defaults, and settings of topologies.
fn defined(text: &str) -> Vec<(String, Duration)> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    for line in code.lines().map(str::trim) {
        let line = line.trim_start_matches("pub ").trim_start_matches("const ");
        let Some((name, rest)) = line.split_once(':') else { continue };
        let rest = rest.trim_start().trim_start_matches("Duration = ");
        found.extend(duration(rest).map(|it| (name.to_owned(), it)));
    }
    for setting in code.split("name: \"").skip(1) {
        let name = setting.split('"').next().unwrap_or_default();
        let default = setting.split("default: \"").nth(1).and_then(|it| it.split('"').next());
        let default = default.and_then(|it| parse_duration(it).ok());
        found.extend(default.map(|it| (name.to_owned(), it)));
    }
    found
}

#[test]
fn every_timing_of_failures_is_the_one_in_the_code() {
    let page = read("docs/failures.md").expect("there is a page on failures");
    let rows = rows(&page);
    assert!(rows.len() > 30, "the table is read as meant: {} rows", rows.len());
    let mut breaches = Vec::new();
    for Row { value: text, file, name } in &rows {
        let code = read(file).unwrap_or_default();
        let known = defined(&code).into_iter().find(|(it, _)| it == name).map(|(_, it)| it);
        if known.is_none() || known != value(text) {
            breaches.push(format!("{file} {name}: `{text}` there, {known:?} in the code"));
        }
    }
    for file in WHOLE {
        let code = read(file).expect("the file is there");
        let listed = |name: &str| rows.iter().any(|row| row.file == file && row.name == name);
        let missing = defined(&code).into_iter().filter(|(name, _)| !listed(name));
        breaches.extend(missing.map(|(name, it)| format!("{file} {name}: {it:?} is not there")));
    }
    report("keep the timings of docs/failures.md true", &breaches);
}

#[test]
fn timings_are_read_as_meant() {
    let code = "const A: Duration = Duration::from_millis(1_500);\n    b: Duration::from_mins(2),\n\
                name: \"c\",\n kind: 1,\n default: \"30s\",\n#[cfg(test)]\nconst D: Duration = \
                Duration::from_secs(1);";
    let seconds = |seconds| Duration::from_secs(seconds);
    let expected = [("A", Duration::from_millis(1_500)), ("b", seconds(120)), ("c", seconds(30))];
    assert_eq!(defined(code), expected.map(|(name, it)| (name.to_owned(), it)));
    assert_eq!(value("1.5 s"), Some(Duration::from_millis(1_500)));
    assert_eq!(value("2 min"), Some(seconds(120)));
    assert_eq!(value("soon"), None);
}
