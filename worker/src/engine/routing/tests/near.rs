//! Which tasks a shuffle, a none and a local-or-shuffle grouping choose among near and far ones.

use std::cell::RefCell;

use proptest::prelude::{Strategy, any, prop_oneof, proptest};

use super::{plenty, spread, tuples};
use crate::engine::routing::Nearness::{Away, Loop, Worker};
use crate::engine::routing::{Batch, GroupingKind, Nearness, Pressure, ROOM_FULL, Router, Targets};

fn shuffle(near: &[Nearness]) -> Router {
    Router::new(GroupingKind::Shuffle, &Targets { near: near.to_vec() }, 7)
}

/// How many of some batches of 100 tuples each task gets.
fn shares(router: &mut Router, batches: usize, load: &dyn Fn(u32) -> u64) -> Vec<usize> {
    let mut shares = vec![0; 16];
    for _ in 0..batches {
        for task in spread(router, tuples(100), load) {
            shares[task as usize] += 1;
        }
    }
    shares.truncate(shares.iter().rposition(|share| *share > 0).map_or(0, |last| last + 1));
    shares
}

#[test]
fn the_nearest_tasks_get_all_while_they_keep_up() {
    let cases: [(&[Nearness], &[usize]); 3] = [
        (&[Away, Worker, Loop, Worker], &[0, 0, 100_000]),
        (&[Away, Worker, Away, Worker], &[0, 50_000, 0, 50_000]),
        (&[Away, Away], &[50_000, 50_000]),
    ];
    for (near, expected) in cases {
        assert_eq!(shares(&mut shuffle(near), 1_000, &plenty), expected, "{near:?}");
    }
}

#[test]
fn tasks_of_one_thread_get_whole_batches_in_turn() {
    let mut router = shuffle(&[Loop, Away, Loop]);
    let first: Vec<Vec<u32>> = (0..4).map(|_| spread(&mut router, tuples(100), &plenty)).collect();
    assert!(first.iter().all(|batch| batch.iter().all(|task| *task == batch[0])), "{first:?}");
    assert_eq!(first.iter().map(|batch| batch[0]).collect::<Vec<_>>(), [0, 2, 0, 2]);
}

#[test]
fn what_the_near_tasks_cannot_take_goes_on_and_comes_back_when_they_can() {
    // The same thread, then the same worker, then others.
    let room = RefCell::new([ROOM_FULL; 3]);
    let mut router = shuffle(&[Loop, Worker, Away]);
    let load = |task: u32| room.borrow()[task as usize];
    assert_eq!(shares(&mut router, 100, &load), [10_000], "all here");
    room.borrow_mut()[0] = ROOM_FULL / 5;
    assert_eq!(shares(&mut router, 100, &load), [0, 10_000], "the neighbour has room");
    *room.borrow_mut() = [0, 0, ROOM_FULL];
    assert_eq!(shares(&mut router, 100, &load), [0, 0, 10_000], "only the other worker has");
    *room.borrow_mut() = [ROOM_FULL; 3];
    shares(&mut router, 2_000, &load);
    assert_eq!(shares(&mut router, 100, &load), [10_000], "all here again");
}

#[test]
fn where_all_have_too_much_to_do_work_stays_near() {
    let room = RefCell::new([ROOM_FULL, ROOM_FULL, ROOM_FULL]);
    let mut router = shuffle(&[Loop, Worker, Away]);
    let load = |task: u32| room.borrow()[task as usize];
    *room.borrow_mut() = [ROOM_FULL / 8; 3];
    assert_eq!(shares(&mut router, 100, &load), [10_000], "nobody keeps up");
    *room.borrow_mut() = [0, ROOM_FULL, ROOM_FULL];
    assert_eq!(shares(&mut router, 100, &load), [0, 10_000], "the neighbour does");
    *room.borrow_mut() = [ROOM_FULL / 8; 3];
    shares(&mut router, 2_000, &load);
    assert_eq!(shares(&mut router, 100, &load), [10_000], "nobody any more");
}

#[test]
fn a_wide_reach_is_even_again() {
    let room = RefCell::new(0);
    let load = |task: u32| if task == 0 { *room.borrow() } else { ROOM_FULL };
    let mut router = shuffle(&[Loop, Away, Away, Away]);
    shares(&mut router, 1, &load);
    *room.borrow_mut() = ROOM_FULL * 3 / 4 - 1;
    let shares = shares(&mut router, 1_000, &load);
    assert!(shares[1] > 0 && shares[1..].iter().all(|share| *share == shares[1]), "{shares:?}");
}

#[test]
fn a_reach_does_not_flap() {
    // A near task that is fast while it gets little and slow while it gets all: a bait.
    let room = RefCell::new(ROOM_FULL);
    let load = |task: u32| if task == 0 { *room.borrow() } else { ROOM_FULL };
    let mut router = shuffle(&[Worker, Away, Away]);
    let (mut changes, mut was_all) = (0, true);
    for _ in 0..30_000 {
        let out = spread(&mut router, tuples(100), &load);
        let is_all = out.iter().all(|task| *task == 0);
        changes += u32::from(is_all != was_all);
        was_all = is_all;
        *room.borrow_mut() = if is_all { room.borrow().saturating_sub(100) } else { ROOM_FULL };
    }
    assert!(changes < 100, "{changes} changes in 30 000 batches");
    assert!(changes > 10, "it tries now and then");
}

