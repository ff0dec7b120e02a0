//! What the faults came to, by the ledgers.

use std::collections::{BTreeMap, BTreeSet};

use ::tests::ledger::{Executed, History, Step, Task, broken};
use serde::Serialize;

use super::{Injected, Recovery};
use crate::figures::{as_f64, rounded};
use crate::problem::Problem;

/// Length of a piece of time in which throughput is counted.
const BUCKET_NS: u64 = 100_000_000;

/// Pieces before a fault that say what flows without it.
const BEFORE: u64 = 10;

/// Pieces after a fault over which the loss is summed up, if it is not over later.
const AFTER: u64 = 10;

/// Most of them.
const AFTER_MAX: u64 = 100;

const MS_NS: f64 = 1e6;

/// Several measurements of one thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    p50: f64,
    p99: f64,
    max: f64,
    each: Vec<f64>,
}

/// The line that is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    case: &'static str,
    fault: &'static str,
    count: u32,
    rate: u32,
    /// From the start of the cluster's own processes to the first tuple at a sink.
    start_ms: f64,
    fault_free_per_s: u64,
    /// From the fault, or from its end where it was undone, until tuples passed every task that was
    /// hit.
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_ms: Option<Spread>,
    /// From the fault until the last number that was emitted again was acked.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed_ms: Option<Spread>,
    /// How many were emitted again, for each fault.
    replayed: Vec<u64>,
    /// From the fault until a change that a client asked for was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    served_ms: Option<Spread>,
    /// What did not flow where nothing was hit, from the fault until tuples flowed again, and for a
    /// second at least, in percent.
    dip_percent: Spread,
    /// How many tuples that was for, in each tenth of a second from the fault on.
    untouched_per_100_ms: Vec<Vec<u64>>,
    /// The same for seconds without a fault: what the machine itself does.
    dip_without_fault_percent: Spread,
    restarts_of_untouched: u64,
    lost: u64,
    broken: Vec<String>,
}

impl Figures {
    /// Puts them together.
    pub(crate) fn of(
        recovery: &Recovery,
        history: &History,
        faults: &[Injected],
        [start_ns, fault_free_per_s]: [u64; 2],
    ) -> Self {
        let replays: Vec<_> = faults.iter().map(|fault| replays(history, fault)).collect();
        let flows = faults.iter().filter_map(|fault| flow(history, fault));
        let served = faults.iter().filter_map(|it| Some(it.served_ns?.saturating_sub(it.at_ns)));
        let last_acks = replays.iter().filter_map(|(_, acked)| *acked);
        let pieces = |it: &Injected| {
            let flow = flow(history, it).unwrap_or(0) + it.healed_ns.map_or(0, |at| at - it.at_ns);
            (flow / BUCKET_NS + 1).clamp(AFTER, AFTER_MAX)
        };
        let during = |it: &Injected| untouched(history, it, it.at_ns, pieces(it));
        let during: Vec<_> = faults.iter().map(during).collect();
        let quiet = |it| untouched(history, it, it.at_ns - AFTER * BUCKET_NS, AFTER);
        let broken = broken(history, true);
        let lost = history.open() as u64;
        Self {
            case: "recovery",
            fault: recovery.fault.name(),
            count: recovery.count,
            rate: recovery.rate,
            start_ms: ms(start_ns),
            fault_free_per_s,
            flow_ms: Spread::of_ns(flows),
            replayed_ms: Spread::of_ns(last_acks),
            replayed: replays.iter().map(|(count, _)| *count).collect(),
            served_ms: Spread::of_ns(served),
            dip_percent: Spread::of(during.iter().map(Untouched::dip)),
            untouched_per_100_ms: during.into_iter().map(|it| it.after).collect(),
            dip_without_fault_percent: Spread::of(faults.iter().map(|it| quiet(it).dip())),
            restarts_of_untouched: restarts(history, faults),
            lost,
            broken,
        }
    }

    /// The same for people.
    pub(crate) fn told(&self) -> String {
        let Self { fault, count, rate, .. } = self;
        let mut lines = vec![format!(
            "{fault}, {count} times, {rate} tuples/s: start to flow {} ms, {} replayed in all",
            self.start_ms,
            self.replayed.iter().sum::<u64>()
        )];
        for (what, spread) in [
            ("tuples flow again, ms", self.flow_ms.as_ref()),
            ("lost ones replayed and acked, ms", self.replayed_ms.as_ref()),
            ("a change is served, ms", self.served_ms.as_ref()),
            ("dip where nothing was hit, %", Some(&self.dip_percent)),
            ("the same without a fault, %", Some(&self.dip_without_fault_percent)),
        ] {
            if let Some(Spread { p50, p99, max, .. }) = spread {
                lines.push(format!("  {what}: p50 {p50}, p99 {p99}, greatest {max}"));
            }
        }
        let Self { restarts_of_untouched, lost, .. } = self;
        lines.push(format!("  restarts of others {restarts_of_untouched}, lost tuples {lost}"));
        lines.join("\n")
    }

