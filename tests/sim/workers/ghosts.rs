//! What really happened to every message, emission and copy, which no ledger knows; and the
//! promises of delivery, held against it.
//!
//! A *message* is what a spout's source has; an *emission* is one try to get it through, with a
//! tree of its own; a *copy* is one tuple on its way to one task.

use std::collections::BTreeMap;
use std::rc::Rc;

use worker::engine::acking::{FailReason, Outcome};

/// A message of a source: it is emitted until it is acked.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) task: u32,
    pub(super) acked: bool,
}

/// One try to get a message through.
#[derive(Debug)]
pub(super) struct Emission {
    message: u32,
    /// The process whose spout emitted it.
    process: usize,
    /// Copies of its tree that nobody has processed, lost ones among them.
    outstanding: u32,
    /// Copies of its tree so far.
    pub(super) size: u32,
    /// It was emitted after all was calm.
    calm: bool,
    outcome: Option<Outcome>,
}

/// One tuple on its way to one task.
#[derive(Debug)]
pub(super) struct Copy {
    /// The emissions it descends from.
    pub(super) emissions: Rc<[u32]>,
    /// The executor that sent it, and its process.
    by: (usize, u16),
    executed: bool,
}

/// All that really happened.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    pub(super) messages: Vec<Message>,
    pub(super) emissions: Vec<Emission>,
    pub(super) copies: Vec<Copy>,
    /// The last copy that an executor of a process took from an executor of another, by task.
    last: BTreeMap<(usize, u16, usize, u32), u32>,
    /// The processes before this one see everything that may happen to their trees: none of these
    /// ends by the timeout.
    pub(super) never_time_out: usize,
    /// All is calm: what is emitted from now on must not fail.
    pub(super) calm: bool,
    pub(super) outcomes: BTreeMap<&'static str, u64>,
}

impl Ghosts {
    /// Nothing happened yet.
    pub(super) fn new(never_time_out: usize) -> Self {
        Self { never_time_out, ..Self::default() }
    }

    /// Gives a spout's task more messages.
    pub(super) fn add_messages(&mut self, task: u32, count: u32) -> Vec<u32> {
        let first = self.messages.len() as u32;
        self.messages.extend((0..count).map(|_| Message { task, acked: false }));
        (first..first + count).collect()
    }

    /// A source that starts again has what is not acked.
    pub(super) fn unacked(&self, task: u32) -> Vec<u32> {
        let messages = (0..).zip(&self.messages);
        let of_task = messages.filter(|(_, message)| message.task == task && !message.acked);
        of_task.map(|(at, _)| at).collect()
    }

    /// Notes that a spout emits a message.
    pub(super) fn emit(&mut self, process: usize, message: u32) -> u32 {
        let (outstanding, size, outcome) = (0, 0, None);
        let calm = self.calm;
        self.emissions.push(Emission { message, process, outstanding, size, calm, outcome });
        self.emissions.len() as u32 - 1
    }

    /// Notes a copy that somebody emitted.
    pub(super) fn copy(&mut self, emissions: &Rc<[u32]>, by: (usize, u16)) -> u32 {
        for &emission in emissions.iter() {
            let emission = &mut self.emissions[emission as usize];
            emission.outstanding += 1;
            emission.size += 1;
        }
        self.copies.push(Copy { emissions: Rc::clone(emissions), by, executed: false });
        self.copies.len() as u32 - 1
    }

    /// A bolt takes a copy: once, and in the order in which it was sent.
    pub(super) fn execute(&mut self, copy: u32, process: usize, task: u32) {
        let taken = &mut self.copies[copy as usize];
        assert!(!taken.executed, "copy {copy} reached task {task} twice");
        taken.executed = true;
        let (from, executor) = taken.by;
        let last = self.last.insert((from, executor, process, task), copy);
        let in_order = last.is_none_or(|last| last < copy);
        assert!(in_order, "order: task {task} got copy {copy} after {last:?} of one executor");
    }

    /// A bolt is done with a copy, and did not fail it.
    pub(super) fn done(&mut self, copy: u32) {
        for &emission in self.copies[copy as usize].emissions.iter() {
            self.emissions[emission as usize].outstanding -= 1;
        }
    }

    /// A spout is told how an emission ended; true if its message is to be replayed.
    pub(super) fn verdict(&mut self, emission: u32, process: usize, outcome: Outcome) -> bool {
        let ended = &mut self.emissions[emission as usize];
        let before = ended.outcome.replace(outcome);
        assert_eq!(before, None, "I1: emission {emission} has a second verdict, {outcome:?}");
        assert_eq!(ended.process, process, "I1: emission {emission} ended in another incarnation");
        let message = &mut self.messages[ended.message as usize];
        let name = match outcome {
            Outcome::Acked => {
                let left = ended.outstanding;
                assert_eq!(left, 0, "I3: emission {emission} was acked with {left} copies left");
                message.acked = true;
                "acked"
            }
            Outcome::Failed(reason) => {
                let hung = reason == FailReason::Timeout && process < self.never_time_out;
                assert!(!hung, "emission {emission} hung until the timeout");
                assert!(!ended.calm, "emission {emission} failed when all was calm: {reason}");
                reason.name()
            }
        };
        *self.outcomes.entry(name).or_default() += 1;
        !message.acked
    }

    /// The message that an emission is a try of.
    pub(super) fn message_of(&self, emission: u32) -> u32 {
        self.emissions[emission as usize].message
    }

    /// When all has come to rest: everything was delivered, and every spout that lives was told.
    pub(super) fn assert_all_ended(&self, lives: impl Fn(usize) -> bool) {
        let lost = (0..).zip(&self.messages).find(|(_, message)| !message.acked);
        let lost: Option<(u32, _)> = lost;
        assert!(lost.is_none(), "I2: not acked when all is at rest: {lost:?}");
        for (at, emission) in self.emissions.iter().enumerate() {
            let told = emission.outcome.is_some() || !lives(emission.process);
            assert!(told, "I1: emission {at} of process {} has no verdict", emission.process);
        }
    }
}
