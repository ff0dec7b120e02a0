//! Every grouping against what it promises.

mod hot_keys;
mod keys;
mod moves;
mod near;
mod space_saving;

use proptest::prelude::{Strategy, any, proptest};
use std::cell::RefCell;

use super::{
    Batch, Epoch, ExecutorPlace, GroupingKind, NO_TASK, Nearness, ROOM_FULL, RUN_MIN, Route,
    Routed, Router, Table, Targets, VerdictRoute, incarnation_of,
};
use crate::engine::acking::{AckBatch, AckBuffer, FailReason, RootId};

const KINDS: [GroupingKind; 11] = [
    GroupingKind::Shuffle,
    GroupingKind::None,
    GroupingKind::Fields,
    GroupingKind::PartialKey,
    GroupingKind::SpreadHotKeys,
    GroupingKind::ScatterHotKeys,
    GroupingKind::All,
    GroupingKind::Global,
    GroupingKind::Direct,
    GroupingKind::Custom,
    GroupingKind::LocalOrShuffle,
];

fn remote(tasks: usize) -> Targets {
    Targets { near: vec![Nearness::Away; tasks] }
}

fn tuples(len: usize) -> Batch<'static> {
    Batch { len, ..Batch::default() }
}

/// The tasks that each tuple of a batch goes to.
fn spread(router: &mut Router, batch: Batch<'_>, load: &dyn Fn(u32) -> u64) -> Vec<u32> {
    let mut out = vec![99; 3];
    match router.route(batch, load, &mut out) {
        Routed::Whole(task) => vec![task; batch.len],
        Routed::Each => {
            assert_eq!(out.len(), batch.len, "a task for each tuple");
            out
        }
        routed @ (Routed::Every | Routed::Nowhere) => panic!("{routed:?} names no task"),
    }
}

fn plenty(_: u32) -> u64 {
    ROOM_FULL
}

#[test]
fn a_stream_without_tasks_goes_nowhere_and_so_does_an_empty_batch() {
    for kind in KINDS {
        let batch = Batch { len: 1, hashes: &[7], direct: &[0], busy: None };
        let mut router = Router::new(kind, &remote(0), 1);
        assert_eq!(
            router.route(batch, &plenty, &mut vec![]),
            Routed::Nowhere,
            "{kind:?}, no tasks"
        );
        let mut router = Router::new(kind, &remote(3), 1);
        assert_eq!(
            router.route(tuples(0), &plenty, &mut vec![]),
            Routed::Nowhere,
            "{kind:?}, empty"
        );
    }
}

#[test]
fn a_stream_with_one_task_is_never_cut() {
    let (hashes, direct) = ([3; 100], [0; 100]);
    let batch = Batch { len: 100, hashes: &hashes, direct: &direct, busy: None };
    for kind in KINDS {
        let mut router = Router::new(kind, &remote(1), 1);
        assert_eq!(router.route(batch, &plenty, &mut vec![]), Routed::Whole(0), "{kind:?}");
    }
}

#[test]
fn all_means_every_task_and_global_the_first() {
    let mut all = Router::new(GroupingKind::All, &remote(3), 1);
    assert_eq!(all.route(tuples(5), &plenty, &mut vec![]), Routed::Every);
    let mut global = Router::new(GroupingKind::Global, &remote(3), 1);
    assert_eq!(global.route(tuples(5), &|task| u64::from(task), &mut vec![]), Routed::Whole(0));
}

#[test]
fn a_tuple_with_a_named_task_goes_there_or_nowhere() {
    let direct = |direct| Batch { len: 3, direct, ..Batch::default() };
    for kind in [GroupingKind::Direct, GroupingKind::Custom] {
        let mut router = Router::new(kind, &remote(3), 1);
        let out = spread(&mut router, direct(&[2, 0, 1]), &plenty);
        assert_eq!(out, [2, 0, 1], "as named");
        let out = spread(&mut router, direct(&[2, 3, u32::MAX]), &plenty);
        assert_eq!(out, [2, NO_TASK, NO_TASK], "there is no fourth task");
        let whole = router.route(direct(&[1, 1, 1]), &plenty, &mut vec![]);
        assert_eq!(whole, Routed::Whole(1), "a batch with one target is not cut");
        let lost = router.route(direct(&[7, 7, 7]), &plenty, &mut vec![]);
        assert_eq!(lost, Routed::Each, "no task is no target");
    }
}

