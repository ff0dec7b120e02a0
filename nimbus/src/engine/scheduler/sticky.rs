//! Deals the executors: evenly, each component spread over the workers, the fewest moves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Piece, Placement};

/// Deals every piece to one of `workers`, who hold what they had before.
///
/// A worker keeps what it has up to its share. What is over, and what has no worker yet, goes to
/// the worker with room that runs the fewest executors of the same component, so that streams
/// within a worker find a target there. Among these it is the fullest one: components that follow
/// each other stay together, and fewer streams of a chain cross workers.
pub(super) fn deal(pieces: &[Piece], mut workers: Vec<Placement>) -> Vec<Placement> {
    let component: BTreeMap<u32, u32> =
        pieces.iter().map(|piece| (piece.executor, piece.component)).collect();
    let mut homeless: BTreeSet<u32> = component.keys().copied().collect();
    for worker in &mut workers {
        // What no longer exists, or what two workers claim, stays out.
        worker.executors.retain(|executor| homeless.remove(executor));
    }
    let shares = shares(pieces.len(), &workers);
    for (worker, share) in workers.iter_mut().zip(&shares) {
        homeless.extend(release(&mut worker.executors, *share, &component));
    }
    let mut crowd: Vec<BTreeMap<u32, usize>> = workers
        .iter()
        .map(|worker| {
            let mut counts = BTreeMap::new();
            for executor in &worker.executors {
                *counts.entry(component[executor]).or_default() += 1;
            }
            counts
        })
        .collect();
    // Executors of a component follow each other, so workers are ranked once a component: of those
    // with room only the one that is given an executor changes its place.
    let mut ranked = BTreeSet::new();
    let mut ranked_for = None;
    for executor in homeless {
        let component = component[&executor];
        if ranked_for != Some(component) {
            ranked_for = Some(component);
            let with_room =
                (0..workers.len()).filter(|at| workers[*at].executors.len() < shares[*at]);
            let rank = |at: usize| {
                let same = crowd[at].get(&component).copied().unwrap_or(0);
                (same, Reverse(workers[at].executors.len()), at)
            };
            ranked = with_room.map(rank).collect();
        }
        let (same, Reverse(held), at) =
            ranked.pop_first().expect("the shares add up to the number of executors");
        workers[at].executors.push(executor);
        crowd[at].insert(component, same + 1);
        if held + 1 < shares[at] {
            ranked.insert((same + 1, Reverse(held + 1), at));
        }
    }
    for worker in &mut workers {
        worker.executors.sort_unstable();
    }
    workers
}

/// How many executors each worker gets: all the same, or one more where most are already.
fn shares(pieces: usize, workers: &[Placement]) -> Vec<usize> {
    let least = pieces / workers.len();
    let mut shares = vec![least; workers.len()];
    let mut order: Vec<usize> = (0..workers.len()).collect();
    order.sort_by_key(|at| Reverse(workers[*at].executors.len()));
    for at in order.into_iter().take(pieces % workers.len()) {
        shares[at] += 1;
    }
    shares
}

/// Cuts `executors` down to `share` and returns the rest. Components give in turn, the most
/// crowded first, so that what stays is as mixed as it was.
fn release(executors: &mut Vec<u32>, share: usize, component: &BTreeMap<u32, u32>) -> Vec<u32> {
    if executors.len() <= share {
        return Vec::new();
    }
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    executors.sort_unstable();
    let mut ranked: Vec<(usize, u32)> = executors
        .iter()
        .map(|executor| {
            let rank = seen.entry(component[executor]).or_default();
            *rank += 1;
            (*rank, *executor)
        })
        .collect();
    ranked.sort_unstable();
    *executors = ranked[..share].iter().map(|(_, executor)| *executor).collect();
    ranked[share..].iter().map(|(_, executor)| *executor).collect()
}
