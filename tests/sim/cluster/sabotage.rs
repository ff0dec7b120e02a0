//! What this world can do wrong on purpose, each at a boundary of an engine: the proof that its
//! checks see.
//!
//! No engine knows of this. What goes into one or comes out of it is changed on its way.

/// A deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Sabotage {
    /// A nimbus writes whether it leads or not.
    NoLeaderGuard,
    /// A nimbus writes whatever became of the record that it decided on.
    NoRecordGuard,
    /// After a compaction the watch goes on from now, without a list.
    MissCompaction,
    /// A supervisor acts on assignments that are not in force.
    ActBeforeFlip,
    /// A supervisor takes the signal for the end of a process.
    StartBeforeEnd,
    /// A supervisor whose lease ended is not listened to any more.
    LeaseIsDeath,
    /// A short silence is taken for a death.
    NoPatience,
    /// A repeated request comes under another id.
    ForgetRepetition,
    /// The answer to a request is not remembered.
    ForgetRequest,
    /// A write that was not answered counts as done.
    BelieveSilence,
    /// The last epoch of a worker is not written down when its folder goes.
    ForgetRetired,
    /// A worker's record is written over whatever is there.
    OverwriteEpoch,
}

/// Each deliberate fault: its name, what it breaks, and a seed near one that shows it.
pub(in crate::sim) const ALL: [(Sabotage, &str, &str, u64); 12] = [
    (Sabotage::NoLeaderGuard, "no-leader-guard", "a leader that was replaced writes", 0),
    (Sabotage::NoRecordGuard, "no-record-guard", "a late write undoes a newer one", 0),
    (Sabotage::MissCompaction, "miss-compaction", "changes are missed and nobody lists", 50),
    (Sabotage::ActBeforeFlip, "act-before-flip", "a new owner starts before the old is retired", 0),
    (Sabotage::StartBeforeEnd, "start-before-end", "a new owner starts before the old is gone", 0),
    (Sabotage::LeaseIsDeath, "lease-is-death", "an expired lease is taken for a death", 10),
    (Sabotage::NoPatience, "no-patience", "no evidence is taken for evidence", 0),
    (Sabotage::ForgetRepetition, "forget-repetition", "a repeated request is a new one", 40),
    (Sabotage::ForgetRequest, "forget-request", "a request does not know its answer", 0),
    (Sabotage::BelieveSilence, "believe-silence", "what was not written is acknowledged", 30),
    (Sabotage::ForgetRetired, "forget-retired", "an epoch is given to two processes", 0),
    (Sabotage::OverwriteEpoch, "overwrite-epoch", "an old incarnation is announced again", 60),
];
