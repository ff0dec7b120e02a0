//! `squall logs`: what the workers of a topology wrote to standard output and standard error.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use daemon::Clock;
use daemon::logging::{Pieces, Search, readable};
use proto::nimbus::{LogsChunk, LogsRequest};
use serde_json::json;

use crate::args::{duration, size};
use crate::client::Client;
use crate::codes::Code;
use crate::commands::{Globals, topology_name, written};
use crate::error::Failure;
use crate::output;

/// Flags of `squall logs`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall logs word-count\n  \
    squall logs word-count -f --component count\n  \
    squall logs word-count --level warn --since 10m\n  \
    squall logs word-count --grep panicked --grep 'task [0-9]' -f")]
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
    /// Only this worker
    #[arg(long, value_name = "NUMBER")]
    worker: Option<u32>,
    /// Only lines in which this regular expression is found; given again, those in which all are
    #[arg(long, value_name = "RE", value_parser = expression)]
    grep: Vec<String>,
    /// Only lines that are as grave: `warn` shows warnings and errors
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<String>,
    /// Only what was logged in so long before now
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<Duration>,
    /// How much of the end of each log to show first, or to search [default: 64KiB, 16MiB to search]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    tail: Option<u64>,
}

/// What is searched of each log, and shown of it, if nobody says how much.
const SEARCHED_BYTES: u64 = 16 << 20;
const SHOWN_BYTES: u64 = 64 << 10;

fn level(text: &str) -> Result<String, String> {
    Search::new(&[], text, 0).map(|_| text.to_owned())
}

fn expression(text: &str) -> Result<String, String> {
    regex::Regex::new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Shows lines as they come, each with the number of its worker.
pub(crate) async fn run(logs: Logs, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot show the logs of `{}`", logs.name);
    let searched = !logs.grep.is_empty() || logs.level.is_some() || logs.since.is_some();
    let default_tail = if searched { SEARCHED_BYTES } else { SHOWN_BYTES };
    let since = logs.since.map(|since| Clock::system().wall_ms().saturating_sub(millis(since)));
    let request = LogsRequest {
        name: logs.name,
        component: logs.component.unwrap_or_default(),
        follow: logs.follow,
        tail_bytes: logs.tail.unwrap_or(default_tail),
        more_greps: logs.grep,
        level: logs.level.unwrap_or_default(),
        since_ms: since.unwrap_or(0),
        worker: logs.worker,
        ..LogsRequest::default()
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
    let text = output::escape(&readable(&line.text));
    written(output::print(&format!("worker {} | {text}", line.worker)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
    /// What has begun, by worker and supervisor.
    begun: BTreeMap<(u32, String), Pieces>,
}

impl Lines {
    /// Takes a chunk and returns the lines that it ends.
    fn take(&mut self, chunk: &LogsChunk) -> Vec<Line> {
        let (worker, supervisor) = (chunk.worker, chunk.supervisor.clone());
        let pieces = self.begun.entry((worker, supervisor.clone())).or_default();
        let line = |text| Line { worker, supervisor: supervisor.clone(), text };
        pieces.take(&chunk.data).into_iter().map(line).collect()
    }

    /// Returns what never ended.
    fn rest(self) -> Vec<Line> {
        let rest = self.begun.into_iter();
        let line = |((worker, supervisor), pieces): ((u32, String), Pieces)| {
            Some(Line { worker, supervisor, text: pieces.rest()? })
        };
        rest.filter_map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(worker: u32, data: &[u8]) -> LogsChunk {
        LogsChunk { worker, supervisor: "s".into(), data: data.to_vec(), ..LogsChunk::default() }
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
}
