//! Who sits where: which executors this worker has now, on which loop, and at which place there.
//!
//! A seating never changes; when the executors of the worker do, there is a next one, and the loops
//! get it together with the routing table that says so. An executor that stays keeps its seat. One
//! that leaves keeps it too until it has ended what it has: what was sent to it before still finds
//! it. Places are not given twice, so nothing on its way can reach a later executor by mistake.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use topology_api::Topology;

use crate::engine::flow::Shares;
use crate::engine::placement::{PlacedExecutor, place_among};
use crate::executor::mailbox::Gauge;

/// One executor of this worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnExecutor {
    /// Its index in the topology.
    pub index: u16,
    /// The index of its component.
    pub component: usize,
    /// Its tasks.
    pub tasks: Range<u32>,
    /// Its incarnation, modulo 64.
    pub incarnation: u8,
    /// Owner epoch of its tasks.
    pub ownership: u64,
}

/// Where an executor of this worker runs.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Who sits here.
    pub executor: OwnExecutor,
    /// On which loop.
    pub at: usize,
    /// Its place among the executors of that loop.
    pub place: usize,
    /// How full its mailbox is.
    pub gauge: Arc<Gauge>,
    /// Nobody else has tasks of it any more: it may start.
    pub may_start: bool,
    /// Its tasks are no longer this worker's: it ends what it has.
    pub leaves: bool,
}

/// The executors of this worker and their seats.
///
/// ```
/// use topology_api::prelude::*;
/// use topology_api::IterSpout;
/// use worker::executor::seating::{OwnExecutor, Seating};
///
/// #[derive(Clone, Tuple)]
/// struct Number {
///     n: u64,
/// }
///
/// let mut t = TopologyBuilder::new("numbers");
/// let numbers = |_: &Context| IterSpout::new((0..9).map(|n| Number { n }));
/// t.spout("numbers", numbers).parallelism(2);
/// let topology = t.build()?;
/// let executor = |index: u16, ownership| OwnExecutor {
///     index,
///     component: 0,
///     tasks: u32::from(index)..u32::from(index) + 1,
///     incarnation: 0,
///     ownership,
/// };
/// let first = Seating::new(&topology, vec![executor(0, 0)], 1, 1 << 20);
/// let next = first.next(&topology, vec![(executor(1, 1), true)], 1 << 20);
/// assert!(next.seat_of(0).is_none(), "its task is somebody else's now");
/// assert!(next.seat_for(0, 0).is_some_and(|seat| seat.leaves), "but it has to end what it has");
/// assert_eq!(next.seat_of(1).map(|seat| seat.place), Some(1));
/// # Ok::<(), BuildError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Seating {
    seats: Vec<Seat>,
    /// By task and its ownership, which of them has it.
    owners: BTreeMap<(u32, u64), usize>,
    /// By index in the topology, the loop of each executor.
    loops: BTreeMap<u16, usize>,
    /// By loop: the next place there.
    places: Vec<usize>,
    /// What each queue of the worker may hold.
    pub shares: Shares,
}

impl Seating {
    /// Places executors on so many loops, in a worker that may hold `limit` bytes.
    #[must_use]
    pub fn new(topology: &Topology, executors: Vec<OwnExecutor>, loops: usize, limit: u64) -> Self {
        let empty = Self { places: vec![0; loops.max(1)], ..Self::default() };
        let executors = executors.into_iter().map(|executor| (executor, true)).collect();
        empty.next(topology, executors, limit)
    }

