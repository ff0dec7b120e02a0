//! How large the answers about a large cluster are: topologies of a thousand tasks on the real engine.
//!
//! Three are enough to notice what grows: no answer but the lists has more than one of them in it.

use std::time::Duration;

use proto::store::{ComponentSpec, Epoch, InputSpec, StreamSpec, TopologySpec};
use proto::supervisor::{
    ComponentReport, ExecutorReport, Latency, SlotReport, TaskReport, WorkerReport,
};

use crate::engine::event::{Event, Submission, Verb};
use crate::engine::tests::world::World;
use crate::engine::view::epoch_revision;
use crate::status::Query;
use crate::status::component::component;
use crate::status::history::history;
use crate::status::model;

const COMPONENTS: u32 = 10;
const TASKS: u32 = 100;
const WORKERS: u32 = 10;
const TOPOLOGIES: u32 = 3;

/// How many there may be in the lists.
const TOPOLOGIES_MAX: usize = 50;

const ONE_MIB: usize = 1 << 20;

fn input(from: u32) -> InputSpec {
    InputSpec {
        component: format!("component-{from}"),
        stream: "default".to_owned(),
        grouping: "shuffle".to_owned(),
        fields: Vec::new(),
    }
}

fn submission(name: &str) -> Verb {
    let component = |at: u32| ComponentSpec {
        name: format!("component-{at}"),
        spout: at == 0,
        executors: TASKS,
        tasks: TASKS,
        inputs: (at > 0).then(|| input(at - 1)).into_iter().collect(),
        outputs: vec![StreamSpec { name: "default".to_owned(), ..StreamSpec::default() }],
    };
    let spec = TopologySpec {
        name: name.to_owned(),
        components: (0..COMPONENTS).map(component).collect(),
        key_groups: 720,
        ..TopologySpec::default()
    };
    let submission =
        Submission { spec, digest: "d".repeat(64), workers: WORKERS, ..Submission::default() };
    Verb::Submit(Box::new(submission))
}

/// What a worker with a tenth of the tasks reports: latencies as spread as real ones.
fn report(worker: u32, tuples: u64) -> WorkerReport {
    let latency = || {
        let bounds_ns: Vec<u64> = (0..60).map(|at| 1_000 + at * at * 300).collect();
        let counts = vec![tuples / 60 + 1; bounds_ns.len()];
        Some(Latency { bounds_ns, counts })
    };
    let number = |at: u32| at * WORKERS + worker;
    let task = |at: u32| TaskReport {
        task: number(at),
        executor: number(at),
        component: format!("component-{}", number(at) / TASKS),
        emitted: tuples,
        executed: tuples,
        acked: tuples,
        queued: 10,
        queue_capacity: 1_024,
        ..TaskReport::default()
    };
    let executor = |at: u32| ExecutorReport {
        executor: number(at),
        executing_ns: tuples * 1_000,
        total_ns: tuples * 10_000,
        ..ExecutorReport::default()
    };
    let tasks = COMPONENTS * TASKS / WORKERS;
    let executors = (0..tasks).map(executor).collect();
    let component = |at: u32| ComponentReport {
        component: format!("component-{at}"),
        execute: latency(),
        ..ComponentReport::default()
    };
    WorkerReport {
        tasks: (0..tasks).map(task).collect(),
        components: (0..COMPONENTS).map(component).collect(),
        executors,
        ..WorkerReport::default()
    }
}

/// Every worker of a supervisor reports.
fn all_report(world: &mut World, supervisor: &str, tuples: u64) {
    let here = world.engine.view().all_in_force();
    let here = here.filter(|held| held.record.supervisor == supervisor);
    let slots = here.map(|held| SlotReport {
        slot: held.record.slot,
        topology: held.record.topology.clone(),
        worker: held.record.worker,
        state: "running".to_owned(),
        epoch: Some(Epoch { revision: epoch_revision(held), restarts: 0 }),
        report: Some(report(held.record.worker, tuples)),
        ..SlotReport::default()
    });
    let slots = slots.collect();
    world.report_slots(supervisor, slots);
}

#[test]
fn every_answer_about_topologies_of_a_thousand_tasks_is_below_a_mebibyte() {
    let supervisors: Vec<String> = (0..WORKERS).map(|at| format!("machine-{at}")).collect();
    let known: Vec<(&str, u32)> = supervisors.iter().map(|id| (id.as_str(), TOPOLOGIES)).collect();
    let mut world = World::new(&known);
    for at in 0..TOPOLOGIES {
        world.ask("", submission(&format!("topology-{at}"))).expect("there is room");
    }
    for second in 1..=15 {
        supervisors.iter().for_each(|id| all_report(&mut world, id, second * 1_000));
        world.clock.advance(Duration::from_secs(1));
        world.tell(Event::Tick);
    }
    let (now, engine) = (world.now(), &world.engine);
    let names = ("test", &daemon::listen::Security::Loopback);
    let bytes = |document: Result<String, serde_json::Error>| document.expect("it is data").len();
    let topology = model::topology(engine, "topology-0", now).expect("it is known");
    let (of, query) = (("topology-0", "component-3"), Query::of("limit=1000&sort=busy"));
    let component = component(engine, of, &query, now).expect("it is known");
    assert_eq!(component.tasks.len(), TASKS as usize, "all of them");
    let history = history(engine, "topology-0", &Query::of("from=0"), now).expect("it is known");
    let whole = TOPOLOGIES_MAX / TOPOLOGIES as usize;
    let answers = [
        ("cluster", bytes(serde_json::to_string(&model::cluster(engine, names, now)))),
        ("supervisors", whole * bytes(serde_json::to_string(&model::supervisors(engine, now)))),
        ("topologies", whole * bytes(serde_json::to_string(&model::topologies(engine, now)))),
        ("topology", bytes(serde_json::to_string(&topology))),
        // All of its tasks in one component.
        ("component", COMPONENTS as usize * bytes(serde_json::to_string(&component))),
        ("history", bytes(serde_json::to_string(&history))),
    ];
    for (name, bytes) in answers {
        assert!(bytes < ONE_MIB, "`{name}` has {bytes} bytes");
    }
}
