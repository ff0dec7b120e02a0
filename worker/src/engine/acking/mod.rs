//! Tuple trees: how the runtime knows that everything a spout's tuple led to was processed.
//!
//! Every hop of a tuple tree is an *edge* with a random 64-bit id. An id goes into the tree's
//! checksum (by XOR) twice: from whoever emits the copy, and from the bolt that is done with it.
//! So the checksum is zero when every copy that was emitted was also processed, and only then, up
//! to a chance of 2⁻⁶⁴. XOR does not care in which order they come, so contributions need no lock,
//! no order and no answer.
//!
//! # One tree
//!
//! A spout emits one line to `split`; `split` makes two words of it; `count` takes both.
//!
//! ```
//! use worker::engine::acking::{EdgeIds, Ledger, NO_STAMP, Outcome};
//!
//! let (mut spout, mut split) = (EdgeIds::new(1), EdgeIds::new(2));
//! let mut ledger = Ledger::new(0, 0, 10);
//!
//! // The spout opens the root, gives the copy an edge, and brings its own contribution.
//! let root = ledger.open(0, 0).expect("there is room");
//! let line = spout.next();
//! ledger.seal(root, line); // line
//!
//! // `split` is done with the line, and has emitted two words anchored to it.
//! let (first, second) = (split.next(), split.next());
//! ledger.fold(root.bits(), line ^ first ^ second, NO_STAMP); // first ^ second
//!
//! // `count` is done with the words, in whatever order.
//! ledger.fold(root.bits(), second, NO_STAMP); // first
//! assert_eq!(ledger.verdicts(), None);
//! ledger.fold(root.bits(), first, NO_STAMP); // 0
//! assert_eq!(ledger.verdicts().map(|verdict| verdict.outcome), Some(Outcome::Acked));
//! ```
//!
//! # Who plays which part
//!
//! * [`RootId`] says where the entry of a tree is; [`EdgeIds`] makes the ids.
//! * [`Tracking`] is the column of a batch that says which edges each tuple has.
//! * [`Anchors`] makes the edges of an emitted copy, [`Held`] remembers the inputs a bolt keeps.
//! * [`AckBuffer`] gathers what an executor has to tell one owner, [`AckBatch`] is what travels.
//! * [`Ledger`] is the owner's: it turns contributions into verdicts.
//!
//! # What makes it sound
//!
//! 1. A copy's id is contributed by its emitter together with the id of the emitter's own input,
//!    and by its receiver when that is done. While a tuple is under way its receiver has not
//!    contributed, and either its emitter has, so that its own id is in the checksum once, or its
//!    emitter has not, and then the same holds for the emitter's input, and so on up to the spout.
//! 2. The spout's own contribution comes last to count (`seal`): until then nothing completes.
//! 3. A tuple that fails contributes nothing, so its tree cannot complete, in whatever order the
//!    failure and the other contributions arrive.
//! 4. A tuple that is lost with a worker is not known to be lost; instead the ledger fails all it
//!    could concern (`Ledger::adopt`).

mod anchors;
mod contribution;
mod held;
mod ids;
mod ledger;
mod reason;
mod ring;
#[cfg(test)]
mod tests;
mod tracking;

pub use anchors::{ANCHORS_MAX, Anchors};
pub use contribution::{AckBatch, AckBuffer, Failure, NO_STAMP, WHY_BYTES_MAX, WHYS_MAX, Why};
pub use held::Held;
pub use ids::{
    EXECUTOR_BITS, EdgeIds, GENERATION_BITS, GENERATION_MAX, INCARNATION_BITS, RootId, SLOT_BITS,
    executor_of, incarnation_order,
};
pub(crate) use ids::{INCREMENT, SLOT_SHIFT, counter_of, draws_between, splitmix64};
pub use ledger::{FREE_MIN, HARD_LIMIT, Ledger, Outcome, PENDING_MAX, Verdict};
pub use reason::FailReason;
pub use tracking::{Edge, Tracking};
