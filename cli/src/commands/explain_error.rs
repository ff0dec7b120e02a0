//! `squall explain-error`: what there is to know about the code of an error.

use clap::Args;
use serde_json::json;

use crate::codes::{Code, ENTRIES, Entry};
use crate::commands::Globals;
use crate::error::Failure;

/// Flags of `squall explain-error`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall explain-error SQ6600\n  \
    squall explain-error            all of them")]
pub(crate) struct ExplainError {
    /// The code, as the error shows it [default: all]
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Shows the entry of the code, or all.
pub(crate) fn run(verb: ExplainError, globals: &Globals) -> Result<(), Failure> {
    let Some(wanted) = verb.code else {
        let all: Vec<&Entry> = ENTRIES.iter().skip(1).collect();
        let lines: Vec<_> =
            all.iter().map(|it| format!("{}  {}", it.code.text(), it.title)).collect();
        let documents = all.into_iter().map(document).collect();
        return globals.show(&lines.join("\n"), &serde_json::Value::Array(documents));
    };
    let typed = wanted.trim().to_uppercase();
    let digits = typed.strip_prefix("SQ").unwrap_or(&typed);
    let found = ENTRIES.iter().skip(1).find(|entry| entry.code.text()[2..] == *digits);
    let Some(entry) = found else {
        let codes: Vec<String> = ENTRIES.iter().skip(1).map(|entry| entry.code.text()).collect();
        let near = codes.iter().filter(|code| digits.len() >= 2 && code[2..4] == digits[..2]);
        let near: Vec<&str> = near.map(String::as_str).collect();
        let hint =
            if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) };
        let why = format!("there is no code `{wanted}`{hint}");
        let fix = "`squall explain-error` lists all";
        return Err(Failure::new(Code::Unexplained, "cannot explain this error", why, fix));
    };
    globals.show(&entry.text(), &document(entry))
}

fn document(entry: &Entry) -> serde_json::Value {
    let Entry { code, title, why, fix, example } = entry;
    json!({
        "code": code.text(), "exit_code": code.exit() as u8, "title": title, "why": why,
        "fix": fix, "example": example,
    })
}
