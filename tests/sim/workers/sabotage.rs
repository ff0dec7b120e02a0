//! What this world can do wrong on purpose, each at a boundary of the engine: the proof that its
//! checks see.
//!
//! No engine knows of this. What goes into one or comes out of it is changed on its way.

/// A deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Sabotage {
    /// A receiver takes an incarnation that was replaced for the one that replaced it.
    SkipFence,
    /// A contribution is handed on without the lowest table version of its tuples.
    ForgetStamp,
    /// A copy leaves without an edge, so its tree is complete before it is processed.
    CompleteEarly,
    /// All edges of a tuple with several anchors get the same id.
    OneIdForSeveral,
    /// What failed a tuple does not say so.
    DropFailVerdict,
    /// The frames that a link retained are given up without failing their trees.
    ForgetRetainedFrames,
    /// Ledgers are not told that a worker was replaced.
    MissRetirement,
    /// Verdicts for an incarnation that is not known yet are dropped.
    DropEarlyVerdicts,
    /// A frame that was had before is taken again.
    TakeTwice,
    /// A frame that does not follow the one before is passed over, and the next one taken.
    SkipGap,
    /// The room of what was taken is not given back.
    KeepCredit,
    /// An ack of a tree counts for the next tree in its slot.
    ForgetGeneration,
    /// An ack of an incarnation counts for the one that replaced it.
    ForgetIncarnation,
}

/// Each deliberate fault: its name, what it breaks, and a seed near one that shows it.
pub(in crate::sim) const ALL: [(Sabotage, &str, &str, u64); 13] = [
    (Sabotage::SkipFence, "skip-fence", "a replaced incarnation is still listened to", 60),
    (Sabotage::ForgetStamp, "forget-stamp", "acks from before a loss count after it", 280),
    (Sabotage::CompleteEarly, "complete-early", "a tree ends before its tuples are processed", 0),
    (Sabotage::OneIdForSeveral, "one-id-for-several", "anchors of a tuple share an edge id", 10),
    (Sabotage::DropFailVerdict, "drop-fail-verdict", "a tuple fails and nobody is told", 0),
    (Sabotage::ForgetRetainedFrames, "forget-frames", "a link is lost with what it held", 260),
    (Sabotage::MissRetirement, "miss-retirement", "a worker dies and no ledger is told", 10),
    (Sabotage::DropEarlyVerdicts, "drop-early-verdicts", "an ack overtakes its table", 10),
    (Sabotage::TakeTwice, "take-twice", "a repeated frame is taken again", 90),
    (Sabotage::SkipGap, "skip-gap", "a lost frame is passed over", 20),
    (Sabotage::KeepCredit, "keep-credit", "room is never given back", 0),
    (Sabotage::ForgetGeneration, "forget-generation", "an ack counts for another tree", 10),
    (Sabotage::ForgetIncarnation, "forget-incarnation", "an ack counts for another ledger", 0),
];
