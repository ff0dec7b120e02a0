//! What a run came to: the figures, after the sums of the sink were held against the spout's.

use std::collections::BTreeMap;

use serde::Serialize;
use topology_api::{Text, key_hash};

use crate::components::{Left, Tally};
use crate::meter::Found;
use crate::options::{Case, Options};
use crate::problem::Problem;
use crate::text;

/// The line that is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    case: &'static str,
    mode: &'static str,
    acks: &'static str,
    /// That reached the last bolt: for the word count, words.
    tuples_per_s: f64,
    /// Of the spout's, whose trees were acked.
    acked_per_s: Option<f64>,
    /// From emit to the last bolt.
    p50_us: f64,
    p99_us: f64,
    /// From emit to ack.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete_p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete_p99_us: Option<f64>,
    /// Of the processes that run the topology.
    cpu_cores: f64,
    rss_mib: f64,
}

/// Holds what arrived against what was emitted, and sums the figures up.
pub(crate) fn of(options: &Options, left: &[Left]) -> Result<Figures, Problem> {
    let what = "the sums of the run do not add up";
    let mut spout = None;
    let mut sink = None;
    let mut processes: BTreeMap<u32, &Found> = BTreeMap::new();
    for task in left {
        let found = match task {
            Left::Spout { found, emitted, acked, failed } => {
                spout = Some((found, *emitted, *acked, *failed));
                found
            }
            Left::Between { found } => found,
            Left::Sink { found, tally } => {
                sink = Some((found, *tally));
                found
            }
        };
        let process = processes.entry(found.pid).or_insert(found);
        if process.seconds < found.seconds {
            *process = found;
        }
    }
    let (Some((source, emitted, acked, failed)), Some((arrived, tally))) = (spout, sink) else {
        return Err(Problem::failed(what, "the spout or the sink left no result"));
    };
    if failed > 0 || (options.tracks() && acked != emitted) {
        let why = format!("of {emitted} tuples {acked} were acked and {failed} failed");
        return Err(Problem::failed(what, why));
    }
    let expected = expected(options, emitted)?;
    if tally != expected {
        let why = format!("{expected:?} was emitted and {tally:?} arrived");
        return Err(Problem::failed(what, why));
    }
    if arrived.samples == 0 {
        let why = "nothing arrived within the window";
        return Err(Problem::failed("there is nothing to show", why));
    }
    let tracked = |figure: f64| options.tracks().then_some(figure);
    Ok(Figures {
        case: options.case.name(),
        mode: options.mode.name(),
        acks: options.acks.name(),
        tuples_per_s: arrived.per_second.round(),
        acked_per_s: tracked(source.per_second.round()),
        p50_us: rounded(arrived.p50_us),
        p99_us: rounded(arrived.p99_us),
        complete_p50_us: tracked(rounded(source.p50_us)),
        complete_p99_us: tracked(rounded(source.p99_us)),
        cpu_cores: rounded(processes.values().map(|found| found.cpu_cores).sum()),
        rss_mib: rounded(processes.values().map(|found| found.rss_mib).sum()),
    })
}

/// Says for people what each task found.
pub(crate) fn told(left: &[Left]) -> String {
    let mut lines = vec!["each tuple arrived once".to_owned()];
    for task in left {
        let (name, found) = match task {
            Left::Spout { found, .. } => ("spout", found),
            Left::Between { found } => ("between", found),
            Left::Sink { found, .. } => ("sink", found),
        };
        lines.push(format!(
            "{name:<8}{:>12.0}/s in {:.1} s, {} latencies; process {}: {:.2} cores, {:.0} MiB",
            found.per_second,
            found.seconds,
            found.samples,
            found.pid,
            found.cpu_cores,
            found.rss_mib
        ));
    }
    lines.join("\n")
}

/// What the sink has to have seen when the spout emitted so many tuples.
fn expected(options: &Options, emitted: u64) -> Result<Tally, Problem> {
    let mut tally = Tally::default();
    if options.case != Case::WordCount {
        (0..emitted).for_each(|number| tally.add(number));
        return Ok(tally);
    }
    let lines = text::lines(options.text.as_deref())?;
    let length = lines.len() as u64;
    for (line, text) in (0..).zip(&lines) {
        let times = emitted / length + u64::from(line < emitted % length);
        words(text).for_each(|word| tally.add_times(key_hash(word), times));
    }
    Ok(tally)
}

fn words(line: &Text) -> impl Iterator<Item = &str> {
    line.split(' ')
}

fn rounded(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Asked;

    fn options(line: &str) -> Options {
        match Options::parse_words(line.split_whitespace().map(str::to_owned)) {
            Ok(Asked::Run(options)) => *options,
            other => panic!("`{line}` is a run, not {other:?}"),
        }
    }

    fn found(pid: u32) -> Found {
        Found { pid, seconds: 9.0, samples: 1, cpu_cores: 0.5, rss_mib: 10.0, ..Found::default() }
    }

    fn left(numbers: &[u64], acked: u64) -> [Left; 3] {
        let mut tally = Tally::default();
        numbers.iter().for_each(|number| tally.add(*number));
        [
            Left::Spout { found: found(1), emitted: 3, acked, failed: 0 },
            Left::Between { found: Found { pid: 1, ..Found::default() } },
            Left::Sink { found: found(2), tally },
        ]
    }

    #[test]
    fn a_process_counts_once_whatever_runs_in_it() {
        let figures = of(&options("const-id-null"), &left(&[0, 2, 1], 3)).unwrap();
        assert_eq!((figures.cpu_cores, figures.rss_mib), (1.0, 20.0));
    }

    #[test]
    fn lost_doubled_swapped_and_unacked_tuples_are_seen() {
        for numbers in [&[0, 1][..], &[0, 1, 2, 2], &[1, 1, 1], &[0, 1, 3]] {
            let problem = of(&options("const-null"), &left(numbers, 3)).unwrap_err();
            assert!(problem.why.contains("arrived"), "{numbers:?}: {problem:?}");
        }
        let problem = of(&options("const-null"), &left(&[0, 1, 2], 2)).unwrap_err();
        assert!(problem.why.contains("2 were acked"), "{problem:?}");
        of(&options("const-null --acks off"), &left(&[0, 1, 2], 0)).expect("nothing is tracked");
    }

    #[test]
    fn the_words_of_the_lines_emitted_are_expected_round_and_round() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a b\nb\n").unwrap();
        let options = options(&format!("word-count --text {}", file.path().display()));
        let mut tally = Tally::default();
        tally.add_times(key_hash("a"), 2);
        tally.add_times(key_hash("b"), 3);
        assert_eq!(expected(&options, 3).unwrap(), tally);
    }
}
