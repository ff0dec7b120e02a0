//! What the supervisors of a large cluster report: ten components to a topology, one behind the other,
//! with latencies as widely spread as real ones.

use hdrhistogram::Histogram;
use proto::store::{ComponentSpec, Epoch, InputSpec, StreamSpec, TopologySpec};
use proto::supervisor::{
    ComponentReport, ExecutorReport, FlowReport, Latency, LinkReport, Percentiles, SlotReport,
    Spread, SupervisorReport, TaskReport, WorkerReport,
};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Components of a topology.
pub(super) const COMPONENTS: u32 = 10;

/// Values that each latency is drawn from.
pub(super) const VALUES: u32 = 5_000;

/// How large the cluster is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Topologies.
    pub(super) topologies: u32,
    /// Tasks of each.
    pub(super) tasks: u32,
    /// Workers of each, and as many supervisors with a slot for each topology.
    pub(super) workers: u32,
}

/// A worker that runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Place {
    /// Id of its topology.
    pub(super) topology: String,
    pub(super) supervisor: String,
    pub(super) worker: u32,
    pub(super) slot: u32,
    /// First half of its epoch.
    pub(super) revision: u64,
}

impl Shape {
    pub(super) fn supervisors(self) -> Vec<String> {
        (0..self.workers).map(supervisor_name).collect()
    }

    /// What is submitted.
    pub(super) fn spec(self, topology: u32) -> TopologySpec {
        let each = self.tasks / COMPONENTS;
        let component = |at: u32| ComponentSpec {
            name: component_name(at),
            spout: at == 0,
            executors: each,
            tasks: each,
            inputs: (at > 0).then(|| input(at - 1)).into_iter().collect(),
            outputs: vec![StreamSpec { name: "default".to_owned(), ..StreamSpec::default() }],
        };
        TopologySpec {
            name: topology_name(topology),
            components: (0..COMPONENTS).map(component).collect(),
            key_groups: 720,
            ..TopologySpec::default()
        }
    }
}

pub(super) fn supervisor_name(number: u32) -> String {
    format!("machine-{number}")
}

pub(super) fn topology_name(number: u32) -> String {
    format!("topology-{number}")
}

pub(super) fn component_name(number: u32) -> String {
    format!("component-{number}")
}

fn input(from: u32) -> InputSpec {
    InputSpec {
        component: component_name(from),
        stream: "default".to_owned(),
        grouping: "shuffle".to_owned(),
        fields: Vec::new(),
    }
}

/// What the workers of one supervisor have counted after a second, with so many values in each latency;
/// after more it is as many times as much.
pub(super) fn report(
    shape: Shape,
    places: &[&Place],
    values: u32,
) -> Result<SupervisorReport, Problem> {
    let latencies = (0..COMPONENTS).map(|_| latency(values)).collect::<Result<Vec<_>, _>>()?;
    let slots = places.iter().map(|place| SlotReport {
        slot: place.slot,
        topology: place.topology.clone(),
        worker: place.worker,
        state: "running".to_owned(),
        epoch: Some(Epoch { revision: place.revision, restarts: 0 }),
        pid: 1_000 + place.slot,
        address: format!("10.0.0.{}:{}", place.worker, 6_700 + place.slot),
        report: Some(worker(shape, place.worker, &latencies)),
        ..SlotReport::default()
    });
    let supervisor = places.first().map(|place| place.supervisor.clone()).unwrap_or_default();
    Ok(SupervisorReport { supervisor, slots: slots.collect(), ..SupervisorReport::default() })
}

/// Counts on: the same, so many seconds later.
pub(super) fn count_on(report: &mut SupervisorReport, seconds: u64) {
    for worker in report.slots.iter_mut().filter_map(|slot| slot.report.as_mut()) {
        for task in &mut worker.tasks {
            let counts = [&mut task.emitted, &mut task.executed, &mut task.acked];
            counts.into_iter().for_each(|count| *count *= seconds);
        }
        for component in &mut worker.components {
            for latency in component.execute.iter_mut().chain(&mut component.complete) {
                latency.counts.iter_mut().for_each(|count| *count *= seconds);
            }
        }
        for it in &mut worker.executors {
            (it.executing_ns, it.total_ns) = (it.executing_ns * seconds, it.total_ns * seconds);
        }
        worker.flows.iter_mut().for_each(|flow| flow.tuples *= seconds);
    }
}