    /// The seating with these executors instead, each with whether it may start.
    #[must_use]
    pub fn next(
        &self,
        topology: &Topology,
        executors: Vec<(OwnExecutor, bool)>,
        limit: u64,
    ) -> Self {
        let own = executors.iter().map(|(executor, _)| executor);
        let shares = shares(topology, own, limit);
        let mut next = Self { places: self.places.clone(), shares, ..Self::default() };
        let mut fresh = executors;
        for seat in &self.seats {
            let mut seat = seat.clone();
            let stays = fresh.iter().position(|(executor, _)| *executor == seat.executor);
            match stays.filter(|_| !seat.leaves) {
                Some(at) => seat.may_start |= fresh.remove(at).1,
                None => seat.leaves = true,
            }
            next.seats.push(seat);
        }
        // Downstream components first: what waits the longest way in moves on first.
        fresh.sort_by_key(|(executor, _)| std::cmp::Reverse(executor.component));
        let fixed = next.seats.iter().filter(|seat| !seat.leaves);
        let fixed = fixed.map(|seat| (placed(&seat.executor), Some(seat.at)));
        let free = fresh.iter().map(|(executor, _)| (placed(executor), None));
        let mut all: Vec<_> = fixed.chain(free).collect();
        all.sort_by_key(|(executor, _)| executor.index);
        let (all, on): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let ats = place_among(&all, &on, &joined(topology), self.places.len());
        for (executor, may_start) in fresh {
            let among = all.iter().zip(&ats).find(|(other, _)| other.index == executor.index);
            let at = among.map_or(0, |(_, at)| *at);
            let place = next.places[at];
            next.places[at] += 1;
            let gauge = Arc::new(Gauge::new(shares.mailbox));
            next.seats.push(Seat { executor, at, place, gauge, may_start, leaves: false });
        }
        next.own();
        next
    }

    /// The seating without the seats of those who have left.
    #[must_use]
    pub fn without(&self, gone: &[(usize, usize)]) -> Self {
        let mut next = self.clone();
        next.seats.retain(|seat| !gone.contains(&(seat.at, seat.place)));
        next.own();
        next
    }

    fn own(&mut self) {
        let tasks = self.seats.iter().enumerate().flat_map(|(own, seat)| {
            let ownership = seat.executor.ownership;
            seat.executor.tasks.clone().map(move |task| ((task, ownership), own))
        });
        self.owners = tasks.collect();
        let of_leaving = |leaves| self.seats.iter().filter(move |seat| seat.leaves == leaves);
        let all = of_leaving(true).chain(of_leaving(false));
        self.loops = all.map(|seat| (seat.executor.index, seat.at)).collect();
    }

    /// All seats, those of executors that leave included.
    pub fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter()
    }

    /// The seats of one loop.
    pub fn seats_at(&self, at: usize) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(move |seat| seat.at == at)
    }

    /// Where a task runs that this worker owns.
    #[must_use]
    pub fn seat_of(&self, task: u32) -> Option<&Seat> {
        let seats = self.owners.range((task, 0)..=(task, u64::MAX)).rev();
        seats.map(|(_, own)| &self.seats[*own]).find(|seat| !seat.leaves)
    }

    /// Where a task runs under this ownership, be it that its executor leaves.
    #[must_use]
    pub fn seat_for(&self, task: u32, ownership: u64) -> Option<&Seat> {
        self.owners.get(&(task, ownership)).map(|own| &self.seats[*own])
    }

    /// The loop of the executor with this index in the topology.
    #[must_use]
    pub fn loop_of(&self, index: u16) -> Option<usize> {
        self.loops.get(&index).copied()
    }

    /// Tells whether a loop has executors.
    #[must_use]
    pub fn is_used(&self, at: usize) -> bool {
        self.seats_at(at).next().is_some()
    }
}

fn placed(executor: &OwnExecutor) -> PlacedExecutor {
    PlacedExecutor { index: executor.index, component: executor.component }
}

/// What each queue may hold: one mailbox an executor, and one place a target in its outbox.
fn shares<'a>(
    topology: &Topology,
    executors: impl Iterator<Item = &'a OwnExecutor>,
    limit: u64,
) -> Shares {
    let components = topology.components();
    let targets = |own: &OwnExecutor| {
        let readers = components.iter().enumerate().map(|(reader, component)| {
            let reads = component.inputs.iter().filter(|it| it.component == own.component).count();
            reads * topology.tasks(reader).len()
        });
        readers.sum::<usize>() as u64
    };
    let targets: Vec<u64> = executors.map(targets).collect();
    Shares::of(limit, targets.len() as u64, targets.iter().sum())
}

