//! Which tuple trees are looked at closely: a sample that all workers agree on without a word.
//!
//! A tree's rank follows from its id alone, and a tree is of rank N or higher with a chance of 1 in
//! 2ᴺ. Who has too many looks at those of a higher rank only: a part of what others look at, never
//! something else. So the trees above the highest of all limits were seen by everybody.

use super::acking::splitmix64;

/// The rank of a tree: how many zeros its hash ends with. (Flajolet and Martin, "Probabilistic
/// counting algorithms for data base applications", 1985.)
///
/// ```
/// use worker::engine::sampling::rank;
///
/// let trees = 1..=100_000_u64;
/// let sampled = trees.filter(|root| rank(*root) >= 10).count();
/// assert!((50..200).contains(&sampled), "about one in a thousand, not {sampled}");
/// ```
#[must_use]
pub fn rank(root: u64) -> u32 {
    let mut state = root;
    splitmix64(&mut state).trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::rank;
    use crate::engine::acking::{Ledger, RootId};
    use proptest::prelude::{any, proptest};

    #[test]
    fn each_rank_halves_the_sample_also_of_roots_that_follow_each_other() {
        let mut ledger = Ledger::new(3, 1, 60_000);
        let roots: Vec<u64> =
            (0..50_000).filter_map(|_| ledger.open(0, 0)).map(RootId::bits).collect();
        for limit in 0..8 {
            let sampled = roots.iter().filter(|root| rank(**root) >= limit).count();
            let share = roots.len() >> limit;
            assert!(
                (share * 3 / 4..=share * 5 / 4).contains(&sampled),
                "{sampled} of rank {limit}"
            );
        }
    }

    proptest! {
        #[test]
        fn who_looks_at_fewer_looks_at_a_part_of_what_others_see(
            roots in proptest::collection::vec(any::<u64>(), 0..200),
            limits in proptest::collection::vec(0_u32..12, 1..6),
        ) {
            let strictest = limits.iter().max().copied().unwrap_or(0);
            let seen = |limit: u32| roots.iter().copied().filter(|root| rank(*root) >= limit).collect::<Vec<_>>();
            let by_all: Vec<u64> =
                roots.iter().copied().filter(|root| limits.iter().all(|limit| rank(*root) >= *limit)).collect();
            assert_eq!(by_all, seen(strictest));
        }
    }
}