#[test]
fn a_custom_grouping_with_too_few_or_too_many_choices_chooses_none() {
    let mut router = Router::new(GroupingKind::Custom, &remote(3), 1);
    for direct in [&[][..], &[0, 1], &[0, 1, 2, 0]] {
        let out = spread(&mut router, Batch { direct, ..tuples(3) }, &plenty);
        assert_eq!(out, [NO_TASK; 3], "whose choice each was cannot be told");
    }
}

#[test]
fn a_full_task_gets_nothing_while_another_has_credit() {
    for kind in [GroupingKind::Shuffle, GroupingKind::None, GroupingKind::LocalOrShuffle] {
        for free in 0..5 {
            let mut router = Router::new(kind, &remote(5), 11);
            let load = |task| if task == free { 1_000_000 } else { 0 };
            for len in [1, 16, 40, 128, 1_000] {
                let out = spread(&mut router, tuples(len), &load);
                assert!(out.iter().all(|&task| task == free), "{kind:?}: {len} tuples to {out:?}");
            }
        }
    }
}

#[test]
fn a_shuffle_whose_tasks_are_all_full_still_takes_turns() {
    let mut router = Router::new(GroupingKind::Shuffle, &remote(3), 5);
    let mut counts = [0; 3];
    (0..9).for_each(|_| counts[spread(&mut router, tuples(1), &|_| 0)[0] as usize] += 1);
    assert_eq!(counts, [3; 3], "the sender waits; when it goes on, it goes on evenly");
}

#[test]
fn senders_do_not_all_begin_with_the_same_task() {
    let first = |seed| {
        let mut router = Router::new(GroupingKind::Shuffle, &remote(8), seed);
        spread(&mut router, tuples(1), &plenty)[0]
    };
    let mut seen: Vec<u32> = (0..100).map(first).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..8).collect::<Vec<_>>(), "100 senders begin everywhere");
}

#[test]
fn a_shuffle_keeps_a_slow_task_from_falling_behind() {
    // One of four tasks works at a quarter of the speed of the others.
    let credit = RefCell::new([1_000_u64; 4]);
    let mut router = Router::new(GroupingKind::Shuffle, &remote(4), 3);
    let mut done = [0_u64; 4];
    for _ in 0..2_000 {
        let task = spread(&mut router, tuples(12), &|task| credit.borrow()[task as usize])[0];
        let mut credit = credit.borrow_mut();
        assert!(credit[task as usize] >= 12, "task {task} has no credit: {credit:?}");
        credit[task as usize] -= 12;
        for (task, speed) in [1, 4, 4, 4].into_iter().enumerate() {
            let worked = speed.min(1_000 - credit[task]);
            credit[task] += worked;
            done[task] += worked;
        }
    }
    assert!(done[0] * 3 < done[1], "the slow one gets less: {done:?}");
    let backlogs = credit.borrow().map(|credit| 1_000 - credit);
    assert!(backlogs.into_iter().all(|backlog| backlog < 300), "no long queue: {backlogs:?}");
}

proptest! {
    #[test]
    fn with_equal_credit_no_task_gets_more_than_one_run_more_than_another(
        tasks in 2_usize..40,
        lens in proptest::collection::vec(1_usize..300, 1..60),
        seed: u64,
    ) {
        let mut router = Router::new(GroupingKind::Shuffle, &remote(tasks), seed);
        let (mut runs, mut turn) = (vec![0_u32; tasks], None);
        for &len in &lens {
            let out = spread(&mut router, tuples(len), &plenty);
            let runs_of_batch: Vec<&[u32]> = out.chunk_by(|a, b| a == b).collect();
            for (at, run) in runs_of_batch.iter().enumerate() {
                let last = at + 1 == runs_of_batch.len();
                assert!(last || run.len() >= RUN_MIN, "a run of {} in {len} tuples", run.len());
                runs[run[0] as usize] += 1;
                let next = turn.map_or(run[0], |last: u32| (last + 1) % tasks as u32);
                assert_eq!(run[0], next, "tasks take turns");
                turn = Some(run[0]);
            }
            let expected = (len / RUN_MIN).clamp(1, tasks);
            let cut = runs_of_batch.len();
            assert!(cut <= expected, "{len} tuples were cut into {cut} runs");
        }
        let (least, most) = (runs.iter().min(), runs.iter().max());
        let (least, most) = (least.expect("a task"), most.expect("a task"));
        assert!(most - least <= 1, "uneven: {runs:?}");
    }
}

