//! Lines of several workers, put together from what their supervisors send: in the order in which they
//! were logged, and no more of them than an answer has room for.

use std::collections::BTreeMap;

use daemon::logging::{Line, Pieces};
use proto::nimbus::LogsChunk;
use serde::Serialize;
use utoipa::ToSchema;

/// What the lines of one answer may take: it stays below 1 MiB.
const TEXT_BYTES_MAX: usize = 700_000;

/// What is shown of one line.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Lines of logs.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(in crate::rest) struct LogLines {
    /// The oldest first.
    pub(super) lines: Vec<LogLine>,
    /// There are more, older ones: they did not fit, or too far back to be looked at.
    cut: bool,
    /// Workers whose log cannot be read.
    away: Vec<LogAway>,
}

/// A line that a worker wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::rest) struct LogLine {
    /// The worker.
    worker: u32,
    /// When it was logged, in milliseconds since 1970; `null` if it was printed and not logged.
    at_ms: Option<u64>,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`; `null` if it was printed.
    level: Option<&'static str>,
    /// The module that logged it; empty if it was printed.
    target: String,
    /// The component in whose call it was logged.
    component: Option<String>,
    /// The task in whose call it was logged.
    task: Option<u32>,
    /// What it says, with its fields; cut off if it is long.
    text: String,
}

/// A worker whose log cannot be read, or not any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::rest) struct LogAway {
    /// The worker.
    worker: u32,
    /// Its supervisor.
    supervisor: String,
    /// Why.
    why: String,
}

impl LogLines {
    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.cut && self.away.is_empty()
    }
}

/// Puts lines together: chunks of several workers come mixed and end anywhere.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    begun: BTreeMap<(u32, String), Pieces>,
}

impl Assembly {
    /// The lines that a chunk ends.
    pub(super) fn take(&mut self, chunk: &LogsChunk) -> LogLines {
        let LogsChunk { worker, supervisor, cut, problem, .. } = chunk;
        if !problem.is_empty() {
            let (supervisor, why) = (supervisor.clone(), problem.clone());
            let away = vec![LogAway { worker: *worker, supervisor, why }];
            return LogLines { away, ..LogLines::default() };
        }
        let pieces = self.begun.entry((*worker, supervisor.clone())).or_default();
        let lines = pieces.take(&chunk.data);
        let lines = lines.iter().map(|raw| line(*worker, raw)).collect();
        LogLines { lines, cut: *cut, ..LogLines::default() }
    }

    /// What never ended.
    pub(super) fn rest(self) -> LogLines {
        let rest = self.begun.into_iter();
        let rest = rest.filter_map(|((worker, _), pieces)| Some(line(worker, &pieces.rest()?)));
        LogLines { lines: rest.collect(), ..LogLines::default() }
    }
}

fn line(worker: u32, raw: &str) -> LogLine {
    let Line { at_ms, level, target, component, task, mut text } = Line::read(raw);
    if text.len() > LINE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(LINE_BYTES_MAX));
        text.push('…');
    }
    let level = level.map(|level| level.as_str());
    LogLine { worker, at_ms, level, target, component, task, text }
}

/// The newest lines of several workers, no more than are wanted and have room.
#[derive(Debug)]
pub(super) struct Newest {
    most: usize,
    /// When each line came, as far as its worker says; those of one worker stay in their order.
    lines: Vec<(u64, LogLine)>,
    bytes: usize,
    /// When each worker logged last.
    last_ms: BTreeMap<u32, u64>,
    pub(super) cut: bool,
    away: Vec<LogAway>,
}

impl Newest {
    /// So many lines at most.
    pub(super) fn new(most: usize) -> Self {
        let (lines, away) = (Vec::new(), Vec::new());
        Self { most, lines, bytes: 0, last_ms: BTreeMap::new(), cut: false, away }
    }

    /// Takes more lines in.
    pub(super) fn add(&mut self, more: LogLines) {
        let LogLines { lines, cut, mut away } = more;
        self.cut |= cut;
        self.away.append(&mut away);
        for line in lines {
            let last_ms = self.last_ms.entry(line.worker).or_default();
            // What is printed came after the line before it.
            *last_ms = line.at_ms.unwrap_or(*last_ms);
            self.bytes += size(&line);
            self.lines.push((*last_ms, line));
        }
        if self.lines.len() > 2 * self.most || self.bytes > 2 * TEXT_BYTES_MAX {
            self.shrink();
        }
    }

    /// Keeps what may be shown.
    fn shrink(&mut self) {
        self.lines.sort_by_key(|(at_ms, _)| *at_ms);
        let mut room = TEXT_BYTES_MAX;
        let fits = |(_, line): &&(u64, LogLine)| {
            let fits = size(line) <= room;
            room = room.saturating_sub(size(line));
            fits
        };
        let kept = self.lines.iter().rev().take(self.most).take_while(fits).count();
        let over = self.lines.len() - kept;
        self.cut |= over > 0;
        self.lines.drain(..over);
        self.bytes = self.lines.iter().map(|(_, line)| size(line)).sum();
    }

    /// Returns what there is room for.
    pub(super) fn ended(mut self) -> LogLines {
        self.shrink();
        let lines = self.lines.into_iter().map(|(_, line)| line).collect();
        LogLines { lines, cut: self.cut, away: self.away }
    }
}

/// What a line takes in an answer, about.
fn size(line: &LogLine) -> usize {
    let component = line.component.as_ref().map_or(0, String::len);
    // What JSON has to escape takes six bytes at most.
    let escaped = line.text.bytes().filter(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\'));
    160 + line.text.len() + 5 * escaped.count() + line.target.len() + component
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(worker: u32, data: &str) -> LogsChunk {
        let data = data.as_bytes().to_vec();
        LogsChunk { worker, supervisor: "s".into(), data, ..LogsChunk::default() }
    }

    fn texts(lines: &LogLines) -> Vec<&str> {
        lines.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_of_several_workers_are_in_the_order_of_their_times_and_the_newest_are_kept() {
        let mut assembly = Assembly::default();
        let mut newest = Newest::new(4);
        let logged =
            |second, text| format!("2026-11-21T20:00:{second:02}.000000Z  INFO a: {text}\n");
        newest
            .add(assembly.take(&chunk(0, &(logged(1, "one") + "printed\n" + &logged(5, "five")))));
        newest.add(assembly.take(&chunk(1, &(logged(2, "two") + &logged(4, "fo")[..30]))));
        newest.add(assembly.take(&chunk(1, "NFO a: four\n")));
        let problem = LogsChunk { problem: "gone".into(), ..chunk(2, "[no more logs]\n") };
        newest.add(assembly.take(&problem));
        newest.add(assembly.rest());
        let shown = newest.ended();
        assert_eq!(texts(&shown), ["printed", "two", "four", "five"]);
        assert!(shown.cut, "one is left out");
        assert_eq!((shown.away[0].worker, shown.away[0].why.as_str()), (2, "gone"));
    }

    #[test]
    fn an_answer_is_bounded_whatever_workers_write() {
        let mut assembly = Assembly::default();
        let mut newest = Newest::new(1_000);
        let long = "é".repeat(20_000) + "\n";
        for worker in 0..100 {
            newest.add(assembly.take(&chunk(worker, &long)));
            assert!(newest.bytes < 3 * TEXT_BYTES_MAX, "what is kept is bounded");
        }
        let shown = serde_json::to_string(&newest.ended()).expect("plain data");
        assert!(shown.len() < 1 << 20, "{}", shown.len());
    }
}
