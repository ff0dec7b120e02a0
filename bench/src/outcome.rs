//! What a run came to: the figures, after the sums of the sinks were held against the spouts'.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cases;
use crate::figures::{as_f64, median, rounded};
use crate::latencies::Latencies;
use crate::left::{Left, Role};
use crate::meter::Found;
use crate::options::Case;
use crate::problem::Problem;
use crate::tally::Tally;

/// The line that is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    case: &'static str,
    mode: &'static str,
    acks: &'static str,
    parallelism: u32,
    /// Of the spouts together, if it was fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u32>,
    /// Settings of the topology that were given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    set: BTreeMap<String, String>,
    seconds: u32,
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
    /// What the busiest sink got, against what one gets in the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    busiest: Option<f64>,
    /// Of the processes that run the topology.
    cpu_cores: f64,
    rss_mib: f64,
    /// Of nimbus, supervisor and who looks at the status twice a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) daemon_cores: Option<f64>,
}

/// The spouts, or the sinks, together.
struct Together {
    per_second: f64,
    latencies: Latencies,
    /// How much each of them got a second.
    each: Vec<f64>,
}

impl Together {
    fn of<'a>(tasks: impl Iterator<Item = &'a Found>) -> Self {
        let mut all = Self { per_second: 0.0, latencies: Latencies::new(), each: Vec::new() };
        for found in tasks {
            all.per_second += found.per_second;
            all.latencies.join(&found.latencies);
            all.each.push(found.per_second);
        }
        all
    }

    fn busiest(&self) -> Option<f64> {
        let most = self.each.iter().copied().max_by(f64::total_cmp)?;
        let several = self.each.len() > 1 && self.per_second > 0.0;
        several.then(|| rounded(most * as_f64(self.each.len() as u64) / self.per_second))
    }
}

/// Holds what arrived against what was emitted, and sums the figures up.
pub(crate) fn of(case: &Case, left: &[Left]) -> Result<Figures, Problem> {
    check(case, left)?;
    let is_spout = |task: &&Left| matches!(task.role, Role::Spout { .. });
    let is_sink = |task: &&Left| matches!(task.role, Role::Sink { .. });
    let source = Together::of(left.iter().filter(is_spout).map(|task| &task.found));
    let arrived = Together::of(left.iter().filter(is_sink).map(|task| &task.found));
    if arrived.latencies.count() == 0 {
        let why = "nothing arrived within the window";
        return Err(Problem::failed("there is nothing to show", why));
    }
    let run = case.run();
    let tracked = |figure: f64| run.tracks().then_some(figure);
    let us = |latencies: &Latencies, quantile| rounded(latencies.quantile_us(quantile));
    let processes = processes(left);
    Ok(Figures {
        case: case.name(),
        mode: run.mode.name(),
        acks: run.acks.name(),
        parallelism: case.parallelism(),
        rate: run.rate,
        bytes: if let Case::Payload { bytes, .. } = case { Some(*bytes) } else { None },
        set: run.set.iter().cloned().collect(),
        seconds: run.seconds,
        tuples_per_s: arrived.per_second.round(),
        acked_per_s: tracked(source.per_second.round()),
        p50_us: us(&arrived.latencies, 0.5),
        p99_us: us(&arrived.latencies, 0.99),
        complete_p50_us: tracked(us(&source.latencies, 0.5)),
        complete_p99_us: tracked(us(&source.latencies, 0.99)),
        busiest: arrived.busiest(),
        cpu_cores: rounded(processes.values().map(|found| found.cpu_cores).sum()),
        rss_mib: rounded(processes.values().map(|found| found.rss_mib).sum()),
        daemon_cores: None,
    })
}

/// Fails unless every tuple arrived once and every tree was acked.
fn check(case: &Case, left: &[Left]) -> Result<(), Problem> {
    let what = "the sums of the run do not add up";
    let mut spouts = BTreeMap::new();
    let mut tally = Tally::default();
    let mut sinks = 0;
    for task in left {
        match task.role {
            Role::Spout { index, emitted, acked, failed } => {
                if failed > 0 || (case.run().tracks() && acked != emitted) {
                    let why = format!("of {emitted} tuples {acked} were acked and {failed} failed");
                    return Err(Problem::failed(what, why));
                }
                spouts.insert(index, emitted);
            }
            Role::Between => {}
            Role::Sink { tally: seen } => {
                sinks += 1;
                tally.join(seen, 1);
            }
        }
    }
    let tasks = case.parallelism() as usize;
    if spouts.len() != tasks || sinks == 0 {
        let why = format!("{} of {tasks} spouts and {sinks} sinks left results", spouts.len());
        return Err(Problem::failed(what, why));
    }
    let emitted: Vec<u64> = spouts.into_values().collect();
    let expected = cases::expected(case, &emitted)?;
    if tally != expected {
        let why = format!("{expected:?} was emitted and {tally:?} arrived");
        return Err(Problem::failed(what, why));
    }
    Ok(())
}

