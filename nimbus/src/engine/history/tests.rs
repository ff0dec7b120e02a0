//! Histories of plain reports: what restarts, silence and many topologies make of them.

use std::time::{Duration, Instant};

use daemon::Clock;
use proto::store::{ComponentSpec, TopologySpec};
use proto::supervisor::{ComponentReport, ExecutorReport, Latency, TaskReport, WorkerReport};

use super::super::reports::{Live, Told};
use super::*;

fn spec(components: usize) -> TopologySpec {
    let component = |at: usize| ComponentSpec {
        name: format!("component-{at}"),
        spout: at == 0,
        ..ComponentSpec::default()
    };
    TopologySpec { components: (0..components).map(component).collect(), ..TopologySpec::default() }
}

/// One task a component, each an executor of its own, with so many tuples so far.
fn report(tasks: usize, components: usize, tuples: u64) -> WorkerReport {
    let task = |at: usize| TaskReport {
        task: u32::try_from(at).unwrap(),
        executor: u32::try_from(at).unwrap(),
        component: format!("component-{}", at % components),
        emitted: tuples,
        executed: tuples,
        acked: tuples,
        queued: 256,
        queue_capacity: 1_024,
        ..TaskReport::default()
    };
    let executor = |at: usize| ExecutorReport {
        executor: u32::try_from(at).unwrap(),
        executing_ns: tuples * 300,
        ready_ns: tuples * 100,
        blocked_ns: tuples * 100,
        total_ns: tuples * 1_000,
        ..ExecutorReport::default()
    };
    let component = |at: usize| ComponentReport {
        component: format!("component-{at}"),
        execute: Some(Latency { bounds_ns: vec![1_000], counts: vec![tuples] }),
        ..ComponentReport::default()
    };
    let components = (0..components.min(tasks)).map(component).collect();
    let (tasks, executors) = ((0..tasks).map(task).collect(), (0..tasks).map(executor).collect());
    WorkerReport { tasks, components, executors, ..WorkerReport::default() }
}

fn live(restarts: u64, at: Instant, report: WorkerReport) -> Live {
    Live::new((5, restarts), at, report)
}

fn executed(history: &History, component: Option<&str>) -> Vec<Option<f64>> {
    let series = history.series(component).unwrap();
    series.seconds(0).map(|(_, it)| it.rates().map(|rates| rates[1])).collect()
}

#[test]
fn a_worker_that_starts_again_counts_from_nothing_and_the_rate_goes_on() {
    let (mut history, mut told, clock) = (History::default(), Told::default(), Clock::manual());
    let mut look = |second: u64, restarts: u64, tuples: u64| {
        clock.advance(Duration::from_secs(1));
        told.live.insert(0, live(restarts, clock.now(), report(1, 1, tuples)));
        history.sample(&spec(1), &told, second, Keep::FULL);
    };
    for (second, restarts, tuples) in
        [(1, 0, 1_000_000), (2, 0, 1_000_100), (3, 1, 40), (4, 1, 140), (5, 1, 240)]
    {
        look(second, restarts, tuples);
    }
    let rates = executed(&history, Some("component-0"));
    assert_eq!(rates, [Some(100.0), Some(40.0), Some(100.0), Some(100.0)]);
}

#[test]
fn silence_is_a_gap_and_what_came_after_it_is_spread_over_it() {
    let (mut history, mut told, clock) = (History::default(), Told::default(), Clock::manual());
    for (second, tuples) in [(1, 0), (2, 100), (3, 100), (4, 100), (5, 400), (6, 500)] {
        if tuples != 100 || second == 2 {
            clock.advance(Duration::from_secs(1));
            told.live.insert(0, live(0, clock.now(), report(1, 1, tuples)));
        }
        history.sample(&spec(1), &told, second, Keep::FULL);
    }
    let rates = executed(&history, None);
    assert_eq!(rates, [Some(100.0), None, None, Some(100.0), Some(100.0)]);
}

