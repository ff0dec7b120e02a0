//! The groupings in whole topologies: each tuple once, where it should go, and what mistakes cost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use topology_api::prelude::*;
use topology_api::{BoltDeclarer, NoOutput};
use worker::Finished;

use crate::vocabulary::{Audit, Number, Pass, Sink, fused_and_not, run, topology};

const COUNT: u64 = 20_000;

/// Runs numbers through `read` into four tasks.
fn spread(
    fusion: bool,
    read: impl Fn(BoltDeclarer<Number, NoOutput>, &Stream<Number>) -> BoltDeclarer<Number, NoOutput>,
) -> (Audit, Finished) {
    let audit = Audit::default();
    let mut t = topology("spread", fusion);
    let numbers = audit.spout(&mut t, COUNT);
    let sink: BoltDeclarer<Number, NoOutput> = t.bolt("sink", audit.sink()).parallelism(4);
    read(sink, &numbers);
    let finished = run(t);
    audit.assert_each_acked_once(COUNT);
    (audit, finished)
}

/// How many tuples each of the four tasks saw.
fn shares(audit: &Audit) -> [u64; 4] {
    let mut shares = [0; 4];
    audit.seen.lock().unwrap().iter().for_each(|(task, _)| shares[*task as usize] += 1);
    shares
}

/// The key of a number: half of them have one and the same.
fn key(number: &Number) -> &u64 {
    const KEYS: [u64; 100] = {
        let mut keys = [0; 100];
        let mut at = 0;
        while at < 50 {
            keys[at] = 1_000 + at as u64;
            at += 1;
        }
        keys
    };
    &KEYS[(number.n % 100) as usize]
}

/// The tasks that each key met.
fn met(audit: &Audit) -> BTreeMap<u64, BTreeSet<u32>> {
    let mut met: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    for (task, n) in audit.seen.lock().unwrap().iter() {
        met.entry(*key(&Number { n: *n })).or_default().insert(*task);
    }
    met
}

#[test]
fn a_none_grouping_delivers_each_tuple_once() {
    fused_and_not(|fusion| {
        let (audit, _) = spread(fusion, |sink, numbers| sink.none(numbers));
        assert_eq!(shares(&audit).iter().sum::<u64>(), COUNT);
    });
}

#[test]
fn with_a_partial_key_a_key_meets_two_tasks_and_equal_numbers_too() {
    fused_and_not(|fusion| {
        let (audit, _) = spread(fusion, |sink, numbers| sink.partial_key(numbers, key));
        let met = met(&audit);
        assert!(met.values().all(|tasks| tasks.len() <= 2), "two at most: {met:?}");
        assert_eq!(met[&0].len(), 2, "the hot key uses both");
        let (named, _) = spread(fusion, |sink, numbers| sink.partial_key_named(numbers, &["n"]));
        let shares = shares(&named);
        assert!(shares.iter().all(|share| share.abs_diff(COUNT / 4) < 20), "even: {shares:?}");
    });
}

#[test]
fn a_hot_key_is_spread_or_scattered_and_the_tasks_are_even() {
    fused_and_not(|fusion| {
        let (spreading, _) = spread(fusion, |sink, numbers| sink.spread_hot_keys(numbers, key));
        let (scattering, _) = spread(fusion, |sink, numbers| sink.scatter_hot_keys(numbers, key));
        for audit in [spreading, scattering] {
            let (shares, met) = (shares(&audit), met(&audit));
            assert!(shares.iter().all(|share| *share < COUNT * 27 / 100), "even: {shares:?}");
            assert!(met[&0].len() > 2, "half of all tuples are too many for two: {met:?}");
            assert!(met.iter().all(|(key, tasks)| *key == 0 || tasks.len() <= 2), "{met:?}");
        }
        for read in [BoltDeclarer::spread_hot_keys_named, BoltDeclarer::scatter_hot_keys_named] {
            let (named, _) = spread(fusion, |sink, numbers| read(sink, numbers, &["n"]));
            assert_eq!(shares(&named).iter().sum::<u64>(), COUNT, "each came once");
        }
    });
}

#[test]
fn a_custom_grouping_decides() {
    fused_and_not(|fusion| {
        let (audit, _) = spread(fusion, |sink, numbers| {
            sink.custom(numbers, |targets| {
                assert_eq!((targets.tasks, &targets.local[..]), (4, &[0, 1, 2, 3][..]));
                |batch: &[Number], tasks: &mut Vec<u32>| {
                    tasks.extend(batch.iter().map(|number| (number.n / 7 % 4) as u32));
                }
            })
        });
        let seen = audit.seen.lock().unwrap();
        assert_eq!(seen.len() as u64, COUNT);
        assert!(seen.iter().all(|(task, n)| u64::from(*task) == n / 7 % 4), "as it said");
    });
}

