//! The lines of a ledger: of fixed length, so that they are read fast and a torn end is seen.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`, which is one clock for all processes of a machine.

use nix::time::{ClockId, clock_gettime};

/// One emission of a number: which spout task, which number, and for the how manieth time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt {
    /// The spout's task, by its number within the component.
    pub source: u32,
    /// The number that it emits.
    pub number: u64,
    /// Zero for the first time.
    pub attempt: u32,
}

/// What a spout did with an attempt, or was told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It emitted it.
    Emitted,
    /// It was told that the tree is complete.
    Acked,
    /// It was told that the tree failed.
    Failed,
}

/// A line of a spout's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it is about.
    pub attempt: Attempt,
    /// What happened.
    pub step: Step,
    /// When.
    pub at_ns: u64,
    /// The process of the spout.
    pub pid: u32,
}

/// A line of a sink's ledger: written before the tuple is acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executed {
    /// What came.
    pub attempt: Attempt,
    /// When it was executed.
    pub at_ns: u64,
    /// The sink's task.
    pub sink: u32,
    /// The process of the sink.
    pub pid: u32,
    /// The process that emitted it.
    pub spout_pid: u32,
    /// The relay's task that passed it on.
    pub relay: u32,
    /// The process of the relay.
    pub relay_pid: u32,
    /// How many tuples that relay had passed on before, since its process started.
    pub place: u64,
}

/// Bytes of a line of a spout.
pub(super) const TOLD_BYTES: usize = 24;

/// Bytes of a line of a sink.
pub(super) const EXECUTED_BYTES: usize = 48;

impl Told {
    /// Writes the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let step: u32 = match self.step {
            Step::Emitted => 0,
            Step::Acked => 1,
            Step::Failed => 2,
        };
        out.extend(self.attempt.number.to_le_bytes());
        out.extend(self.at_ns.to_le_bytes());
        out.extend(self.attempt.attempt.to_le_bytes());
        out.extend(step.to_le_bytes());
    }

    /// Reads a line that `pid` wrote as the task `source`.
    pub(super) fn read(line: &[u8], source: u32, pid: u32) -> Self {
        let attempt = Attempt { source, number: wide(line, 0), attempt: short(line, 16) };
        let step = match short(line, 20) {
            0 => Step::Emitted,
            1 => Step::Acked,
            _ => Step::Failed,
        };
        Self { attempt, step, at_ns: wide(line, 8), pid }
    }
}

impl Executed {
    /// Writes the line.
    pub fn write(&self, out: &mut Vec<u8>) {
        for wide in [self.attempt.number, self.at_ns, self.place] {
            out.extend(wide.to_le_bytes());
        }
        let Attempt { source, attempt, .. } = self.attempt;
        for short in [source, attempt, self.spout_pid, self.relay, self.relay_pid, 0] {
            out.extend(short.to_le_bytes());
        }
    }

    /// Reads a line that `pid` wrote as the task `sink`.
    pub(super) fn read(line: &[u8], sink: u32, pid: u32) -> Self {
        let (source, attempt) = (short(line, 24), short(line, 28));
        Self {
            attempt: Attempt { source, number: wide(line, 0), attempt },
            at_ns: wide(line, 8),
            sink,
            pid,
            spout_pid: short(line, 32),
            relay: short(line, 36),
            relay_pid: short(line, 40),
            place: wide(line, 16),
        }
    }
}

fn wide(line: &[u8], at: usize) -> u64 {
    line.iter().skip(at).take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn short(line: &[u8], at: usize) -> u32 {
    line.iter().skip(at).take(4).rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The time, as ledgers have it.
///
/// ```
/// let before = tests::ledger::now_ns();
/// assert!(before > 0 && tests::ledger::now_ns() >= before);
/// ```
#[must_use]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec() * 1_000_000_000 + now.tv_nsec());
    u64::try_from(now).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let attempt = Attempt { source: 3, number: u64::MAX - 5, attempt: 7 };
        let told = Told { attempt, step: Step::Acked, at_ns: 1 << 40, pid: 9 };
        let mut line = Vec::new();
        told.write(&mut line);
        assert_eq!((line.len(), Told::read(&line, 3, 9)), (TOLD_BYTES, told));

        let executed = Executed {
            attempt,
            at_ns: 5,
            sink: 1,
            pid: 2,
            spout_pid: 3,
            relay: 4,
            relay_pid: u32::MAX,
            place: 6 << 33,
        };
        line.clear();
        executed.write(&mut line);
        assert_eq!((line.len(), Executed::read(&line, 1, 2)), (EXECUTED_BYTES, executed));
    }
}