#[test]
fn a_component_shows_its_tasks_together_and_the_busiest_stands_for_the_whole() {
    let (mut history, mut told, clock) = (History::default(), Told::default(), Clock::manual());
    for second in 1..=2 {
        clock.advance(Duration::from_secs(1));
        let mut report = report(4, 2, second * 100);
        report.executors[1].executing_ns = second * 90_000;
        told.live.insert(0, live(0, clock.now(), report));
        history.sample(&spec(2), &told, second, Keep::FULL);
    }
    let newest =
        |component: Option<&str>| history.series(component).unwrap().seconds(0).last().unwrap().1;
    let spout = newest(Some("component-0"));
    assert_eq!(spout.rates().unwrap()[..2], [200.0, 200.0], "two tasks");
    assert_eq!((spout.shares()[0], spout.shares()[1], spout.fill()), (0.4, 0.1, 0.252));
    let bolt = newest(Some("component-1"));
    assert_eq!(bolt.shares()[0], 0.7, "one has 100 %, the other 40 %");
    assert_eq!(bolt.latencies_us()[0].map(f64::round), Some(1.0));
    let whole = newest(None);
    assert_eq!((whole.rates().unwrap()[1], whole.shares()[0]), (400.0, 0.7));
}

/// Goes up and down as what people do: each step by up to a tenth, and never far.
struct Restless(u64);

impl Restless {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    /// Counts on, component by component, with other times and other latencies.
    fn count_on(&mut self, report: &mut WorkerReport, seconds: u64) {
        for (task, executor) in report.tasks.iter_mut().zip(&mut report.executors) {
            let tuples = seconds * (9_000 + self.below(2_000));
            task.emitted += tuples;
            task.executed += tuples;
            task.acked += tuples;
            task.queued = self.below(300);
            executor.executing_ns += seconds * (500_000_000 + self.below(100_000_000));
            executor.blocked_ns += seconds * self.below(50_000_000);
            executor.total_ns += seconds * 1_000_000_000;
        }
        for latency in report.components.iter_mut().filter_map(|it| it.execute.as_mut()) {
            latency.bounds_ns = (0..40).map(|at| 2_000 << (at / 4)).map(|it| it + it / 9).collect();
            latency.counts.resize(latency.bounds_ns.len(), 0);
            latency.counts.iter_mut().for_each(|count| *count += seconds * self.below(100));
        }
    }
}

#[test]
fn fifty_topologies_of_a_thousand_tasks_that_never_rest_stay_below_30_mib() {
    const TOPOLOGIES: usize = 50;
    let (mut history, mut told, clock) = (History::default(), Told::default(), Clock::manual());
    let (mut restless, mut small) = (Restless(7), report(10, 10, 1));
    // A day by the minute; then only what is by the second changes.
    let day = (0..86_400).step_by(60).map(|second| (second, 60));
    for (second, seconds) in day.chain((86_400..90_000).map(|second| (second, 1))) {
        clock.advance(Duration::from_secs(1));
        restless.count_on(&mut small, seconds);
        told.live.insert(0, live(0, clock.now(), small.clone()));
        history.sample(&spec(10), &told, second, Keep::of(TOPOLOGIES * 11));
    }
    clock.advance(Duration::from_secs(1));
    told.live.insert(0, live(0, clock.now(), report(1_000, 10, 2)));
    history.sample(&spec(10), &told, 90_000, Keep::of(TOPOLOGIES * 11));
    assert_eq!(history.series(None).unwrap().minutes(0).count(), 1_440, "its rings are full");
    assert_eq!(history.series(None).unwrap().seconds(0).count(), 3_600);
    let bytes = TOPOLOGIES * history.bytes();
    assert!(bytes < 30 << 20, "all of them take {bytes} bytes");
    assert!(bytes > 20 << 20, "and not much less, or something is not counted: {bytes}");
}

#[test]
fn many_components_are_kept_for_a_shorter_time() {
    assert_eq!(Keep::of(SERIES_MAX), Keep::FULL);
    let keep = Keep::of(10 * SERIES_MAX);
    assert_eq!((keep.seconds, keep.minutes), (360, 144));
    assert_eq!(Keep::of(usize::MAX / 10_000).seconds, 60, "a minute at least");
}
