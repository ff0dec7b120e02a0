//! `squall logs`: what the workers of a topology wrote to standard output and standard error.

use std::collections::BTreeMap;

use clap::Args;
use proto::nimbus::{LogsChunk, LogsRequest};
use serde_json::json;

use crate::args::size;
use crate::client::Client;
use crate::codes::Code;
use crate::commands::{Globals, topology_name, written};
use crate::error::Failure;
use crate::output;

/// Longest line that is shown in one piece.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Flags of `squall logs`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall logs word-count\n  \
    squall logs word-count -f --component count\n  \
    squall logs word-count --grep 'panic|ERROR' -f")]
pub(crate) struct Logs {
    /// The topology
    #[arg(value_parser = topology_name)]
    name: String,
    /// Show what comes until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only workers that run tasks of this component
    #[arg(long, value_name = "C")]
    component: Option<String>,
    /// Only lines in which this regular expression is found
    #[arg(long, value_name = "RE", value_parser = expression)]
    grep: Option<String>,
    /// How much of the end of each log to show first, or to search [default: 64KiB, with --grep 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    tail: Option<u64>,
}

/// What is searched of each log, and shown of it, if nobody says how much.
const SEARCHED_BYTES: u64 = 16 << 20;
const SHOWN_BYTES: u64 = 64 << 10;

fn expression(text: &str) -> Result<String, String> {
    regex::Regex::new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Shows lines as they come, each with the number of its worker.
pub(crate) async fn run(logs: Logs, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot show the logs of `{}`", logs.name);
    let default_tail = if logs.grep.is_some() { SEARCHED_BYTES } else { SHOWN_BYTES };
    let request = LogsRequest {
        name: logs.name,
        component: logs.component.unwrap_or_default(),
        follow: logs.follow,
        tail_bytes: logs.tail.unwrap_or(default_tail),
        grep: logs.grep.unwrap_or_default(),
    };
    let mut client: Client = globals.client();
    let mut chunks = client.logs(&what, request).await?;
    let mut lines = Lines::default();
    loop {
        let chunk = chunks.message().await.map_err(|status| {
            let fix = "try again; `squall describe NAME` shows where its workers run";
            Failure::new(Code::BrokeOff, &what, status.message(), fix)
        })?;
        let Some(chunk) = chunk else { break };
        for line in lines.take(&chunk) {
            show(globals, &line)?;
        }
    }
    for line in lines.rest() {
        show(globals, &line)?;
    }
    Ok(())
}

fn show(globals: &Globals, line: &Line) -> Result<(), Failure> {
    if globals.format.is_for_programs() {
        let Line { worker, supervisor, text } = line;
        let row = json!({ "worker": worker, "supervisor": supervisor, "line": text });
        return written(output::print_row(globals.format, &row));
    }
    written(output::print(&format!("worker {} | {}", line.worker, output::escape(&line.text))))
}

/// One whole line of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    worker: u32,
    supervisor: String,
    text: String,
}

/// Puts lines together: chunks of several workers come mixed and end anywhere.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of a line that has not ended, by worker and supervisor.
    begun: BTreeMap<(u32, String), Vec<u8>>,
}

impl Lines {
    /// Takes a chunk and returns the lines that it ends.
    fn take(&mut self, chunk: &LogsChunk) -> Vec<Line> {
        let key = (chunk.worker, chunk.supervisor.clone());
        let begun = self.begun.entry(key).or_default();
        let mut lines = Vec::new();
        let line = |bytes: &[u8]| Line {
            worker: chunk.worker,
            supervisor: chunk.supervisor.clone(),
            text: String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).into_owned(),
        };
        for piece in chunk.data.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ends) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            begun.extend_from_slice(piece);
            if ends || begun.len() >= LINE_BYTES_MAX {
                lines.push(line(begun));
                begun.clear();
            }
        }
        lines
    }

    /// Returns what never ended.
    fn rest(self) -> Vec<Line> {
        let unended = self.begun.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        unended
            .map(|((worker, supervisor), bytes)| Line {
                worker,
                supervisor,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(worker: u32, data: &[u8]) -> LogsChunk {
        LogsChunk { worker, supervisor: "s".into(), data: data.to_vec() }
    }

    fn texts(lines: &[Line]) -> Vec<(u32, &str)> {
        lines.iter().map(|line| (line.worker, line.text.as_str())).collect()
    }

    #[test]
    fn lines_of_mixed_chunks_stay_whole() {
        let mut lines = Lines::default();
        assert_eq!(texts(&lines.take(&chunk(0, b"one\ntw"))), [(0, "one")]);
        assert_eq!(texts(&lines.take(&chunk(1, b"other\r\n"))), [(1, "other")]);
        assert_eq!(texts(&lines.take(&chunk(0, b"o\n\nfour"))), [(0, "two"), (0, "")]);
        assert_eq!(texts(&lines.rest()), [(0, "four")], "what never ended is shown too");
    }

    #[test]
    fn a_line_without_an_end_does_not_grow_without_bound() {
        let mut lines = Lines::default();
        let pieces: usize =
            (0..8).map(|_| lines.take(&chunk(0, &vec![b'x'; LINE_BYTES_MAX / 2])).len()).sum();
        assert_eq!(pieces, 4);
    }
}