/// Some tasks of four, made of a number: none to six, and some of them more than once.
fn some_tasks(seed: u64, n: u64) -> Vec<u32> {
    let mut bits = (n ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits ^= bits >> 29;
    (0..bits % 7).map(|at| (bits >> (8 + 4 * at)) as u32 % 4).collect()
}

#[test]
fn a_custom_grouping_to_several_tasks_gives_each_its_copies_in_order_and_acks_when_all_are_done() {
    let seed: u64 = rand::random();
    fused_and_not(|fusion| {
        let (audit, _) = spread(fusion, |sink, numbers| {
            sink.custom_copies(numbers, move |targets| {
                assert_eq!(targets.tasks, 4);
                move |number: &Number, tasks: &mut Vec<u32>| {
                    tasks.extend(some_tasks(seed, number.n));
                }
            })
        });
        assert!(audit.failed.lock().unwrap().is_empty(), "seed {seed}");
        let seen = audit.seen.lock().unwrap();
        for task in 0..4 {
            let got: Vec<u64> = seen.iter().filter(|(at, _)| *at == task).map(|it| it.1).collect();
            let copies = |n: u64| some_tasks(seed, n).into_iter().filter(move |to| *to == task);
            let expected: Vec<u64> = (0..COUNT).flat_map(|n| copies(n).map(move |_| n)).collect();
            assert!(got == expected, "task {task} did not get its copies in order, seed {seed}");
        }
    });
}

#[test]
fn a_copy_that_fails_fails_its_tuple_and_one_for_no_task_there_is_does_too() {
    fused_and_not(|fusion| {
        let tried = Arc::new(AtomicBool::new(false));
        let (audit, finished) = spread(fusion, |sink, numbers| {
            let tried = Arc::clone(&tried);
            sink.custom_copies(numbers, move |_| {
                let tried = Arc::clone(&tried);
                move |number: &Number, tasks: &mut Vec<u32>| {
                    tasks.extend([1, 3]);
                    if number.n == 77 && !tried.swap(true, Ordering::Relaxed) {
                        tasks.push(4);
                    }
                }
            })
        });
        assert_eq!(*audit.failed.lock().unwrap(), [(77, "no-target")]);
        // The other two copies of the first try went where they should.
        assert_eq!(shares(&audit), [0, COUNT + 1, 0, COUNT + 1]);
        let errors = &finished.snapshot.errors;
        let told = errors.iter().any(|it| it.text.contains("chose task 4 of 4 tasks"));
        assert!(told, "{errors:?}");
    });
}

#[test]
fn a_custom_grouping_that_goes_wrong_fails_its_tuples_and_says_what_is_wrong() {
    let once = || {
        let first = Arc::new(AtomicBool::new(true));
        move || first.swap(false, Ordering::Relaxed)
    };
    type Wrong = fn(&[Number], &mut Vec<u32>);
    let cases: [(Wrong, &str, &str); 3] = [
        (|_, tasks| tasks[0] = 9, "no-target", "chose task 9 of 4 tasks: name one of 0 to 3"),
        (|batch, tasks| tasks.resize(batch.len() + 1, 0), "no-target", "choose one for each"),
        (|_, _| panic!("no idea"), "panic", "the custom grouping panicked: no idea"),
    ];
    for (wrong, reason, text) in cases {
        fused_and_not(|fusion| {
            let is_first = once();
            let (audit, finished) = spread(fusion, |sink, numbers| {
                let is_first = is_first.clone();
                sink.custom(numbers, move |_| {
                    let is_first = is_first.clone();
                    move |batch: &[Number], tasks: &mut Vec<u32>| {
                        tasks.resize(batch.len(), 2);
                        if is_first() {
                            wrong(batch, tasks);
                        }
                    }
                })
            });
            let failed = audit.failed.lock().unwrap();
            assert!(!failed.is_empty(), "the first batch went wrong");
            assert!(failed.iter().all(|(_, name)| *name == reason), "{reason}: {failed:?}");
            assert_eq!(shares(&audit), [0, 0, COUNT, 0], "each came in the end");
            let errors = &finished.snapshot.errors;
            assert!(errors.iter().any(|error| error.text.contains(text)), "{text}: {errors:?}");
        });
    }
}

#[test]
fn a_key_that_panics_fails_its_tuples_and_the_worker_lives() {
    fused_and_not(|fusion| {
        let first = Arc::new(AtomicBool::new(true));
        let (audit, _) = spread(fusion, |sink, numbers| {
            let first = Arc::clone(&first);
            sink.fields(numbers, move |number: &Number| {
                assert!(!(number.n == 77 && first.swap(false, Ordering::Relaxed)), "no key");
                &number.n
            })
        });
        let failed = audit.failed.lock().unwrap();
        assert!(failed.iter().any(|(n, _)| *n == 77), "{failed:?}");
        assert!(failed.iter().all(|(_, reason)| *reason == "panic"), "{failed:?}");
    });
}

/// Names the task of each number, the first time one that there is not for some.
#[derive(Default)]
struct Name {
    tried: BTreeSet<u64>,
}

impl Bolt for Name {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        let is_lost = number.n % 1_000 == 5 && self.tried.insert(number.n);
        if number.n.is_multiple_of(2) {
            out.emit(number);
        } else {
            let task = if is_lost { 4 } else { (number.n % 3) as u32 };
            out.emit_direct(task, number);
        }
        Ok(())
    }
}