/// What each process found of itself: the task of it with the longest window knows best.
fn processes(left: &[Left]) -> BTreeMap<u32, &Found> {
    let mut processes: BTreeMap<u32, &Found> = BTreeMap::new();
    for found in left.iter().map(|task| &task.found) {
        let process = processes.entry(found.pid).or_insert(found);
        if process.seconds < found.seconds {
            *process = found;
        }
    }
    processes
}

/// Says for people what the tasks found.
pub(crate) fn told(left: &[Left]) -> String {
    let mut lines = vec!["each tuple arrived once".to_owned()];
    let mut roles: BTreeMap<(&str, u32), Vec<&Found>> = BTreeMap::new();
    for task in left {
        let name = match task.role {
            Role::Spout { .. } => "1 spout",
            Role::Between => "2 between",
            Role::Sink { .. } => "3 sink",
        };
        roles.entry((name, task.found.pid)).or_default().push(&task.found);
    }
    for ((name, pid), tasks) in roles {
        let per_second: f64 = tasks.iter().map(|found| found.per_second).sum();
        let seconds: Vec<f64> = tasks.iter().map(|found| found.seconds).collect();
        lines.push(format!(
            "{:<8} {:>3} task(s) in process {pid}: {per_second:>12.0}/s in {:.1} s",
            &name[2..],
            tasks.len(),
            median(&seconds).unwrap_or_default(),
        ));
    }
    for (pid, found) in processes(left) {
        let Found { cpu_cores, rss_mib, .. } = found;
        lines.push(format!("process {pid}: {cpu_cores:.2} cores, {rss_mib:.0} MiB"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::case_of;

    fn found(pid: u32, latency_us: Option<u64>) -> Found {
        let mut latencies = Latencies::new();
        latency_us.into_iter().for_each(|latency| latencies.record(latency * 1_000));
        let latencies = latencies.buckets();
        Found { pid, seconds: 9.0, cpu_cores: 0.5, rss_mib: 10.0, per_second: 3.0, latencies }
    }

    fn sink(numbers: &[u64], latency_us: u64) -> Left {
        let mut tally = Tally::default();
        numbers.iter().for_each(|number| tally.add(*number));
        Left { found: found(2, Some(latency_us)), role: Role::Sink { tally } }
    }

    fn spout(index: u32, emitted: u64, acked: u64) -> Left {
        Left { found: found(1, None), role: Role::Spout { index, emitted, acked, failed: 0 } }
    }

    fn left(numbers: &[u64], acked: u64) -> [Left; 3] {
        let between = Found { pid: 1, ..Found::default() };
        [spout(0, 3, acked), Left { found: between, role: Role::Between }, sink(numbers, 1)]
    }

    #[test]
    fn a_process_counts_once_whatever_runs_in_it() {
        let figures = of(&case_of("const-id-null"), &left(&[0, 2, 1], 3)).unwrap();
        assert_eq!((figures.cpu_cores, figures.rss_mib), (1.0, 20.0));
    }

    #[test]
    fn lost_doubled_swapped_and_unacked_tuples_are_seen() {
        for numbers in [&[0, 1][..], &[0, 1, 2, 2], &[1, 1, 1], &[0, 1, 3]] {
            let problem = of(&case_of("const-null"), &left(numbers, 3)).unwrap_err();
            assert!(problem.why.contains("arrived"), "{numbers:?}: {problem:?}");
        }
        let problem = of(&case_of("const-null"), &left(&[0, 1, 2], 2)).unwrap_err();
        assert!(problem.why.contains("2 were acked"), "{problem:?}");
        of(&case_of("const-null --acks off"), &left(&[0, 1, 2], 0)).expect("nothing is tracked");
    }

    #[test]
    fn several_spouts_and_sinks_are_taken_together() {
        let case = case_of("mesh --parallelism 2");
        // The first spout has the even numbers, the second the odd ones.
        let left = [sink(&[0, 3], 10), spout(1, 2, 2), sink(&[1, 2], 1_000), spout(0, 2, 2)];
        let figures = of(&case, &left).unwrap();
        assert_eq!((figures.tuples_per_s, figures.busiest), (6.0, Some(1.0)));
        assert!(figures.p50_us < 11.0 && figures.p99_us > 990.0, "{figures:?}");
        let problem = of(&case, &left[..3]).unwrap_err();
        assert!(problem.why.contains("1 of 2 spouts"), "{problem:?}");
    }
}