/// Pairs of components whose edge may stay on one loop.
fn joined(topology: &Topology) -> Vec<(usize, usize)> {
    let mut joined = Vec::new();
    if !topology.config().fusion() {
        // Nothing is executed inside the call that emitted it, so each may have a core of its own.
        return joined;
    }
    for (reader, component) in topology.components().iter().enumerate() {
        for input in &component.inputs {
            if input.grouping.may_stay() {
                joined.push((input.component, reader));
            }
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology_api::prelude::{
        Bolt, BoltResult, BuildError, Context, Output, TopologyBuilder, Tuple,
    };
    use topology_api::{IterSpout, NoOutput};

    #[derive(Clone, Tuple)]
    struct Number {
        n: u64,
    }

    struct Sink;

    impl Bolt for Sink {
        type Input = Number;
        type Output = NoOutput;

        fn execute(&mut self, _: Number, _: &mut Output<NoOutput>) -> BoltResult {
            Ok(())
        }
    }

    fn topology() -> Result<Topology, BuildError> {
        let mut t = TopologyBuilder::new("numbers");
        let numbers =
            t.spout("numbers", |_: &Context| IterSpout::new((0..9).map(|n| Number { n })));
        let numbers = numbers.parallelism(2).stream();
        t.bolt("sink", |_: &Context| Sink).parallelism(4).shuffle(&numbers);
        t.build()
    }

    fn executor(index: u16, ownership: u64) -> (OwnExecutor, bool) {
        let tasks = u32::from(index)..u32::from(index) + 1;
        let component = usize::from(index >= 2);
        (OwnExecutor { index, component, tasks, incarnation: 0, ownership }, false)
    }

    fn seat(seating: &Seating, task: u32) -> Option<(usize, usize)> {
        seating.seat_of(task).map(|seat| (seat.at, seat.place))
    }

    #[test]
    fn who_stays_keeps_the_seat_and_no_seat_is_given_twice() {
        let topology = topology().unwrap();
        let none = Seating::new(&topology, Vec::new(), 2, 1 << 20);
        let next = |seating: &Seating, own: &[(u16, u64)]| {
            let own = own.iter().map(|(index, ownership)| executor(*index, *ownership));
            seating.next(&topology, own.collect(), 1 << 20)
        };
        let first = next(&none, &[(0, 0), (2, 0), (3, 0)]);
        let second = next(&first, &[(0, 0), (3, 0), (4, 0)]);
        assert_eq!(seat(&second, 0), seat(&first, 0), "it stays");
        assert_eq!(seat(&second, 2), None, "it is another worker's");
        let left = seat(&first, 2).unwrap();
        let leaving = second.seat_for(2, 0).unwrap();
        assert_eq!(((leaving.at, leaving.place), leaving.leaves), (left, true));

        let back = next(&second.without(&[left]), &[(0, 0), (2, 2), (3, 0), (4, 0)]);
        assert!(back.seat_for(2, 0).is_none(), "that one is gone");
        assert!(seat(&back, 2).is_some_and(|seat| seat != left), "it begins anew elsewhere");
        let seats: std::collections::BTreeSet<_> =
            back.seats().map(|seat| (seat.at, seat.place)).collect();
        assert_eq!(seats.len(), 4, "one seat each");
    }

    #[test]
    fn a_task_that_comes_back_while_it_leaves_is_found_by_its_ownership() {
        let topology = topology().unwrap();
        let first = Seating::new(&topology, vec![executor(2, 0).0], 1, 1 << 20);
        let none = first.next(&topology, Vec::new(), 1 << 20);
        let back = none.next(&topology, vec![executor(2, 2)], 1 << 20);
        let place = |ownership| back.seat_for(2, ownership).map(|seat| (seat.place, seat.leaves));
        assert_eq!((place(0), place(1), place(2)), (Some((0, true)), None, Some((1, false))));
        assert_eq!(seat(&back, 2), Some((0, 1)), "senders here find the new one");
        assert!(
            back.seats().all(|seat| seat.leaves || !seat.may_start),
            "it waits for the old one"
        );
        let free = back.next(&topology, vec![(executor(2, 2).0, true)], 1 << 20);
        assert!(free.seat_of(2).is_some_and(|seat| seat.may_start), "the old one has let go");
    }
}
