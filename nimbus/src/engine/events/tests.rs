//! What is told of changes between two looks, on plain data.

use super::*;

fn worker(supervisor: &str, epoch: (u64, u64), started_ms: u64) -> Worker {
    let epoch = Some(epoch);
    Worker { supervisor: supervisor.to_owned(), epoch, started_ms, ..Worker::default() }
}

fn running() -> Seen {
    Seen {
        status: TopologyStatus::Active,
        submitted_ms: 1_000,
        generation: Some((1, "place")),
        workers: [(0, worker("a", (5, 0), 2_000)), (1, worker("b", (6, 0), 2_100))].into(),
        ..Seen::default()
    }
}

fn told(now: &Seen, before: Option<&Seen>) -> Vec<(&'static str, u64, String)> {
    let mut timeline = Timeline::default();
    timeline.extend(now.since(before, 9_000));
    let mut told: Vec<_> =
        timeline.newest().map(|it| (it.kind, it.at_ms, it.text.clone())).collect();
    told.reverse();
    told
}

#[test]
fn a_topology_that_is_seen_first_tells_from_the_records_how_it_came_to_be() {
    let told = told(&running(), None);
    let told: Vec<_> = told.iter().map(|(kind, at, text)| (*kind, *at, text.as_str())).collect();
    let expected = [
        ("submitted", 1_000, "submitted"),
        ("worker-started", 2_000, "worker 0 on a started"),
        ("worker-started", 2_100, "worker 1 on b started"),
        ("assigned", 9_000, "generation 1 to place: workers 1 on a, 1 on b"),
    ];
    assert_eq!(told, expected);
    assert_eq!(running().since(Some(&running()), 9_000), [], "nothing has changed since");
}

#[test]
fn each_change_is_told_once_and_with_why() {
    type Change = fn(&mut Seen);
    let table: [(Change, &str, &str); 9] = [
        (|it| it.status = TopologyStatus::Inactive, "deactivated", "its spouts stop"),
        (
            |it| (it.status, it.reason) = (TopologyStatus::Killed, "asked by ada".to_owned()),
            "killed",
            "it is to be stopped: asked by ada",
        ),
        (|it| it.status = TopologyStatus::Rebalancing, "rebalance", "rebalance asked for"),
        (
            |it| it.unplaced = "waiting: no slot is free".to_owned(),
            "waiting",
            "waiting: no slot is free",
        ),
        (
            |it| it.generation = Some((2, "")),
            "assigned",
            "generation 2 by an earlier leader: workers 1 on a, 1 on b",
        ),
        (
            |it| it.workers.values_mut().next().iter_mut().for_each(|it| it.epoch = Some((5, 1))),
            "worker-started",
            "worker 0 on a started again, restart 1",
        ),
        (
            |it| {
                let exit = ("killed by signal 9".to_owned(), 8_500);
                it.workers.values_mut().next().iter_mut().for_each(|it| it.exit = exit.clone());
            },
            "worker-ended",
            "worker 0 on a ended: killed by signal 9",
        ),
        (|it| drop(it.workers.remove(&1)), "worker-gone", "worker 1 on b is not wanted any more"),
        (
            |it| it.errors = [("split".to_owned(), (80_000, "bad line\nat 3".to_owned()))].into(),
            "errors",
            "`split` begins to have errors: bad line",
        ),
    ];
    for (change, kind, text) in table {
        let mut now = running();
        change(&mut now);
        let told = told(&now, Some(&running()));
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].0, told[0].2.as_str()), (kind, text));
    }
    let (mut moved, mut rebalancing) = (running(), running());
    moved.workers.insert(1, worker("c", (9, 0), 8_000));
    let kinds: Vec<_> = told(&moved, Some(&running())).into_iter().map(|it| it.0).collect();
    assert_eq!(kinds, ["worker-started", "worker-moved"]);
    rebalancing.status = TopologyStatus::Rebalancing;
    assert_eq!(told(&running(), Some(&rebalancing))[0].0, "rebalanced");
}

#[test]
fn errors_that_go_on_are_one_event_and_those_after_a_pause_another() {
    let failing = |at_ms| {
        let errors = [("split".to_owned(), (at_ms, "bad".to_owned()))].into();
        Seen { errors, ..running() }
    };
    assert_eq!(failing(130_000).since(Some(&failing(100_000)), 9_000), []);
    assert_eq!(failing(160_000).since(Some(&failing(100_000)), 9_000).len(), 1);
}

#[test]
fn the_cluster_tells_who_leads_and_which_machines_come_and_go() {
    let machines = |leader: &str, supervisors: &[(&str, &'static str)]| Machines {
        leader: leader.to_owned(),
        store: String::new(),
        supervisors: supervisors.iter().map(|(id, word)| ((*id).to_owned(), *word)).collect(),
    };
    let steps = [
        machines("n1", &[("a", "alive"), ("b", "alive")]),
        machines("n1", &[("a", "silent"), ("b", "alive")]),
        machines("n1", &[("a", "lost"), ("b", "alive")]),
        machines("n2", &[("a", "alive")]),
        Machines { store: "full".to_owned(), ..machines("n2", &[("a", "alive")]) },
    ];
    let mut before = None;
    let mut told = Vec::new();
    for step in &steps {
        told.push(step.since(before, 7).into_iter().map(|it| it.kind).collect::<Vec<_>>());
        before = Some(step);
    }
    let expected: [&[&str]; 5] = [
        &["leader", "supervisor-there", "supervisor-there"],
        &["supervisor-silent"],
        &["supervisor-lost"],
        &["leader", "supervisor-back", "supervisor-gone"],
        &["store"],
    ];
    assert_eq!(told, expected);
}
