//! What the workers of a topology log for a while: kept in its record.

use super::SECOND;
use super::world::World;
use crate::engine::command::{RefusalKind, Reply};
use crate::engine::event::Verb;

fn level(filter: &str, seconds: u32) -> Verb {
    let (name, filter) = ("clicks".to_owned(), filter.to_owned());
    Verb::LogLevel { name, filter, time: SECOND * seconds }
}

/// What is kept, and for how many seconds from now on.
fn kept(world: &World, id: &str) -> Option<(String, u64)> {
    let kept = world.engine.view().topologies[id].record.log_filter.clone()?;
    let left_ms = kept.until_ms.saturating_sub(world.now().wall_ms);
    Some((kept.filter, left_ms / 1_000))
}

#[test]
fn what_is_logged_is_kept_with_the_topology_until_it_is_changed() {
    let mut world = World::new(&[("a", 2)]);
    let id = world.submit("clicks", 1);
    let done = world.ask("r-1", level("info,clicks=debug", 60)).expect("it is taken");
    let Reply::Done(done) = done else { panic!("another answer: {done:?}") };
    assert_eq!(done.text, "1 worker of `clicks` log `info,clicks=debug` for 1m");
    assert_eq!(kept(&world, &id), Some(("info,clicks=debug".to_owned(), 60)));
    world.pass(SECOND * 20, &["a"]);
    world.ask("", Verb::Deactivate("clicks".to_owned())).expect("it is done");
    assert_eq!(world.status(&id), "inactive");
    let left = kept(&world, &id).map(|(_, seconds)| seconds);
    assert!(left.is_some_and(|left| (35..=40).contains(&left)), "others leave it: {left:?}");
    world.ask("", level("trace", 0)).expect("it is taken");
    assert_eq!(kept(&world, &id), Some(("trace".to_owned(), 0)), "until it is changed");
    world.ask("", level("", 5)).expect("it is taken");
    assert_eq!(kept(&world, &id), None);
    world.kill("clicks", SECOND * 60);
    for (verb, kind) in [
        (level("debug", 5), RefusalKind::NotNow),
        (level("clicks=loud", 5), RefusalKind::Invalid),
        (level("debug", 8 * 24 * 3_600), RefusalKind::Invalid),
        (level(&"x".repeat(5_000), 5), RefusalKind::Invalid),
    ] {
        let refusal = world.ask("", verb).expect_err("it is refused");
        assert_eq!(refusal.kind, kind, "{refusal:?}");
    }
}
