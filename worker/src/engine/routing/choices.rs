//! The tasks a key may choose among: two by hashes that are independent of each other, and for a hot
//! key more beside them.
//!
//! The two go by the key groups, so they change only where a group of the key moves. More choices
//! are always the fewer ones and others, so a key that gets hotter adds tasks and leaves none.

use super::KeyGroups;
use crate::engine::acking::splitmix64;

/// The two choices of a key, the first of them the task that a fields grouping takes it to:
/// different tasks, if there are two.
#[inline]
pub(super) fn two(groups: &KeyGroups, hash: u64) -> (u32, u32) {
    let first = groups.task(hash);
    let second = groups.task(splitmix64(&mut hash.clone()));
    (first, if second == first { next(groups, first) } else { second })
}

/// So many different choices of a key: the two, and then the neighbours of the second.
pub(super) fn several(
    groups: &KeyGroups,
    hash: u64,
    choices: u32,
) -> impl Iterator<Item = u32> + '_ {
    let (first, second) = two(groups, hash);
    let others = std::iter::successors(Some(second), |task| Some(next(groups, *task)));
    let others = others.filter(move |task| *task != first).take(choices.saturating_sub(1) as usize);
    std::iter::once(first).chain(others)
}

#[inline]
fn next(groups: &KeyGroups, task: u32) -> u32 {
    if task + 1 == groups.tasks() { 0 } else { task + 1 }
}
