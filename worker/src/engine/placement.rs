//! Placement inside a worker: which loop runs which executor.
//!
//! Three wishes, in this order. The loops are balanced: no two differ by more than one executor.
//! The executors of one component are spread, so that its work runs on all cores. And executors
//! joined by an edge that may stay local (shuffle, local-or-shuffle) share a loop, so that only the
//! edges that must cross threads do.

/// An executor to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedExecutor {
    /// Its number in the topology.
    pub index: u16,
    /// Its component, by any numbering that the edges share.
    pub component: usize,
}

/// The loop of each executor, below `loops` (which counts as 1 if it is 0).
///
/// `edges` are the pairs of components joined by edges that may stay local. The executors are dealt
/// out one after another; the same input always gives the same answer.
///
/// ```
/// use worker::engine::placement::{PlacedExecutor, place};
///
/// // Two spouts, two splitters (joined by a shuffle), two counters (by fields).
/// let executors: Vec<_> =
///     (0..6).map(|index| PlacedExecutor { index, component: usize::from(index / 2) }).collect();
/// assert_eq!(place(&executors, &[(0, 1)], 2), [0, 1, 0, 1, 0, 1]);
/// ```
#[must_use]
pub fn place(executors: &[PlacedExecutor], edges: &[(usize, usize)], loops: usize) -> Vec<usize> {
    let mut plan = Plan::new(executors.len(), loops.max(1));
    for executor in executors {
        let placed = &executors[..plan.placed.len()];
        let best = (0..plan.sizes.len())
            .filter(|&on| plan.has_room(on))
            .min_by_key(|&on| {
                let neighbours = || placed.iter().zip(&plan.placed).filter(|&(_, &at)| at == on);
                let of_component = |component| {
                    neighbours().filter(|(other, _)| other.component == component).count()
                };
                let siblings = of_component(executor.component);
                let joined: usize = edges
                    .iter()
                    .filter_map(|&(from, to)| match executor.component {
                        own if own == from && own == to => None,
                        own if own == from => Some(of_component(to)),
                        own if own == to => Some(of_component(from)),
                        _ => None,
                    })
                    .sum();
                (siblings, usize::MAX - joined, plan.sizes[on])
            })
            .expect("the loops have room for all executors together");
        plan.put(best);
    }
    plan.placed
}

/// What was decided so far.
struct Plan {
    /// Loop of each executor that has one.
    placed: Vec<usize>,
    /// Number of executors on each loop.
    sizes: Vec<usize>,
    /// Executors that every loop gets.
    each: usize,
    /// Loops that may still get one more than `each`.
    larger: usize,
}

impl Plan {
    fn new(executors: usize, loops: usize) -> Self {
        Self {
            placed: Vec::with_capacity(executors),
            sizes: vec![0; loops],
            each: executors / loops,
            larger: executors % loops,
        }
    }

    fn has_room(&self, on: usize) -> bool {
        self.sizes[on] < self.each || (self.sizes[on] == self.each && self.larger > 0)
    }

    fn put(&mut self, on: usize) {
        if self.sizes[on] == self.each {
            self.larger -= 1;
        }
        self.sizes[on] += 1;
        self.placed.push(on);
    }
}

#[cfg(test)]
mod tests {
    use super::{PlacedExecutor, place};
    use proptest::prelude::proptest;
    use std::collections::BTreeSet;

    /// The executors of components with these numbers of them.
    fn executors(counts: &[usize]) -> Vec<PlacedExecutor> {
        let components = counts.iter().enumerate();
        let components = components.flat_map(|(component, &count)| vec![component; count]);
        (0..)
            .zip(components)
            .map(|(index, component)| PlacedExecutor { index, component })
            .collect()
    }

    fn on_loop(placed: &[usize], on: usize) -> usize {
        placed.iter().filter(|&&at| at == on).count()
    }

    #[test]
    fn everything_is_on_the_only_loop() {
        assert_eq!(place(&executors(&[2, 1]), &[], 1), [0, 0, 0]);
        assert_eq!(place(&executors(&[2, 1]), &[], 0), [0, 0, 0], "no loops means one");
        assert_eq!(place(&[], &[], 3), [0_usize; 0], "nothing to place");
    }

    #[test]
    fn joined_executors_share_a_loop_whatever_comes_between_them() {
        let placed = place(&executors(&[1, 1, 1]), &[(0, 2)], 2);
        assert_eq!(placed, [0, 1, 0], "the first and the third are joined");
        let placed = place(&executors(&[1, 1, 1]), &[(1, 2)], 2);
        assert_eq!(placed, [0, 1, 1], "the second and the third are joined");
    }

    #[test]
    fn the_executors_of_a_chain_are_paired_one_to_one() {
        let placed = place(&executors(&[3, 3, 3]), &[(0, 1), (1, 2)], 3);
        assert_eq!(placed, [0, 1, 2, 0, 1, 2, 0, 1, 2], "a chain on each loop");
    }

    #[test]
    fn joined_executors_part_where_balance_asks_for_it() {
        let placed = place(&executors(&[1, 2, 1]), &[(0, 1), (1, 2)], 2);
        assert_eq!([on_loop(&placed, 0), on_loop(&placed, 1)], [2, 2], "balanced: {placed:?}");
        assert_ne!(placed[1], placed[2], "the splitters run on both cores");
    }

    proptest! {
        #[test]
        fn loops_are_balanced(
            counts in proptest::collection::vec(0_usize..8, 0..6),
            edges in proptest::collection::vec((0_usize..6, 0_usize..6), 0..8),
            loops in 1_usize..6,
        ) {
            let executors = executors(&counts);
            let placed = place(&executors, &edges, loops);
            assert_eq!(placed.len(), executors.len(), "each has a loop");
            let sizes: BTreeSet<usize> = (0..loops).map(|on| on_loop(&placed, on)).collect();
            let (least, most) = (sizes.first().expect("a loop"), sizes.last().expect("a loop"));
            assert!(most - least <= 1, "uneven: {placed:?}");
            assert_eq!(placed.iter().filter(|&&on| on >= loops).count(), 0, "{placed:?}");
            assert_eq!(place(&executors, &edges, loops), placed, "the same again");
        }

        #[test]
        fn equal_chains_never_cross_loops(
            width in 1_usize..6,
            length in 1_usize..6,
            loops in 1_usize..6,
        ) {
            // As wide as the loops, or a multiple of that: each loop takes whole chains.
            let width = width * loops;
            let edges: Vec<_> = (1..length).map(|component| (component - 1, component)).collect();
            let placed = place(&executors(&vec![width; length]), &edges, loops);
            for component in placed.chunks(width) {
                assert_eq!(component, &placed[..width], "each on the loop of the one before");
            }
        }
    }
}