#[test]
fn who_has_no_time_left_gives_work_away_and_none_does_not() {
    let batch = |busy| Batch { len: 100, busy, ..Batch::default() };
    let near = vec![Loop, Worker, Away];
    let reached = |kind, busy| {
        let mut router = Router::new(kind, &Targets { near: near.clone() }, 3);
        let mut seen = [false; 3];
        for _ in 0..50 {
            for task in spread(&mut router, batch(busy), &plenty) {
                seen[task as usize] = true;
            }
        }
        seen
    };
    assert_eq!(reached(GroupingKind::Shuffle, None), [true, false, false]);
    assert_eq!(reached(GroupingKind::Shuffle, Some(Loop)), [true, true, false]);
    assert_eq!(reached(GroupingKind::Shuffle, Some(Worker)), [true; 3]);
    assert_eq!(reached(GroupingKind::LocalOrShuffle, Some(Worker)), [true, true, false]);
    assert_eq!(reached(GroupingKind::None, Some(Worker)), [true, false, false]);
}

#[test]
fn pressure_is_work_that_pays_to_give_away_and_no_rest() {
    let busy = |nanoseconds: u64, rests: bool, another_sleeps: bool| {
        let mut pressure = Pressure::default();
        // Rounds of 100 tuples each for a look of 2 ms.
        let rounds = 2_000_000 / (nanoseconds * 100) + 1;
        for round in 1..=rounds {
            pressure.routed(100);
            let worked = !(rests && round == rounds / 2);
            pressure.round(worked, round * nanoseconds * 100, || another_sleeps);
        }
        pressure.busy()
    };
    assert_eq!(busy(20, false, true), None, "handing over costs more than doing");
    assert_eq!(busy(200, false, true), Some(Loop), "another thread has time");
    assert_eq!(busy(200, false, false), None, "nobody near has time, and the network costs more");
    assert_eq!(busy(3_000, false, true), Some(Loop), "the nearer first");
    assert_eq!(busy(3_000, false, false), Some(Worker), "the whole worker has no time");
    assert_eq!(busy(3_000, true, true), None, "there is time left");
}

fn nearness() -> impl Strategy<Value = Nearness> {
    prop_oneof![
        proptest::strategy::Just(Loop),
        proptest::strategy::Just(Worker),
        proptest::strategy::Just(Away)
    ]
}

proptest! {
    #[test]
    fn local_or_shuffle_stays_in_the_worker_if_it_can(
        near in proptest::collection::vec(nearness(), 1..12),
        lens in proptest::collection::vec(1_usize..200, 1..10),
        loads in proptest::collection::vec(0_u64..300, 12),
        busy in proptest::option::of(nearness()),
        seed: u64,
    ) {
        let targets = Targets { near: near.clone() };
        let mut router = Router::new(GroupingKind::LocalOrShuffle, &targets, seed);
        for len in lens {
            let batch = Batch { busy, ..tuples(len) };
            let out = spread(&mut router, batch, &|task| loads[task as usize]);
            for task in out {
                let stays = near[task as usize] != Away || near.iter().all(|it| *it == Away);
                assert!(stays, "task {task} is not among {near:?}");
            }
        }
    }

    #[test]
    fn a_task_without_room_gets_nothing_while_any_has_room(
        near in proptest::collection::vec(nearness(), 2..12),
        full in proptest::collection::vec(any::<bool>(), 12),
        kind in prop_oneof![
            proptest::strategy::Just(GroupingKind::Shuffle),
            proptest::strategy::Just(GroupingKind::None),
        ],
        lens in proptest::collection::vec(1_usize..200, 1..30),
        seed: u64,
    ) {
        let full = &full[..near.len()];
        if full.contains(&false) {
            let mut router = Router::new(kind, &Targets { near }, seed);
            for len in lens {
                // The room of the batch in hand is not taken back: room for all of it.
                let room = |task: u32| if full[task as usize] { 0 } else { 1 << 20 };
                let out = spread(&mut router, tuples(len), &room);
                assert!(out.iter().all(|task| !full[*task as usize]), "{full:?}: {out:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_and_the_same_loads_route_the_same_way(
        near in proptest::collection::vec(nearness(), 1..12),
        steps in proptest::collection::vec((1_usize..200, any::<u64>()), 1..50),
        seed: u64,
    ) {
        let targets = Targets { near };
        let mut twins = [(); 2].map(|()| Router::new(GroupingKind::Shuffle, &targets, seed));
        for (len, loads) in steps {
            let load = |task: u32| loads.rotate_left(task * 5) % (ROOM_FULL + 1);
            let [one, other] = twins.each_mut().map(|twin| spread(twin, tuples(len), &load));
            assert_eq!(one, other, "nothing but seed and loads decides");
        }
    }
}
