//! What the word count has done so far, and what it came to: read from the status of the topology.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::topology::{LINES, Ranking, TOP};
use crate::output::grouped;
use crate::status::{ErrorStatus, TopologyDetail};

/// How far the word count is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    /// Since the topology was submitted.
    pub(crate) elapsed: Duration,
    /// "active", "finished", ...
    pub(crate) status: String,
    /// Workers that run, of all it has.
    pub(crate) workers: (usize, usize),
    /// Lines that were read, and not again.
    pub(crate) lines: u64,
    /// Lines of which every word was counted.
    pub(crate) acked: u64,
    /// Lines that failed and were read again.
    pub(crate) failed: u64,
    /// Lines under way.
    pub(crate) pending: u64,
    /// From reading a line to its last word: half take at most this long.
    pub(crate) latency_p50_us: Option<f64>,
    /// Nearly all take at most this long.
    pub(crate) latency_p99_us: Option<f64>,
    /// Lines with bytes that are not UTF-8.
    pub(crate) invalid_utf8: u64,
    /// Lines too long to be read whole.
    pub(crate) cut_lines: u64,
    /// What went wrong, each text once.
    pub(crate) errors: BTreeSet<String>,
    /// What was counted so far.
    pub(crate) ranking: Ranking,
}

/// Errors shown of those the topology remembers.
const ERRORS_SHOWN: usize = 3;

fn error(error: &ErrorStatus) -> String {
    format!("error in {}: {}", error.component, error.text)
}

impl Progress {
    /// Reads it from a status document.
    pub(crate) fn of(topology: &TopologyDetail, elapsed: Duration) -> Self {
        let spouts = || topology.components.iter().filter(|component| component.name == LINES);
        let emitted: u64 = spouts().map(|spout| spout.emitted).sum();
        let failed: u64 = spouts().map(|spout| spout.failed_total).sum();
        let counter = |name: &str| spouts().filter_map(|spout| spout.counters.get(name)).sum();
        let result = topology.results.iter().find(|result| result.component == TOP);
        let ranking = result.map(|result| serde_json::from_value(result.value.clone()));
        let running = topology.workers.iter().filter(|worker| worker.state == "running");
        Self {
            elapsed,
            status: topology.status.to_lowercase(),
            workers: (running.count(), topology.workers.len()),
            // A line that failed was emitted once more.
            lines: emitted.saturating_sub(failed),
            acked: spouts().map(|spout| spout.acked).sum(),
            failed,
            pending: spouts().map(|spout| spout.pending).sum(),
            latency_p50_us: spouts().find_map(|spout| spout.complete_p50_us),
            latency_p99_us: spouts().find_map(|spout| spout.complete_p99_us),
            invalid_utf8: counter("invalid-utf8"),
            cut_lines: counter("cut-lines"),
            errors: topology.errors.iter().map(error).collect(),
            ranking: ranking.and_then(Result::ok).unwrap_or_default(),
        }
    }

    /// What a reader of the counts should know about the files.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.invalid_utf8 > 0 {
            let lines = grouped(self.invalid_utf8);
            remarks.push(format!("lines with bytes that are not UTF-8, read as U+FFFD: {lines}"));
        }
        if self.cut_lines > 0 {
            let lines = grouped(self.cut_lines);
            remarks.push(format!("lines that are too long, counted up to the limit: {lines}"));
        }
        remarks.extend(self.errors.iter().take(ERRORS_SHOWN).cloned());
        remarks
    }

    /// Whether every line was acked and the topology has ended by itself.
    pub(crate) fn is_finished(&self) -> bool {
        self.status == "finished"
    }
}

/// What the word count came to; the form of `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Outcome {
    /// Lines of the files.
    pub(crate) lines: u64,
    /// Lines that were acked.
    pub(crate) acked: u64,
    /// Times a line failed and was read again.
    pub(crate) failed: u64,
    /// Words of the files.
    pub(crate) words: u64,
    /// Different ones.
    pub(crate) distinct: u64,
    /// From submission to the end.
    pub(crate) seconds: f64,
    /// The most frequent words.
    pub(crate) top: Vec<(String, u64)>,
}

impl Outcome {
    /// Sums up the last progress.
    pub(crate) fn of(progress: &Progress) -> Self {
        Self {
            lines: progress.lines,
            acked: progress.acked,
            failed: progress.failed,
            words: progress.ranking.words,
            distinct: progress.ranking.distinct,
            seconds: (progress.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            top: progress.ranking.top.clone(),
        }
    }

    /// The form for people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{} lines: {} acked, {} failed and read again; {} words, {} different; {:.1} s\n",
            grouped(self.lines),
            grouped(self.acked),
            grouped(self.failed),
            grouped(self.words),
            grouped(self.distinct),
            self.seconds,
        );
        for (word, count) in &self.top {
            text.push_str(&format!("\n{:>12}  {}", grouped(*count), crate::output::escape(word)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_an_outcome() {
        let document = r#"{"status":"finished",
            "workers":[{"state":"running"},{"state":"empty"}],
            "components":[
                {"name":"lines","kind":"spout","emitted":12,"acked":10,"failed_total":2,
                 "counters":{"invalid-utf8":3},
                 "complete_p50_us":5.0,"complete_p99_us":70.5},
                {"name":"split","kind":"bolt","acked":12,"failed_total":2}],
            "results":[{"component":"top","value":{"words":30,"distinct":2,"top":[["a",20],["b",10]]}}]}"#;
        let topology: TopologyDetail = serde_json::from_str(document).expect("a lenient model");
        let progress = Progress::of(&topology, Duration::from_micros(1_500_700));
        assert!(progress.is_finished());
        assert_eq!(progress.workers, (1, 2));
        assert_eq!(progress.remarks(), ["lines with bytes that are not UTF-8, read as U+FFFD: 3"]);
        let outcome = serde_json::to_string(&Outcome::of(&progress)).unwrap();
        assert_eq!(
            outcome,
            r#"{"lines":10,"acked":10,"failed":2,"words":30,"distinct":2,"seconds":1.501,"top":[["a",20],["b",10]]}"#
        );
    }

    #[test]
    fn a_topology_that_has_not_reported_yet_is_at_zero() {
        let progress = Progress::of(&TopologyDetail::default(), Duration::ZERO);
        assert_eq!(progress, Progress::default());
    }
}
