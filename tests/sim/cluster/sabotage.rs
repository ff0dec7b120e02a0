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
    /// A worker starts executors that others may still have tasks of.
    StartBeforeRelease,
    /// A worker says that it has let go of what it still ends.
    ReleaseEarly,
    /// A worker never says that it has let go of anything.
    NeverRelease,
    /// A nimbus does not write down who may still have the tasks of an executor.
    ForgetFormers,
    /// A supervisor takes a worker that it adopts for one that has nothing of before.
    AdoptedHasNothing,
    /// The system never says that a process is stopped.
    BlindLook,
    /// The system says of every process that it is stopped.
    HastyLook,
    /// A nimbus does not listen to workers that have lost their supervisor.
    IgnoreDirect,
}

/// Each deliberate fault: its name, what it breaks, and a seed near one that shows it.
pub(in crate::sim) const ALL: [(Sabotage, &str, &str, u64); 20] = [
    (Sabotage::NoLeaderGuard, "no-leader-guard", "a leader that was replaced writes", 0),
    (Sabotage::NoRecordGuard, "no-record-guard", "a late write undoes a newer one", 50),
    (Sabotage::MissCompaction, "miss-compaction", "changes are missed and nobody lists", 85),
    (Sabotage::ActBeforeFlip, "act-before-flip", "a new owner starts before the old is retired", 0),
    (Sabotage::StartBeforeEnd, "start-before-end", "a new owner starts before the old is gone", 85),
    (Sabotage::LeaseIsDeath, "lease-is-death", "an expired lease is taken for a death", 60),
    (Sabotage::NoPatience, "no-patience", "no evidence is taken for evidence", 0),
    (Sabotage::ForgetRepetition, "forget-repetition", "a repeated request is a new one", 45),
    (Sabotage::ForgetRequest, "forget-request", "a request does not know its answer", 8),
    (Sabotage::BelieveSilence, "believe-silence", "what was not written is acknowledged", 50),
    (Sabotage::ForgetRetired, "forget-retired", "an epoch is given to two processes", 12),
    (Sabotage::OverwriteEpoch, "overwrite-epoch", "an old incarnation is announced again", 70),
    (Sabotage::StartBeforeRelease, "start-before-release", "a new owner starts too early", 0),
    (Sabotage::ReleaseEarly, "release-early", "what is not let go of is said to be", 0),
    (Sabotage::NeverRelease, "never-release", "a move never ends", 0),
    (Sabotage::ForgetFormers, "forget-formers", "a new owner does not wait for the old", 0),
    (Sabotage::AdoptedHasNothing, "adopted-has-nothing", "an adopted owner is forgotten", 1390),
    (Sabotage::BlindLook, "blind-look", "a stopped worker is not replaced", 0),
    (Sabotage::HastyLook, "hasty-look", "a slow worker is taken for a stopped one", 0),
    (Sabotage::IgnoreDirect, "ignore-direct", "what lives without its supervisor is moved", 0),
];
