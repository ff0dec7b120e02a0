//! The invariants that every run must keep, whatever was done to its processes.
//!
//! Named as in the catalogue that `tests/faults.md` follows: I1 one verdict, I2 no loss, I3 no early
//! ack, I4 one owner, I5 order.

use std::collections::HashMap;

use super::history::{History, Task};
use super::record::{Attempt, Executed, Step, Told};

/// How many breaches of one invariant are listed.
const LISTED_MAX: usize = 5;

/// Breaches of the invariants, in words.
pub type Broken = Vec<String>;

/// What became of one attempt.
#[derive(Debug, Default)]
struct Fate {
    pid: u32,
    verdicts: Vec<Told>,
    executions: Vec<Executed>,
}

/// Returns how a history breaks the invariants; nothing if it keeps them all.
///
/// The spouts have ended, so every number must have been acked: `finished` is whether they did.
///
/// ```
/// let history = tests::ledger::History::of("/tmp");
/// assert!(tests::ledger::broken(&history, true).is_empty(), "nothing was done");
/// ```
#[must_use]
pub fn broken(history: &History, finished: bool) -> Broken {
    let mut fates: HashMap<Attempt, Fate> = HashMap::new();
    for told in history.told() {
        let fate = fates.entry(told.attempt).or_default();
        match told.step {
            Step::Emitted => fate.pid = told.pid,
            Step::Acked | Step::Failed => fate.verdicts.push(*told),
        }
    }
    for executed in history.executed() {
        fates.entry(executed.attempt).or_default().executions.push(*executed);
    }
    let mut broken = Vec::new();
    verdicts(&fates, history, finished, &mut broken);
    loss(&fates, finished, &mut broken);
    owners(&fates, history, &mut broken);
    order(history.executed(), &mut broken);
    broken
}

/// Adds the first few breaches of one invariant.
fn list(name: &str, breaches: impl Iterator<Item = String>, broken: &mut Broken) {
    broken.extend(breaches.take(LISTED_MAX).map(|it| format!("{name}: {it}")));
}

/// I1: each attempt has at most one verdict, given to the process that emitted it; exactly one if
/// that process is the last of its task.
fn verdicts(
    fates: &HashMap<Attempt, Fate>,
    history: &History,
    finished: bool,
    broken: &mut Broken,
) {
    let current = history.current();
    let breaches = fates.iter().filter_map(|(attempt, fate)| {
        if fate.pid == 0 {
            return Some(format!("{attempt:?} was never emitted, but {fate:?}"));
        }
        if fate.verdicts.iter().any(|it| it.pid != fate.pid) {
            return Some(format!("{attempt:?} of {} was told to another: {fate:?}", fate.pid));
        }
        let lives = current.get(&Task::Spout(attempt.source)) == Some(&fate.pid);
        let least = usize::from(lives && finished);
        let right = (least..=1).contains(&fate.verdicts.len());
        (!right).then(|| format!("{attempt:?} has {} verdicts", fate.verdicts.len()))
    });
    list("I1, one verdict", breaches, broken);
}

/// I2: every number was acked in the end. I3: what was acked had been executed before.
fn loss(fates: &HashMap<Attempt, Fate>, finished: bool, broken: &mut Broken) {
    let mut acked: HashMap<(u32, u64), bool> = HashMap::new();
    let mut early = Vec::new();
    for (attempt, fate) in fates {
        let ack = fate.verdicts.iter().find(|it| it.step == Step::Acked);
        *acked.entry((attempt.source, attempt.number)).or_default() |= ack.is_some();
        if let Some(ack) = ack
            && !fate.executions.iter().any(|it| it.at_ns <= ack.at_ns)
        {
            early.push(format!("{attempt:?} was acked before a sink had executed it"));
        }
    }
    let missing = acked.iter().filter(|(_, acked)| finished && !**acked);
    let missing = missing.map(|((source, number), _)| format!("{number} of {source} never acked"));
    list("I2, no loss", missing, broken);
    list("I3, no early ack", early.into_iter(), broken);
}

