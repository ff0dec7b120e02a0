//! What reaches the terminal: data on standard output, messages on standard error.
//!
//! Text that came from elsewhere (names, logs, errors of a topology) is escaped before it is shown,
//! so that it cannot move the cursor or hide itself.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::yaml::yaml;

/// Rises when a field of a document goes or changes its meaning; new fields do not count.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// The same with more columns.
    Wide,
    /// For programs.
    Json,
    /// The same documents as YAML.
    Yaml,
}

impl Format {
    /// Whether documents are written instead of tables.
    pub(crate) fn is_for_programs(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// Writes one line (or several) of data to standard output.
pub(crate) fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Writes one JSON document to standard output, on one line.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(&serde_json::to_string(value)?)
}

/// Writes a whole document with the version of its schema; a list becomes its field `items`.
pub(crate) fn print_document(format: Format, document: Value) -> io::Result<()> {
    let mut document = match document {
        Value::Array(items) => json!({ "items": items }),
        other => other,
    };
    if let Some(fields) = document.as_object_mut() {
        fields.insert("schema_version".into(), SCHEMA_VERSION.into());
    }
    print_row(format, &document)
}

/// Writes one of several documents: a line of JSON, or YAML behind `---`.
pub(crate) fn print_row(format: Format, document: &Value) -> io::Result<()> {
    match format {
        Format::Yaml => print(&format!("---\n{}", yaml(document))),
        _ => print_json(document),
    }
}

/// Writes a document; where that is not possible, says so on standard error.
pub(crate) fn document_or_note(format: Format, document: Value) {
    if let Err(error) = print_document(format, document) {
        note(&format!("squall: standard output: {error}"));
    }
}

/// Writes a message to standard error; nobody can be told if that fails.
pub(crate) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Replaces everything that a terminal would act on instead of showing.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\t' {
            escaped.push(' ');
        } else if acts_on_a_terminal(character) {
            write!(escaped, "{}", character.escape_default())
                .expect("writing to a string cannot fail");
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Control characters, line separators, and marks that change the direction of writing.
fn acts_on_a_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a count with thin groups of three: `12 345 678`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// Writes microseconds in the unit that reads best: `850µs`, `2.4ms`, `1.25s`.
pub(crate) fn latency(microseconds: Option<f64>) -> String {
    match microseconds {
        None => "-".into(),
        Some(us) if us < 10.0 => format!("{us:.1}µs"),
        Some(us) if us < 1e3 => format!("{us:.0}µs"),
        Some(us) if us < 1e6 => format!("{:.1}ms", us / 1e3),
        Some(us) => format!("{:.2}s", us / 1e6),
    }
}

/// Writes how long something lasts in its two largest units: `3d4h`, `1h02m`, `12s`.
pub(crate) fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Writes a number of bytes in the unit that reads best: `512B`, `64.0MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_shown_instead() {
        assert_eq!(escape("a\u{1b}[31mb\r\nc\u{7}"), "a\\u{1b}[31mb\\r\\nc\\u{7}");
        assert_eq!(escape("left\u{202e}thgir"), "left\\u{202e}thgir", "no turning of the line");
        assert_eq!(escape("naïve — 日本\tok"), "naïve — 日本 ok", "plain text stays");
    }

    #[test]
    fn counts_are_grouped_by_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1 000");
        assert_eq!(grouped(12_345_678), "12 345 678");
    }

    #[test]
    fn latencies_ages_and_sizes_read_well() {
        assert_eq!(latency(None), "-");
        assert_eq!(latency(Some(3.25)), "3.2µs");
        assert_eq!(latency(Some(850.0)), "850µs");
        assert_eq!(latency(Some(2_400.0)), "2.4ms");
        assert_eq!(latency(Some(1_250_000.0)), "1.25s");
        assert_eq!(age(59_999), "59s");
        assert_eq!(age(61_000), "1m01s");
        assert_eq!(age(3_720_000), "1h02m");
        assert_eq!(age(90_000_000), "1d01h");
        assert_eq!(bytes(512), "512B");
        assert_eq!(bytes(64 << 20), "64.0MiB");
    }
}