#[test]
fn direct_tuples_go_where_they_are_named_to_and_others_to_other_readers() {
    fused_and_not(|fusion| {
        let (direct, plain) = (Audit::default(), Audit::default());
        let mut t = topology("direct", fusion);
        let numbers = direct.spout(&mut t, 5_000);
        let named = t.bolt("name", |_| Name::default()).shuffle(&numbers).stream();
        t.bolt("direct", direct.sink()).parallelism(3).direct(&named);
        t.bolt("plain", plain.sink()).parallelism(2).shuffle(&named);
        let finished = run(t);
        direct.assert_each_acked_once(5_000);
        let seen = direct.seen.lock().unwrap();
        assert_eq!(seen.len(), 2_500, "all that were named a task");
        assert!(seen.iter().all(|(task, n)| n % 2 == 1 && u64::from(*task) == n % 3), "{seen:?}");
        let plain = plain.seen.lock().unwrap();
        assert_eq!(plain.len(), 2_500, "all others");
        assert!(plain.iter().all(|(_, n)| n % 2 == 0), "{plain:?}");
        let failed = direct.failed.lock().unwrap();
        let lost: BTreeSet<(u64, &str)> = failed.iter().copied().collect();
        let expected = [5, 1_005, 2_005, 3_005, 4_005].map(|n| (n, "no-target"));
        assert_eq!(lost, BTreeSet::from(expected), "there is no fifth task");
        let errors = &finished.snapshot.errors;
        let told = errors.iter().any(|it| it.text.contains("directly to task 4 of 3 tasks"));
        assert!(told, "{errors:?}");
    });
}

/// Takes its time, so that one thread cannot do it all.
struct Busy(Sink);

impl Bolt for Busy {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, number: Number, out: &mut Output<NoOutput>) -> BoltResult {
        let mut sum = number.n;
        (0..4_000_u64).for_each(|n| sum = std::hint::black_box(sum.wrapping_mul(n | 1)));
        self.0.execute(number, out)
    }
}

#[test]
fn a_shuffle_gives_work_to_threads_that_have_nothing_to_do() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("busy", fusion);
        let numbers = audit.spout(&mut t, COUNT);
        let sink = audit.sink();
        t.bolt("busy", move |cx| Busy(sink(cx))).parallelism(2).shuffle(&numbers);
        run(t);
        audit.assert_each_acked_once(COUNT);
        let shares = shares(&audit);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        if threads > 1 {
            assert!(shares[..2].iter().all(|share| *share > COUNT / 50), "one did all: {shares:?}");
        }
    });
}

#[test]
fn what_stays_near_is_shared_evenly_by_senders_that_are() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("near", fusion);
        let numbers = audit.spout(&mut t, COUNT);
        let pass = |_: &Context| Pass { trouble: |_| Ok(()) };
        let passed = t.bolt("pass", pass).parallelism(4).fields(&numbers, |n| &n.n).stream();
        t.bolt("sink", audit.sink()).parallelism(4).shuffle(&passed);
        run(t);
        audit.assert_each_acked_once(COUNT);
        let shares = shares(&audit);
        assert!(shares.iter().all(|share| *share > COUNT / 20), "all have some: {shares:?}");
    });
}

/// Waits for something.
struct Waits(Sink);

impl Bolt for Waits {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, number: Number, out: &mut Output<NoOutput>) -> BoltResult {
        std::thread::sleep(std::time::Duration::from_millis(1));
        self.0.execute(number, out)
    }
}

#[test]
fn tasks_with_threads_of_their_own_are_equally_near() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("waiting", fusion);
        let numbers = audit.spout(&mut t, 600);
        let sink = audit.sink();
        let waits = t.bolt("waits", move |cx| Waits(sink(cx))).parallelism(4).blocking();
        waits.shuffle(&numbers);
        run(t);
        audit.assert_each_acked_once(600);
        let shares = shares(&audit);
        assert!(shares.iter().all(|share| *share > 60), "each gets its part: {shares:?}");
    });
}
