//! Placement inside a worker: which loop runs which executor.
//!
//! Executors joined one to one by edges that may stay local (shuffle, local-or-shuffle, none) make
//! a *chain*, and a chain shares a loop: there a batch is executed inside the call that emitted it,
//! which costs less than a tenth of handing it to another core. Among loops three wishes decide, in
//! this order: the executors of one component are spread, so that its work runs on all cores;
//! other executors that exchange tuples share a loop; and loops are balanced, so that none gets
//! more than its even share and one chain.

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
    place_among(executors, &vec![None; executors.len()], edges, loops)
}

/// The loop of each executor, where some are on one already (`on`, in the same order) and stay there.
///
/// ```
/// use worker::engine::placement::{PlacedExecutor, place_among};
///
/// let executors = [0, 1, 2].map(|index| PlacedExecutor { index, component: 0 });
/// assert_eq!(place_among(&executors, &[Some(1), None, None], &[], 2), [1, 0, 0]);
/// ```
#[must_use]
pub fn place_among(
    executors: &[PlacedExecutor],
    on: &[Option<usize>],
    edges: &[(usize, usize)],
    loops: usize,
) -> Vec<usize> {
    let loops = loops.max(1);
    let share = executors.len().div_ceil(loops);
    let mut placed: Vec<Option<usize>> = on.to_vec();
    let mut sizes = vec![0; loops];
    on.iter().flatten().for_each(|on| sizes[*on] += 1);
    for mut chain in chains(executors, edges) {
        chain.retain(|&at| placed[at].is_none());
        let least = sizes.iter().min().copied().unwrap_or(0);
        let of_component = |on: usize, component: usize| {
            let here = placed.iter().zip(executors).filter(|(at, _)| **at == Some(on));
            here.filter(|(_, other)| other.component == component).count()
        };
        let each = |of: &dyn Fn(usize) -> usize| -> usize {
            chain.iter().map(|&at| of(executors[at].component)).sum()
        };
        let best = (0..loops)
            .filter(|&on| sizes[on] + chain.len() <= share || sizes[on] == least)
            .min_by_key(|&on| {
                let siblings = each(&|own| of_component(on, own));
                let joined = each(&|own| {
                    let ends = edges.iter().filter(|(from, to)| from != to);
                    let others = ends.filter_map(|&(from, to)| match own {
                        own if own == from => Some(of_component(on, to)),
                        own if own == to => Some(of_component(on, from)),
                        _ => None,
                    });
                    others.sum()
                });
                (siblings, usize::MAX - joined, sizes[on])
            })
            .expect("one loop has the least");
        sizes[best] += chain.len();
        chain.iter().for_each(|&at| placed[at] = Some(best));
    }
    placed.into_iter().flatten().collect()
}

/// The executors, by place in the list, that are joined one to one; in the order of their first.
fn chains(executors: &[PlacedExecutor], edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let of = |component| -> Vec<usize> {
        let all = executors.iter().enumerate();
        all.filter(|(_, executor)| executor.component == component).map(|(at, _)| at).collect()
    };
    let mut chain_of: Vec<usize> = (0..executors.len()).collect();
    for &(from, to) in edges.iter().filter(|(from, to)| from != to) {
        let (sources, readers) = (of(from), of(to));
        if sources.len() != readers.len() {
            continue;
        }
        for (source, reader) in sources.into_iter().zip(readers) {
            let (one, other) = (chain_of[source], chain_of[reader]);
            chain_of.iter_mut().filter(|chain| **chain == one.max(other)).for_each(|chain| {
                *chain = one.min(other);
            });
        }
    }
    let chain = |first| (0..executors.len()).filter(|&at| chain_of[at] == first).collect();
    (0..executors.len()).filter(|&first| chain_of[first] == first).map(chain).collect()
}

#[cfg(test)]
mod tests {
    use super::{PlacedExecutor, chains, place};
    use proptest::prelude::proptest;

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
    fn executors_joined_one_to_one_share_a_loop_whatever_comes_between_them() {
        let placed = place(&executors(&[1, 1, 1]), &[(0, 2)], 2);
        assert_eq!(placed, [0, 1, 0], "the first and the third are joined");
        let placed = place(&executors(&[1, 1, 1]), &[(1, 2)], 2);
        assert_eq!(placed, [0, 1, 1], "the second and the third are joined");
        let placed = place(&executors(&[1, 1]), &[(0, 1)], 2);
        assert_eq!(placed, [0, 0], "handing over to an idle core would cost more than it gains");
    }

    #[test]
    fn the_executors_of_a_chain_are_paired_one_to_one() {
        let placed = place(&executors(&[3, 3, 3]), &[(0, 1), (1, 2)], 3);
        assert_eq!(placed, [0, 1, 2, 0, 1, 2, 0, 1, 2], "a chain on each loop");
    }

    #[test]
    fn executors_joined_to_several_are_spread() {
        let placed = place(&executors(&[1, 2, 1]), &[(0, 1), (1, 2)], 2);
        assert_eq!([on_loop(&placed, 0), on_loop(&placed, 1)], [2, 2], "balanced: {placed:?}");
        assert_ne!(placed[1], placed[2], "the splitters run on both cores");
    }

    proptest! {
        #[test]
        fn no_loop_has_more_than_its_share_and_a_chain(
            counts in proptest::collection::vec(0_usize..8, 0..6),
            edges in proptest::collection::vec((0_usize..6, 0_usize..6), 0..8),
            loops in 1_usize..6,
        ) {
            let executors = executors(&counts);
            let placed = place(&executors, &edges, loops);
            assert_eq!(placed.len(), executors.len(), "each has a loop");
            let most = (0..loops).map(|on| on_loop(&placed, on)).max().expect("a loop");
            let longest = chains(&executors, &edges).iter().map(Vec::len).max().unwrap_or(0);
            let share = executors.len().div_ceil(loops);
            assert!(most <= share + longest, "uneven: {placed:?}");
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