fn place(index: u16, component: &str, tasks: std::ops::Range<u32>) -> ExecutorPlace {
    let (component, formers) = (component.into(), Vec::new());
    ExecutorPlace { index, component, tasks, incarnation: 0, ownership: 1, formers }
}

fn route(worker: u32, (revision, restarts, since): (u64, u64, u64)) -> Route {
    let epoch = Epoch { revision, restarts };
    let (address, executors) = (String::new(), vec![]);
    Route { worker, epoch, address, since_version: since, executors, released: Default::default() }
}

#[test]
fn a_table_finds_workers_by_executor_and_by_task() {
    let first = Route {
        executors: vec![place(0, "lines", 0..2), place(2, "count", 5..6)],
        ..route(10, (1, 0, 1))
    };
    let second = Route { executors: vec![place(1, "count", 2..5)], ..route(11, (1, 0, 1)) };
    let table = Table::new(7, vec![first, second]);
    let worker = |task| table.worker_of_task(task).map(|route| route.worker);
    let workers: Vec<_> = (0..7).map(worker).collect();
    let (one, two) = (Some(10), Some(11));
    assert_eq!(workers, [one, one, two, two, two, one, None], "by task");
    let executor = |index| table.executor(index).map(|(route, place)| (route.worker, place.index));
    assert_eq!([0, 1, 2, 3].map(executor), [Some((10, 0)), Some((11, 1)), Some((10, 2)), None]);
    assert_eq!(table.tasks_of("count"), [2, 3, 4, 5], "ordinals count through them");
    assert_eq!((table.tasks_of("none"), table.version()), (vec![], 7));
}

#[test]
fn where_two_workers_claim_a_task_the_later_epoch_has_it() {
    let claim =
        |worker, epoch| Route { executors: vec![place(0, "a", 0..1)], ..route(worker, epoch) };
    let (old, new) = (claim(1, (4, 9, 4)), claim(2, (5, 0, 5)));
    for workers in [vec![old.clone(), new.clone()], vec![new, old]] {
        let table = Table::new(5, workers);
        assert_eq!(table.worker_of_task(0).map(|route| route.worker), Some(2), "by task");
        assert_eq!(table.executor(0).map(|(route, _)| route.worker), Some(2), "by executor");
    }
}

#[test]
fn only_an_incarnation_that_ended_retires() {
    let table = |version, workers| Table::new(version, workers);
    let old = table(10, vec![route(1, (3, 0, 3)), route(2, (3, 0, 3))]);
    let retired = |version, workers| old.retired_since(&table(version, workers));
    let (one, two) = (|| route(1, (3, 0, 3)), || route(2, (3, 0, 3)));
    assert_eq!(retired(20, vec![one(), two()]), None, "a new address retires no one");
    assert_eq!(retired(20, vec![one(), two(), route(3, (20, 0, 20))]), None, "nor does a newcomer");
    assert_eq!(retired(20, vec![one(), route(2, (3, 1, 15))]), Some(15), "a restart does");
    assert_eq!(retired(20, vec![one(), route(2, (14, 0, 16))]), Some(16), "so does a new place");
    assert_eq!(retired(20, vec![one()]), Some(20), "one that is gone ended at some time up to now");
    let both = vec![route(1, (3, 4, 19)), route(2, (3, 1, 15))];
    assert_eq!(retired(20, both), Some(19), "the latest counts");
    let newcomer = vec![one(), two(), route(3, (12, 1, 18))];
    assert_eq!(retired(20, newcomer), Some(18), "one that came and ended in between ended too");
    assert_eq!(Table::default().retired_since(&old), None, "nothing came before the first table");
}

#[test]
fn a_first_table_tells_of_restarts_and_not_of_first_starts() {
    let first = Table::new(9, vec![route(1, (3, 0, 7)), route(2, (3, 0, 8))]);
    assert_eq!(Table::default().retired_since(&first), None, "everyone starts");
    let later = Table::new(30, vec![route(1, (3, 2, 25)), route(2, (28, 0, 29))]);
    assert_eq!(Table::default().retired_since(&later), Some(25), "one has started again");
}