/// I4: what was acked was executed by a sink that nobody had replaced by then.
fn owners(fates: &HashMap<Attempt, Fate>, history: &History, broken: &mut Broken) {
    let processes = history.processes();
    let replaced = |it: &Executed| {
        let lives = processes.get(&Task::Sink(it.sink));
        lives.is_some_and(|lives| {
            let own = lives.get(&it.pid).copied().unwrap_or(0);
            lives.values().any(|first| *first > own && *first < it.at_ns)
        })
    };
    let breaches = fates.iter().filter_map(|(attempt, fate)| {
        let acked = fate.verdicts.iter().any(|it| it.step == Step::Acked);
        let stale = !fate.executions.is_empty() && fate.executions.iter().all(replaced);
        (acked && stale).then(|| format!("{attempt:?} was acked for a replaced sink: {fate:?}"))
    });
    list("I4, one owner", breaches, broken);
}

/// I5: what one process of a relay gave to one process of a sink came in the order it was given.
fn order(executed: &[Executed], broken: &mut Broken) {
    let mut last: HashMap<(u32, u32, u32, u32), u64> = HashMap::new();
    let breaches = executed.iter().filter_map(|it| {
        let edge = (it.relay, it.relay_pid, it.sink, it.pid);
        let before = last.insert(edge, it.place)?;
        (it.place <= before).then(|| format!("{it:?} came after place {before}"))
    });
    list("I5, order", breaches, broken);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u32 = 11;

    /// A history of these lines: `step number attempt at`, and sinks' lines `number attempt at pid
    /// place`.
    fn found(told: &[(Step, u64, u32, u64)], sinks: &[(u64, u32, u64, u32, u64)]) -> Broken {
        let folder = tempfile::tempdir().unwrap();
        let mut files: HashMap<String, Vec<u8>> = HashMap::new();
        for (step, number, attempt, at_ns) in told {
            let attempt = Attempt { source: 0, number: *number, attempt: *attempt };
            let line = Told { attempt, step: *step, at_ns: *at_ns, pid: LIFE };
            line.write(files.entry(format!("spout-0-{LIFE}")).or_default());
        }
        for (number, attempt, at_ns, pid, place) in sinks {
            let attempt = Attempt { source: 0, number: *number, attempt: *attempt };
            let (at_ns, place, pid) = (*at_ns, *place, *pid);
            let line = Executed {
                attempt,
                at_ns,
                sink: 0,
                pid,
                spout_pid: LIFE,
                relay: 0,
                relay_pid: 3,
                place,
            };
            line.write(files.entry(format!("sink-0-{pid}")).or_default());
        }
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let mut history = History::of(folder.path());
        history.refresh().unwrap();
        broken(&history, true)
    }

    use Step::{Acked, Emitted, Failed};

    #[test]
    fn a_run_with_a_replay_keeps_all_of_them() {
        let told = [
            (Emitted, 0, 0, 1),
            (Emitted, 1, 0, 2),
            (Acked, 1, 0, 9),
            (Failed, 0, 0, 10),
            (Emitted, 0, 1, 11),
            (Acked, 0, 1, 20),
        ];
        let sinks = [(0, 0, 5, 8, 0), (1, 0, 6, 8, 1), (0, 1, 15, 8, 2)];
        assert_eq!(found(&told, &sinks), Broken::new());
    }

    #[test]
    fn each_breach_is_found() {
        let both = [(Emitted, 0, 0, 1), (Acked, 0, 0, 9), (Failed, 0, 0, 10)];
        let none = [(Emitted, 0, 0, 1), (Failed, 0, 0, 10)];
        let good = [(Emitted, 0, 0, 1), (Acked, 0, 0, 9)];
        let two = [(Emitted, 0, 0, 1), (Emitted, 1, 0, 1), (Acked, 0, 0, 9), (Acked, 1, 0, 9)];
        let one = [(0, 0, 5, 8, 0)];
        // Process 8 executes after process 9, which replaced it.
        let zombie = [(1, 0, 2, 8, 0), (1, 0, 3, 9, 1), (0, 0, 5, 8, 2)];
        for (told, sinks, name) in [
            (&both[..], &one[..], "I1"),
            (&none, &one, "I2"),
            (&good, &[], "I3"),
            (&good, &[(0, 0, 10, 8, 0)], "I3"),
            (&two, &zombie, "I4"),
            (&two, &[(0, 0, 5, 8, 4), (1, 0, 6, 8, 3)], "I5"),
            (&[], &one, "I1"),
        ] {
            let broken = found(told, sinks);
            assert!(broken.iter().any(|it| it.starts_with(name)), "{name}: {broken:?}");
        }
    }
}