    /// Fails if a promise was broken: those of correctness, not those of speed.
    pub(crate) fn promises(&self) -> Result<(), Problem> {
        let no_replay = matches!(self.fault, "nimbus-leader" | "etcd-leader" | "link-cut");
        let replayed = self.replayed.iter().sum::<u64>();
        let mut why = self.broken.clone();
        if self.lost > 0 {
            why.push(format!("{} tuples are lost", self.lost));
        }
        if self.restarts_of_untouched > 0 {
            why.push(format!("{} others were restarted", self.restarts_of_untouched));
        }
        if no_replay && replayed > 0 {
            why.push(format!("{replayed} tuples were replayed where none should"));
        }
        if why.is_empty() {
            return Ok(());
        }
        Err(Problem::failed("a promise was broken", why.join("; ")))
    }
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let each: Vec<f64> = figures.map(rounded).collect();
        let mut sorted = each.clone();
        sorted.sort_by(f64::total_cmp);
        // The nearest rank: of few, the greatest is the 99th percentile.
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or(0.0)
        };
        Self { p50: rank(50), p99: rank(99), max: rank(100), each }
    }

    /// Of nanoseconds, in milliseconds; nothing of nothing.
    fn of_ns(figures: impl Iterator<Item = u64>) -> Option<Self> {
        let spread = Self::of(figures.map(ms));
        (!spread.each.is_empty()).then_some(spread)
    }
}

fn ms(ns: u64) -> f64 {
    rounded(as_f64(ns) / MS_NS)
}

/// The tasks and the processes that a tuple passed.
fn path(it: &Executed) -> [(Task, u32); 3] {
    [
        (Task::Spout(it.attempt.source), it.spout_pid),
        (Task::Relay(it.relay), it.relay_pid),
        (Task::Sink(it.sink), it.pid),
    ]
}

/// The tasks that a fault hit: those whose process was one of these when it was done.
fn hit(history: &History, fault: &Injected) -> BTreeSet<Task> {
    let mut hit = BTreeSet::new();
    for (task, lives) in history.processes() {
        if lives.keys().any(|pid| fault.hit.contains(pid)) {
            hit.insert(*task);
        }
    }
    hit
}

/// How long it took until tuples passed each task that was hit: through another process, or, where
/// the fault was undone, through the same again.
fn flow(history: &History, fault: &Injected) -> Option<u64> {
    let from = fault.healed_ns.unwrap_or(fault.at_ns);
    let mut first: BTreeMap<Task, u64> = BTreeMap::new();
    let hit = hit(history, fault);
    for executed in history.executed() {
        if executed.at_ns < from || executed.at_ns > fault.over_ns {
            continue;
        }
        for (task, pid) in path(executed) {
            let again = fault.healed_ns.is_some() || !fault.hit.contains(&pid);
            if again && hit.contains(&task) {
                let at = first.entry(task).or_insert(executed.at_ns);
                *at = executed.at_ns.min(*at);
            }
        }
    }
    // A task without any would be a hole in the measurement: `until_over` waits for all of them.
    (first.len() == hit.len()).then(|| first.values().max().copied()).flatten().map(|it| it - from)
}

/// How many numbers were emitted again on behalf of a fault, and how long after it the last of them
/// was acked.
fn replays(history: &History, fault: &Injected) -> (u64, Option<u64>) {
    let within = |at: u64| (fault.at_ns..=fault.over_ns).contains(&at);
    let mut again = BTreeSet::new();
    for told in history.told() {
        if told.step == Step::Emitted && told.attempt.attempt > 0 && within(told.at_ns) {
            again.insert((told.attempt.source, told.attempt.number));
        }
    }
    let acked = history.told().iter().filter(|told| {
        told.step == Step::Acked
            && told.at_ns >= fault.at_ns
            && again.contains(&(told.attempt.source, told.attempt.number))
    });
    let last = acked.map(|told| told.at_ns - fault.at_ns).max();
    (again.len() as u64, last)
}

/// What flowed on untouched paths in pieces of time, before a moment and after it.
struct Untouched {
    before: Vec<u64>,
    after: Vec<u64>,
}

impl Untouched {
    /// What is missing after the moment, in percent of what flowed in the second before: the area of
    /// the dip, without what was caught up later. Replays do not count as throughput.
    fn dip(&self) -> f64 {
        let usual = as_f64(self.before.iter().sum()) / as_f64(BEFORE);
        if usual <= 0.0 {
            return 0.0;
        }
        let missing = self.after.iter().map(|count| (usual - as_f64(*count)).max(0.0)).sum::<f64>();
        100.0 * missing / (usual * as_f64(self.after.len() as u64))
    }
}