/// Reports that a supervisor makes in a second; of many tasks each tells of a part.
pub(super) const EACH_SECOND: u64 = 4;

fn worker(shape: Shape, worker: u32, latencies: &[Latency]) -> WorkerReport {
    let numbers = || (0..shape.tasks / shape.workers).map(|at| at * shape.workers + worker);
    let executor = |number: u32| ExecutorReport {
        executor: number,
        executing_ns: 200_000_000,
        total_ns: 1_000_000_000,
        ..ExecutorReport::default()
    };
    let flow = |from: u32, consumer: String| FlowReport {
        component: component_name(from),
        stream: "default".to_owned(),
        consumer,
        tuples: 100_000,
    };
    let flows = (0..COMPONENTS).flat_map(|from| {
        let to = (from + 1 < COMPONENTS).then(|| flow(from, component_name(from + 1)));
        [Some(flow(from, String::new())), to].into_iter().flatten()
    });
    let links = (0..shape.workers).filter(|peer| *peer != worker).map(|peer| LinkReport {
        peer,
        connected: true,
        frames_sent: 1_000,
        bytes_sent: 1 << 30,
        ..LinkReport::default()
    });
    WorkerReport {
        tasks: numbers().map(|number| task(shape, number)).collect(),
        components: (0..).zip(latencies).map(|(at, it)| component(at, it)).collect(),
        executors: numbers().map(executor).collect(),
        flows: flows.collect(),
        links: links.collect(),
        rss_bytes: 100 << 20,
        held_bytes: 1 << 20,
        held_bytes_limit: 512 << 20,
        ..WorkerReport::default()
    }
}

fn component(at: u32, latency: &Latency) -> ComponentReport {
    let (is_spout, is_last) = (at == 0, at + 1 == COMPONENTS);
    let latency = || Some(latency.clone());
    let own = || Spread { bounds: vec![10, 100, 1_003], counts: vec![5, 3, 1] };
    ComponentReport {
        component: component_name(at),
        execute: latency().filter(|_| !is_spout),
        complete: latency().filter(|_| is_spout),
        histograms: is_last.then(|| ("size".to_owned(), own())).into_iter().collect(),
    }
}

fn task(shape: Shape, number: u32) -> TaskReport {
    let component = number * COMPONENTS / shape.tasks;
    let is_spout = component == 0;
    let is_last = component + 1 == COMPONENTS;
    let latency = || Some(Percentiles { p50: 20_000, p95: 60_000, p99: 120_000 });
    TaskReport {
        task: number,
        executor: number,
        component: component_name(component),
        emitted: 10_000,
        executed: if is_spout { 0 } else { 10_000 },
        acked: 10_000,
        failed: [("timeout".to_owned(), 1)].into(),
        counters: [("late-verdicts".to_owned(), 1)].into(),
        gauges: is_last.then(|| ("depth".to_owned(), 7.0)).into_iter().collect(),
        pending: 100,
        complete: latency().filter(|_| is_spout),
        execute: latency().filter(|_| !is_spout),
        queued: 10,
        queue_capacity: 1_024,
    }
}

/// Latencies around 20 µs, spread as the logarithm of a normal distribution, one of a hundred ten times
/// as long; in the buckets of a worker.
fn latency(values: u32) -> Result<Latency, Problem> {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 2)
        .map_err(|error| Problem::failed("cannot make latencies", error))?;
    for _ in 0..values {
        // Twelve uniform numbers, less six, are near enough to a normal one.
        let normal = (0..12).map(|_| rand::random::<f64>()).sum::<f64>() - 6.0;
        let slow = if rand::random::<f64>() < 0.01 { 10.0 } else { 1.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float to an integer saturates, which is meant"
        )]
        histogram.saturating_record((20_000.0 * (0.6 * normal).exp() * slow) as u64);
    }
    let mut latency = Latency::default();
    for bucket in histogram.iter_recorded() {
        latency.bounds_ns.push(bucket.value_iterated_to());
        latency.counts.push(bucket.count_since_last_iteration());
    }
    Ok(latency)
}
