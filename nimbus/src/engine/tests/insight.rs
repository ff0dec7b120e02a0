//! What the leader learns by looking on, and what a new one knows of it.

use std::time::Duration;

use proto::supervisor::TaskReport;

use super::world::World;
use crate::status::Query;
use crate::status::history::history;

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
