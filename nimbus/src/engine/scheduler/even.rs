//! Chooses the slots: spread over supervisors, and what is in use stays in use.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Offer, Placement, Problem, Slot};

/// Chooses `count` slots and says which worker goes to each, with the executors it had.
///
/// There must be that many: the caller has counted them.
pub(super) fn choose(problem: &Problem, count: usize) -> Vec<Placement> {
    let mut chosen = keep(&problem.current, count);
    let mut leaving = Vec::new();
    if problem.respread {
        leaving = leave(problem, &mut chosen, count);
    }
    let missing = count - chosen.len();
    let slots = spread(problem, &chosen, missing);
    let taken: BTreeSet<u32> =
        problem.current.iter().chain(&problem.orphaned).map(|placement| placement.worker).collect();
    let unused = (0..).filter(|worker| !taken.contains(worker));
    let fresh = unused.map(|worker| (worker, Vec::new()));
    let homeless = problem.orphaned.iter().chain(&leaving);
    let mut orphaned: Vec<_> =
        homeless.map(|placement| (placement.worker, placement.executors.clone())).collect();
    orphaned.sort_unstable();
    for (slot, (worker, executors)) in slots.into_iter().zip(orphaned.into_iter().chain(fresh)) {
        chosen.push(Placement { worker, slot, executors });
    }
    chosen.sort_unstable_by_key(|placement| placement.worker);
    chosen
}

/// Keeps at most `count` workers; those that go are taken from the most crowded supervisors.
fn keep(current: &[Placement], count: usize) -> Vec<Placement> {
    let mut kept = current.to_vec();
    let mut crowd: BTreeMap<String, usize> = BTreeMap::new();
    for placement in &kept {
        *crowd.entry(placement.slot.supervisor.clone()).or_default() += 1;
    }
    while kept.len() > count {
        let (at, _) = kept
            .iter()
            .enumerate()
            .max_by_key(|(_, placement)| (crowd[&placement.slot.supervisor], placement.worker))
            .expect("there are more workers than none");
        let gone = kept.remove(at);
        *crowd.entry(gone.slot.supervisor).or_default() -= 1;
    }
    kept
}

/// Takes those out of `chosen` whose supervisor has more of them than it would get if nothing ran
/// yet, and a free slot elsewhere is to be had instead.
fn leave(problem: &Problem, chosen: &mut Vec<Placement>, count: usize) -> Vec<Placement> {
    let mut fresh = Problem { offers: problem.offers.clone(), ..Problem::default() };
    for placement in &problem.current {
        let here = |offer: &&mut Offer| offer.supervisor == placement.slot.supervisor;
        if let Some(offer) = fresh.offers.iter_mut().find(here) {
            offer.free.insert(placement.slot.slot);
        }
    }
    let mut fair: BTreeMap<String, usize> =
        problem.offers.iter().map(|offer| (offer.supervisor.clone(), 0)).collect();
    for slot in spread(&fresh, &[], count) {
        *fair.entry(slot.supervisor).or_default() += 1;
    }
    let mut stay = Vec::new();
    let mut leaving = Vec::new();
    for placement in chosen.drain(..) {
        match fair.get_mut(&placement.slot.supervisor) {
            Some(room) if *room > 0 => {
                *room -= 1;
                stay.push(placement);
            }
            Some(_) => leaving.push(placement),
            // It takes no new workers at the moment, but this one may stay.
            None => stay.push(placement),
        }
    }
    *chosen = stay;
    let free: usize = problem.offers.iter().map(|offer| offer.free.len()).sum();
    // Supervisors that take no new workers may hold more than their share.
    while chosen.len() + free < count {
        let Some(placement) = leaving.pop() else { break };
        chosen.push(placement);
    }
    leaving
}

/// Takes `missing` free slots, always from the supervisor that has the fewest workers of this
/// topology, and among those from the one that has the most room.
fn spread(problem: &Problem, kept: &[Placement], missing: usize) -> Vec<Slot> {
    let mut own: BTreeMap<&str, usize> = BTreeMap::new();
    for placement in kept {
        *own.entry(placement.slot.supervisor.as_str()).or_default() += 1;
    }
    // Ordered by what makes a supervisor the better choice; the first one is taken and put back.
    let mut queue: BTreeSet<(usize, u32, Reverse<usize>, usize)> = BTreeSet::new();
    for (at, offer) in problem.offers.iter().enumerate() {
        if !offer.free.is_empty() {
            let here = own.get(offer.supervisor.as_str()).copied().unwrap_or(0);
            queue.insert((here, offer.busy, Reverse(offer.free.len()), at));
        }
    }
    let mut free: Vec<_> = problem.offers.iter().map(|offer| offer.free.iter()).collect();
    let mut slots = Vec::with_capacity(missing);
    while slots.len() < missing {
        let Some((here, busy, Reverse(left), at)) = queue.pop_first() else { break };
        let Some(slot) = free[at].next() else { continue };
        slots.push(Slot { supervisor: problem.offers[at].supervisor.clone(), slot: *slot });
        if left > 1 {
            queue.insert((here + 1, busy, Reverse(left - 1), at));
        }
    }
    slots
}