#[test]
fn a_verdict_goes_to_the_incarnation_it_names_or_waits_for_it() {
    let spout = ExecutorPlace { incarnation: 62, ..place(1, "lines", 0..1) };
    let table = Table::new(5, vec![Route { executors: vec![spout], ..route(8, (1, 62, 5)) }]);
    let to = |executor, incarnation| table.verdict_route(RootId::new(executor, incarnation, 0, 1));
    assert_eq!(to(1, 62), VerdictRoute::Deliver(8), "the one in the table");
    assert_eq!(to(1, 61), VerdictRoute::Late, "one that is gone");
    assert_eq!([to(1, 63), to(1, 0)], [VerdictRoute::Wait; 2], "one that is yet to be heard of");
    assert_eq!(to(0, 0), VerdictRoute::Wait, "an executor that is yet to be heard of");
    assert_eq!(to(9, 0), VerdictRoute::Wait, "wherever it is");
}

#[test]
fn verdicts_are_sent_kept_or_dropped_by_the_incarnation_they_are_for() {
    let spout = ExecutorPlace { incarnation: 62, ..place(1, "lines", 0..1) };
    let table = Table::new(5, vec![Route { executors: vec![spout], ..route(8, (1, 62, 5)) }]);
    let mut buffer = AckBuffer::new();
    for (slot, incarnation) in (0..).zip([62, 61, 63]) {
        let root = RootId::new(1, incarnation, slot, 1).bits();
        buffer.fold(root, 0b01, 4);
        buffer.fail(root, FailReason::Error);
    }
    let sorted = table.sort_verdicts(buffer.take());
    let slots = |batch: &AckBatch| {
        let slot = |root| RootId::from_bits(root).map(RootId::slot);
        let folded: Vec<_> = batch.contributions.iter().map(|it| slot(it.root)).collect();
        let failed: Vec<_> = batch.failures.iter().map(|it| slot(it.root)).collect();
        assert_eq!(folded, failed, "failures go the way of contributions");
        (batch.stamp, folded)
    };
    let (to, ready) = sorted.deliver.expect("one is for the worker in the table");
    assert_eq!((to, slots(&ready)), (8, (4, vec![Some(0)])), "goes");
    assert_eq!(slots(&sorted.wait), (4, vec![Some(2)]), "waits, with its stamp");
    assert_eq!(sorted.late, 2, "dropped and counted");
}

#[test]
fn incarnations_count_restarts_modulo_64() {
    assert_eq!([incarnation_of(0, 0), incarnation_of(8, 3), incarnation_of(60, 5)], [0, 11, 1]);
    assert_eq!(incarnation_of(u64::MAX, 1), 0, "no overflow");
}

#[test]
fn epochs_are_ordered_by_assignment_and_then_by_restarts() {
    let epoch = |(revision, restarts)| Epoch { revision, restarts };
    let rising = [(0, 0), (3, 0), (3, 7), (4, 0), (4, 1)].map(epoch);
    assert!(rising.is_sorted(), "a new assignment outranks any number of restarts");
}

/// Tables that a worker may see one after another: some workers restart in each.
fn tables() -> impl Strategy<Value = Vec<Table>> {
    let restarts = proptest::collection::vec(proptest::collection::vec(any::<bool>(), 3), 1..8);
    restarts.prop_map(|steps| {
        let mut workers: Vec<Route> = (0..3).map(|worker| route(worker, (1, 0, 1))).collect();
        let mut tables = vec![Table::new(1, workers.clone())];
        for (version, restarted) in (2..).zip(steps) {
            for (worker, _) in workers.iter_mut().zip(restarted).filter(|(_, again)| *again) {
                worker.epoch.restarts += 1;
                worker.since_version = version;
            }
            tables.push(Table::new(version, workers.clone()));
        }
        tables
    })
}

proptest! {
    #[test]
    fn a_table_that_was_skipped_hides_no_retirement(tables in tables()) {
        let (first, last) = (&tables[0], tables.last().expect("at least one"));
        let step_by_step = tables.windows(2).filter_map(|pair| pair[0].retired_since(&pair[1]));
        assert_eq!(first.retired_since(last), step_by_step.max(), "the latest of all in between");
    }
}
