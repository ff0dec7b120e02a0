//! What moves tuples inside a worker: loops, executors, mailboxes, and the ways out.
//!
//! A loop a core gives each executor its turn. An executor takes batches from its mailbox, calls the
//! component, and leaves what was emitted in its outbox, from where batches go to mailboxes on the
//! same loop, to other loops, or in frames to other workers. What it settles goes to the ledger of
//! the spout executor that opened the tree, wherever that is.

mod allowance;
pub mod anchoring;
pub mod bolt;
pub mod calls;
pub mod core_loop;
pub mod counters;
pub mod effort;
pub mod exits;
pub mod flows;
pub mod inbox;
mod log_gate;
pub mod mailbox;
pub mod moves;
pub mod outbox;
pub mod plan;
pub mod routes;
pub mod seating;
pub mod spout;
pub mod taps;
pub mod task_state;
pub mod threads;
pub mod traces;
pub mod waker;
