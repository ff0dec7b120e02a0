//! What the leader learns by looking on, and what a new one knows of it.

use std::time::Duration;

use proto::supervisor::{ExecutorReport, FlowReport, TaskReport};

use super::super::event::Verb;
use super::world::World;
use crate::status::Query;
use crate::status::component::component;
use crate::status::events;
use crate::status::history::history;
use crate::status::model::{cluster, topology};

/// The worker counts a hundred tuples a second, and reports each tenth of a second.
fn work(world: &mut World, seconds: u64) {
    for _ in 0..seconds * 10 {
        world.clock.advance(Duration::from_millis(100));
        let emitted = world.clock.wall_ms() / 10;
        world.report("a", |slot| {
            let task =
                TaskReport { component: "lines".to_owned(), emitted, ..TaskReport::default() };
            slot.report.get_or_insert_default().tasks = vec![task];
        });
        world.tell(super::super::event::Event::Tick);
    }
}

#[test]
fn a_leader_keeps_what_was_reported_by_the_second_and_the_next_begins_anew() {
    let mut world = World::new(&[("a", 1)]);
    world.submit("clicks", 1);
    work(&mut world, 5);
    let look = |world: &World| {
        let query = Query::of("component=lines");
        history(&world.engine, "clicks", &query, world.now()).expect("it is known")
    };
    let shown = look(&world);
    assert_eq!(shown.step_ms, 1_000);
    let emitted: Vec<f64> = shown.emitted.iter().copied().flatten().collect();
    assert_eq!(emitted, [100.0, 100.0, 100.0], "what was before the first second is not known");
    let end = shown.from_ms + shown.emitted.len() as u64 * 1_000;
    assert!((end..end + 1_000).contains(&world.now().wall_ms), "up to the second that is over");
    world.succeed();
    let shown = look(&world);
    assert_eq!((shown.emitted, shown.since_ms), (Vec::new(), world.now().wall_ms));
}

#[test]
fn what_does_not_exist_has_no_history_and_is_named() {
    let mut world = World::new(&[("a", 1)]);
    world.submit("clicks", 1);
    let ask = |name: &str, query: &str| {
        let asked = history(&world.engine, name, &Query::of(query), world.now());
        asked.expect_err("there is no such thing")
    };
    assert!(ask("klicks", "").what.contains("klicks"), "the topology");
    assert!(ask("clicks", "component=x").fix.contains("lines, count"), "the component");
    assert!(ask("clicks", "step=fast").what.contains("step=fast"), "the number");
}

/// A supervisor reports one worker of `clicks`: `lines` held up, `count` always busy.
fn slow_count(world: &mut World, seconds: u64) {
    for _ in 0..seconds * 10 {
        world.clock.advance(Duration::from_millis(100));
        let now = world.clock.wall_ms();
        world.report("a", |slot| {
            let report = slot.report.get_or_insert_default();
            for (at, component) in [(0, "lines"), (1, "count")] {
                let (tuples, total_ns) = (now / 10, now * 1_000_000);
                let mut task = TaskReport { task: at * 4, executor: at * 2, ..Default::default() };
                (task.component, task.emitted, task.executed) = (component.into(), tuples, tuples);
                let mut executor =
                    ExecutorReport { executor: at * 2, at_loop: at, ..Default::default() };
                (executor.total_ns, executor.executing_ns) = (total_ns, total_ns / 10);
                match at {
                    0 => executor.blocked_ns = total_ns / 10 * 8,
                    _ => executor.executing_ns = total_ns / 100 * 95,
                }
                report.tasks.push(task);
                report.executors.push(executor);
            }
            report.flows = vec![FlowReport {
                component: "lines".to_owned(),
                stream: "default".to_owned(),
                consumer: "count".to_owned(),
                tuples: now / 10,
            }];
        });
        world.tell(super::super::event::Event::Tick);
    }
}

