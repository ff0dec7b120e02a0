//! What executors do with their time, as the reports tell it: who is busy, who is held up, who waits.

use std::time::Duration;

use topology_api::prelude::*;
use worker::Finished;
use worker::executor::effort::Effort;

use crate::vocabulary::{Audit, Number, Pass, fused_and_not, run, topology};

/// Passes nothing on.
struct Swallow;

impl Bolt for Swallow {
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, _: Number, _: &mut Output<Number>) -> BoltResult {
        Ok(())
    }
}

fn slow() -> Pass<impl FnMut(u64) -> BoltResult + Send + 'static> {
    let trouble = |_| {
        std::thread::sleep(Duration::from_millis(1));
        Ok(())
    };
    Pass { trouble }
}

/// The time of a component's only executor, in thousandths: executing or ready, blocked, throttled and
/// idle.
fn shares(finished: &Finished, component: &str) -> [u64; 4] {
    let mut tasks = finished.snapshot.tasks.iter();
    let task = tasks.find(|task| task.component == component).unwrap();
    let mut efforts = finished.efforts.iter();
    let Effort { executing, ready, calling, blocked, throttled, idle } =
        efforts.find(|it| it.executor == task.executor).unwrap().effort;
    let parts = [executing + ready + calling, blocked, throttled, idle];
    let total: u64 = parts.iter().sum();
    parts.map(|part| part * 1_000 / total)
}

#[test]
fn a_slow_bolt_is_busy_who_sends_to_it_is_held_up_and_who_gets_nothing_is_idle() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("slow", fusion);
        t.config("max_pending", "100000").unwrap();
        let numbers = audit.spout(&mut t, 3_000);
        let slowed = t.bolt("slow", |_| slow()).shuffle(&numbers).stream();
        let nothing = t.bolt("swallow", |_| Swallow).shuffle(&slowed).stream();
        t.bolt("idle", audit.sink()).shuffle(&nothing);
        let finished = run(t);
        let [slow, spout, idle] =
            ["slow", "numbers", "idle"].map(|component| shares(&finished, component));
        assert!(slow[0] > 600, "the slow bolt is busy: {slow:?}");
        assert!(spout[1] > 300, "its mailbox and its share of the outbox are full: {spout:?}");
        assert_eq!(spout[2], 0, "there is room for more trees: {spout:?}");
        assert!(idle[3] > 900, "nothing comes: {idle:?}");
    });
}

#[test]
fn every_copy_of_a_tuple_is_counted_on_its_way() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("ways", fusion);
        let numbers = audit.spout(&mut t, 1_000);
        let passed = t.bolt("pass", |_| Pass { trouble: |_| Ok(()) }).shuffle(&numbers).stream();
        t.bolt("one", audit.sink()).parallelism(2).fields_named(&passed, &["n"]);
        t.bolt("each", audit.sink()).parallelism(3).all(&passed);
        let flows = run(t).flows;
        let seen: Vec<_> =
            flows.iter().map(|(from, to, tuples)| (from.component, to, tuples)).collect();
        let emitted = [(0, None, 1_000), (0, Some(1), 1_000), (1, None, 1_000)];
        let read = [(1, Some(2), 1_000), (1, Some(3), 3_000)];
        assert_eq!(seen, [&emitted[..], &read[..]].concat(), "by component and reader");
    });
}

#[test]
fn a_spout_with_as_many_trees_as_may_be_waits_for_acks() {
    let audit = Audit::default();
    let mut t = topology("throttled", false);
    t.config("max_pending", "10").unwrap();
    let numbers = audit.spout(&mut t, 500);
    t.bolt("slow", |_| slow()).shuffle(&numbers);
    let spout = shares(&run(t), "numbers");
    assert!(spout[2] > 500, "ten are always open: {spout:?}");
    assert_eq!(spout[1], 0, "and there is room ahead: {spout:?}");
}