/// Counts them, in `after` pieces after the moment.
fn untouched(history: &History, fault: &Injected, moment_ns: u64, after: u64) -> Untouched {
    let start = moment_ns.saturating_sub(BEFORE * BUCKET_NS);
    let mut buckets = vec![0_u64; (BEFORE + after) as usize];
    let hit = hit(history, fault);
    for executed in history.executed() {
        let Some(at) = executed.at_ns.checked_sub(start).map(|it| it / BUCKET_NS) else { continue };
        let touched = path(executed).iter().any(|(task, _)| hit.contains(task));
        if executed.attempt.attempt == 0
            && !touched
            && let Some(bucket) = buckets.get_mut(at as usize)
        {
            *bucket += 1;
        }
    }
    let after = buckets.split_off(BEFORE as usize);
    Untouched { before: buckets, after }
}

/// How many processes of tasks began though no fault had hit the one before.
fn restarts(history: &History, faults: &[Injected]) -> u64 {
    let hit: BTreeSet<u32> = faults.iter().flat_map(|it| it.hit.iter().copied()).collect();
    let killed = |fault: &Injected| fault.healed_ns.is_none();
    let excused = faults.iter().any(killed);
    let mut others = BTreeSet::new();
    for lives in history.processes().values() {
        let mut lives: Vec<(u64, u32)> = lives.iter().map(|(pid, at)| (*at, *pid)).collect();
        lives.sort_unstable();
        for pair in lives.windows(2) {
            let [(_, old), (_, new)] = [pair[0], pair[1]];
            if !(excused && hit.contains(&old)) {
                others.insert(new);
            }
        }
    }
    others.len() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;

    use ::tests::ledger::{Attempt, Told};

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const TENTH: u64 = SECOND / 10;

    /// Two sinks get a hundred tuples a second each, until process 8 of the first is killed at 10 s;
    /// process 9 takes over a quarter of a second later. The second one gets nothing for a tenth.
    fn history() -> History {
        let folder = tempfile::tempdir().unwrap();
        let mut files: HashMap<String, Vec<u8>> = HashMap::new();
        let mut told = |number, attempt, step, at_ns| {
            let attempt = Attempt { source: 0, number, attempt };
            let line = Told { attempt, step, at_ns, pid: 1 };
            line.write(files.entry("spout-0-1".to_owned()).or_default());
        };
        told(7, 0, Step::Emitted, 9 * SECOND);
        told(7, 0, Step::Failed, 10 * SECOND + TENTH);
        told(7, 1, Step::Emitted, 10 * SECOND + TENTH);
        told(7, 1, Step::Acked, 10 * SECOND + 3 * TENTH);
        let mut number = 100;
        for at_ns in (8 * SECOND..12 * SECOND).step_by(10_000_000) {
            for (sink, relay_pid) in [(0, 2), (1, 2)] {
                number += 1;
                let after = at_ns.saturating_sub(10 * SECOND);
                let pid = match sink {
                    0 if at_ns < 10 * SECOND => 8,
                    0 if after < TENTH * 5 / 2 => continue,
                    0 => 9,
                    _ if (TENTH..2 * TENTH).contains(&after) => continue,
                    _ => 4,
                };
                let attempt = Attempt { source: 0, number, attempt: 0 };
                let (spout_pid, relay, place) = (1, 0, number);
                Executed { attempt, at_ns, sink, pid, spout_pid, relay, relay_pid, place }
                    .write(files.entry(format!("sink-{sink}-{pid}")).or_default());
            }
        }
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let mut history = History::of(folder.path());
        history.refresh().unwrap();
        history
    }

    #[test]
    fn figures_are_what_the_ledgers_say() {
        let history = history();
        let (at_ns, over_ns) = (10 * SECOND, 12 * SECOND);
        let fault = Injected { at_ns, over_ns, hit: vec![8], ..Injected::default() };
        assert_eq!(flow(&history, &fault), Some(TENTH * 5 / 2), "process 9 took over");
        assert_eq!(replays(&history, &fault), (1, Some(3 * TENTH)));
        let missing = untouched(&history, &fault, at_ns, AFTER).dip();
        assert!((missing - 10.0).abs() < 0.1, "a tenth of a second is missing of one: {missing}");
        let quiet = untouched(&history, &fault, at_ns - SECOND, AFTER);
        assert!(quiet.dip() < 0.1, "nothing is before");
        assert_eq!(restarts(&history, std::slice::from_ref(&fault)), 0);
        let other = Injected { hit: vec![77], ..fault };
        assert_eq!(restarts(&history, &[other]), 1, "nothing was done to process 8");
    }

    #[test]
    fn the_99th_of_few_is_the_greatest() {
        let spread = Spread::of([3.0, 1.0, 2.0].into_iter());
        assert_eq!((spread.p50, spread.p99, spread.max), (2.0, 3.0, 3.0));
        assert_eq!(Spread::of_ns(std::iter::empty()), None);
    }
}