#[test]
fn a_bottleneck_is_found_shown_with_its_topology_and_told_of_in_the_cluster() {
    let mut world = World::new(&[("a", 1)]);
    world.submit("clicks", 1);
    slow_count(&mut world, 20);
    let shown = topology(&world.engine, "clicks", world.now()).expect("it is known");
    assert_eq!(shown.findings.len(), 1, "{:?}", shown.findings);
    let finding = &shown.findings[0];
    assert_eq!((finding.code, finding.component.as_deref()), ("bottleneck", Some("count")));
    assert_eq!((shown.edges[0].to.as_str(), shown.edges[0].rate), ("count", Some(100.0)));
    let count = shown.components.iter().find(|it| it.name == "count").expect("it has it");
    assert_eq!(count.pace.rates_10s.executed, 100.0);
    assert!(count.pace.capacity.is_some_and(|it| (it - 0.95).abs() < 0.002), "{count:?}");
    let time = count.pace.time.expect("twenty seconds have passed");
    assert_eq!((time.busy, time.back_pressured, time.idle), (950.0, 0.0, 50.0));
    let names = ("test", &daemon::listen::Security::Loopback);
    let cluster = cluster(&world.engine, names, world.now());
    assert_eq!(cluster.findings, shown.findings, "so does the cluster");
    world.succeed();
    let shown = topology(&world.engine, "clicks", world.now()).expect("it is known");
    assert_eq!(shown.findings, [], "a new leader has not looked on for long enough");
}

#[test]
fn the_tasks_of_a_component_come_in_pages_and_in_the_order_that_is_asked_for() {
    let mut world = World::new(&[("a", 1)]);
    world.submit("clicks", 1);
    for _ in 0..200 {
        world.clock.advance(Duration::from_millis(100));
        let now = world.clock.wall_ms();
        world.report("a", |slot| {
            let task = |task: u32| TaskReport {
                task,
                component: "count".to_owned(),
                executed: now / 10 * u64::from(task + 1),
                queued: u64::from(task),
                ..TaskReport::default()
            };
            slot.report.get_or_insert_default().tasks = (0..5).map(task).collect();
        });
        world.tell(super::super::event::Event::Tick);
    }
    let ask =
        |query: &str| component(&world.engine, ("clicks", "count"), &Query::of(query), world.now());
    let numbers = |query: &str| {
        let shown = ask(query).expect("it is known");
        (shown.tasks_total, shown.tasks.iter().map(|task| task.task).collect::<Vec<_>>())
    };
    assert_eq!(numbers(""), (5, vec![0, 1, 2, 3, 4]));
    assert_eq!(numbers("sort=queue&limit=2"), (5, vec![4, 3]));
    assert_eq!(numbers("sort=rate&offset=3&limit=9"), (5, vec![1, 0]));
    let task = ask("sort=skew&limit=1").expect("it is known").tasks.swap_remove(0);
    assert_eq!((task.task, task.skew), (4, Some(1.667)), "five of fifteen");
    let rate = task.rates_1m.map_or(0.0, |rates| rates.executed);
    assert!((rate - 500.0).abs() < 20.0, "a span may be a second longer than another: {rate}");
    assert!(ask("sort=colour").expect_err("none").fix.contains("skew"), "it says which there are");
}

#[test]
fn what_happened_is_told_with_why_and_a_new_leader_tells_what_the_records_say() {
    let mut world = World::new(&[("a", 2), ("b", 2)]);
    let id = world.submit("clicks", 2);
    let later = |world: &mut World| {
        world.pass(Duration::from_secs(2), &["a", "b"]);
        let told = events::of_topology(&world.engine, "clicks").expect("it is known").events;
        told.into_iter().rev().map(|it| (it.kind, it.text)).collect::<Vec<_>>()
    };
    let told = later(&mut world);
    let kinds: Vec<_> = told.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["submitted", "assigned"], "{told:?}");
    assert!(told[1].1.ends_with("to place: workers 1 on a, 1 on b"), "{told:?}");
    world.ask("", Verb::Deactivate("clicks".to_owned())).expect("it is done");
    assert_eq!(later(&mut world).last().map(|(kind, _)| *kind), Some("deactivated"));
    world.pass(Duration::from_secs(20), &["a"]);
    let cluster: Vec<_> =
        events::of_cluster(&world.engine).events.iter().rev().map(|it| it.kind).collect();
    assert_eq!(cluster[..2], ["supervisor-there"; 2], "{cluster:?}");
    assert!(cluster.ends_with(&["supervisor-lost"]), "{cluster:?}");
    assert_eq!(world.placed(&id).len(), 2, "its worker goes on elsewhere");
    let moved = later(&mut world);
    assert!(moved.iter().any(|(_, text)| text == "worker 1 goes from b to a"), "{moved:?}");
    world.succeed();
    let told = later(&mut world);
    assert!(told[1].1.contains("by an earlier leader"), "{told:?}");
}
