//! The scheduler: which executors go to which slots. A problem in, an assignment out.
//!
//! Pure and without memory: what runs today is part of the problem, so the answer can keep it.
//! First `even` chooses the slots (as many supervisors as possible, as evenly as possible), then
//! `sticky` deals the executors (what runs stays where balance allows).
//!
//! What holds of every answer: each slot is used once, each executor is placed once, and two
//! workers differ by at most one executor.

mod even;
mod sticky;

use std::collections::BTreeSet;

/// A place for a worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The supervisor's id.
    pub supervisor: String,
    /// The slot's number on that supervisor.
    pub slot: u32,
}

/// One executor to place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The executor's index in the topology.
    pub executor: u32,
    /// Which component it belongs to, as a number.
    pub component: u32,
}

/// A worker and what it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The worker's number in the topology.
    pub worker: u32,
    /// Where it runs.
    pub slot: Slot,
    /// Indices of its executors, in rising order.
    pub executors: Vec<u32>,
}

/// A supervisor that takes workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The supervisor's id.
    pub supervisor: String,
    /// Its slots that nothing runs in.
    pub free: BTreeSet<u32>,
    /// How many of its slots other topologies use.
    pub busy: u32,
}

/// What is to be placed, where it may go, and where it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// Every executor of the topology, in rising order of its index.
    pub pieces: Vec<Piece>,
    /// How many workers were asked for.
    pub workers: u32,
    /// Supervisors that take workers, by id; slots of `current` are not among the free ones.
    pub offers: Vec<Offer>,
    /// Workers that may stay where they are.
    pub current: Vec<Placement>,
    /// What ran on workers that are lost. Their numbers are given out first, together with the
    /// executors they had; where they were is no place any more.
    pub orphaned: Vec<Placement>,
    /// Whether workers may leave a crowded supervisor for a less crowded one.
    pub respread: bool,
}

/// Where everything goes, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The workers, by number; empty if there is no slot at all.
    pub placements: Vec<Placement>,
    /// What a person should know about it; empty if all went as asked.
    pub explanation: String,
}

/// Places the executors of one topology.
///
/// ```
/// use nimbus::engine::scheduler::{Offer, Piece, Problem, schedule};
///
/// let answer = schedule(&Problem {
///     pieces: (0..4).map(|executor| Piece { executor, component: executor / 2 }).collect(),
///     workers: 2,
///     offers: vec![Offer { supervisor: "a".into(), free: [0, 1].into(), busy: 0 }],
///     ..Problem::default()
/// });
/// let executors: Vec<_> = answer.placements.iter().map(|p| p.executors.clone()).collect();
/// assert_eq!(executors, [[0, 2], [1, 3]], "each worker gets one of each component");
/// ```
#[must_use]
pub fn schedule(problem: &Problem) -> Answer {
    let free: usize = problem.offers.iter().map(|offer| offer.free.len()).sum();
    let places = free + problem.current.len();
    let wanted = problem.workers.max(1) as usize;
    let useful = wanted.min(problem.pieces.len());
    let count = useful.min(places);
    if count == 0 {
        let explanation = if problem.offers.is_empty() && problem.current.is_empty() {
            "waiting: no supervisor is up".to_owned()
        } else {
            "waiting: no slot is free".to_owned()
        };
        return Answer { placements: Vec::new(), explanation };
    }
    let explanation = if count < useful {
        format!("runs on {count} of {wanted} workers: there are no more free slots")
    } else if useful < wanted {
        format!("runs on {count} of {wanted} workers: it has only {useful} executors")
    } else {
        String::new()
    };
    let slots = even::choose(problem, count);
    Answer { placements: sticky::deal(&problem.pieces, slots), explanation }
}

#[cfg(test)]
mod tests;
