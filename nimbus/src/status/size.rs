//! What a large cluster costs: topologies of a thousand tasks on the real engine and documents.
//!
//! `SQUALL_TOPOLOGIES=50` makes it the size that is promised; three are enough to notice what grows. The
//! sizes of answers are asserted. The times are printed with `--nocapture`, and `SQUALL_TIMED=1` asserts
//! them too; else they are not, for machines differ.

use std::time::{Duration, Instant};

use proto::store::{ComponentSpec, Epoch, InputSpec, StreamSpec, TopologySpec};
use proto::supervisor::{ExecutorReport, Latency, SlotReport, TaskReport, WorkerReport};

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
        execute: latency(),
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
    WorkerReport { tasks: (0..tasks).map(task).collect(), executors, ..WorkerReport::default() }
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

#[expect(clippy::print_stderr, reason = "figures for whoever wants to know what it costs")]
fn size_of_answers(topologies: usize) {
    let supervisors: Vec<String> = (0..WORKERS).map(|at| format!("machine-{at}")).collect();
    let slots = u32::try_from(topologies).unwrap_or(u32::MAX);
    let known: Vec<(&str, u32)> = supervisors.iter().map(|id| (id.as_str(), slots)).collect();
    let mut world = World::new(&known);
    for at in 0..topologies {
        world.ask("", submission(&format!("topology-{at}"))).expect("there is room");
    }
    let clock = daemon::Clock::system();
    let (mut taking, mut looking) = (Duration::ZERO, Duration::ZERO);
    let timed = |sum: &mut Duration, since: Instant| *sum += clock.now() - since;
    for second in 1..=15 {
        for supervisor in &supervisors {
            let since = clock.now();
            all_report(&mut world, supervisor, second * 1_000);
            timed(&mut taking, since);
        }
        world.clock.advance(Duration::from_secs(1));
        let since = clock.now();
        world.tell(Event::Tick);
        timed(&mut looking, since);
    }
    eprintln!("{topologies} topologies: a round of reports takes {:?}", taking / 15);
    eprintln!("looking on takes {:?} a second", looking / 15);
    let now = world.now();
    let names = ("test", &daemon::listen::Security::Loopback);
    let engine = &world.engine;
    let text = |document: Result<String, serde_json::Error>| document.expect("it is plain data");
    let answers: [(&str, &dyn Fn() -> String); 6] = [
        ("cluster", &|| text(serde_json::to_string(&model::cluster(engine, names, now)))),
        ("supervisors", &|| text(serde_json::to_string(&model::supervisors(engine, now)))),
        ("topologies", &|| text(serde_json::to_string(&model::topologies(engine, now)))),
        ("topology", &|| {
            let shown = model::topology(engine, "topology-0", now).expect("it is known");
            text(serde_json::to_string(&shown))
        }),
        ("component", &|| {
            let (of, query) = (("topology-0", "component-3"), Query::of("limit=1000&sort=busy"));
            let shown = component(engine, of, &query, now).expect("it is known");
            assert_eq!(shown.tasks.len(), TASKS as usize, "all of them");
            text(serde_json::to_string(&shown))
        }),
        ("history", &|| {
            let shown = history(engine, "topology-0", &Query::of(""), now).expect("it is known");
            text(serde_json::to_string(&shown))
        }),
    ];
    for (name, answer) in answers {
        let since = clock.now();
        let bytes = answer().len();
        let took = clock.now() - since;
        eprintln!("{name}: {bytes} bytes in {took:?}");
        assert!(bytes < ONE_MIB, "`{name}` has {bytes} bytes");
        if std::env::var_os("SQUALL_TIMED").is_some() {
            assert!(took < Duration::from_millis(200), "`{name}` took {took:?}");
        }
    }
}

#[test]
fn every_answer_about_topologies_of_a_thousand_tasks_is_below_a_mebibyte() {
    let asked = std::env::var("SQUALL_TOPOLOGIES").ok().and_then(|it| it.parse().ok());
    size_of_answers(asked.unwrap_or(3));
}
