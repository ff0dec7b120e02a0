//! Gathering the figures of a topology from what the engine knows.

use std::collections::BTreeMap;

use proto::store::{AssignmentRecord, ComponentSpec, TopologyRecord, TopologyStatus};
use proto::supervisor::LinkReport;
use topology_api::TopologyConfig;

use super::{Component, Error, Executor, Figures, Input, Rates, Shares, Task, Worker};
use crate::engine::event::Now;
use crate::engine::history::History;
use crate::engine::history::counted::Name;
use crate::engine::history::recent::{self, MINUTE, TEN_SECONDS};
use crate::engine::reports::work::Task as Counted;
use crate::engine::reports::{Live, Told};
use crate::engine::view::{self, Versioned, epoch_revision};
use crate::engine::{Engine, parallelism};

/// Gathers the figures of a topology.
#[must_use]
pub fn gather(engine: &Engine, record: &TopologyRecord, now: Now) -> Figures {
    let (nothing, empty) = (Told::default(), History::default());
    let told = engine.reports().topologies.get(&record.id).unwrap_or(&nothing);
    let history = engine.history(&record.id).unwrap_or(&empty);
    let config = record.spec.as_ref().map(|spec| TopologyConfig::from_pairs(&spec.config));
    let config = config.and_then(Result::ok).unwrap_or_default();
    let timeout_ms = u64::try_from(config.message_timeout().as_millis()).unwrap_or(u64::MAX);
    Figures {
        name: record.name.clone(),
        active: view::status(record) == TopologyStatus::Active,
        age_ms: now.wall_ms.saturating_sub(record.submitted_ms),
        max_pending: config.max_pending().into(),
        timeout_ms,
        workers_wanted: record.workers,
        unplaced: engine.unplaced(&record.id).map(str::to_owned),
        quarantined: engine.quarantine(record),
        components: components(record, told, history, now),
        workers: engine.view().in_force(&record.id).map(|it| worker(engine, it, now)).collect(),
    }
}

fn components(record: &TopologyRecord, told: &Told, history: &History, now: Now) -> Vec<Component> {
    let Some(spec) = &record.spec else { return Vec::new() };
    let wanted = parallelism::executors(spec, &record.executors);
    let wanted = |at: usize| wanted.iter().filter(|it| it.component == at).count();
    let begin = |(at, spec): (usize, &ComponentSpec)| Component {
        name: spec.name.clone(),
        spout: spec.spout,
        declared: spec.tasks,
        executors_wanted: u32::try_from(wanted(at)).unwrap_or(u32::MAX),
        inputs: spec.inputs.iter().map(|it| input(it, &spec.name, history)).collect(),
        outputs: spec.outputs.iter().map(|it| output(&spec.name, &it.name, history)).collect(),
        errors: errors(&spec.name, told, now),
        ..Component::default()
    };
    let mut components: Vec<Component> = spec.components.iter().enumerate().map(begin).collect();
    let names = spec.components.iter().enumerate().map(|(at, it)| (it.name.as_str(), at));
    let names: BTreeMap<&str, usize> = names.collect();
    for (worker, live) in &told.live {
        add_worker(&mut components, &names, (*worker, live), history.worker(*worker));
    }
    for (name, rate) in history.counted().rates(MINUTE) {
        let (component, reason) = match name {
            Name::Failed(component, name) | Name::Counter(component, name) => (component, name),
            Name::Flow(..) => continue,
        };
        let Some(at) = names.get(component.as_str()).filter(|_| rate > 0.0) else { continue };
        let component = &mut components[*at];
        match name {
            Name::Failed(..) => component.failing.insert(reason.clone(), rate),
            _ => component.counting.insert(reason.clone(), rate),
        };
    }
    components
}

fn input(spec: &proto::store::InputSpec, reader: &str, history: &History) -> Input {
    let (component, stream) = (spec.component.clone(), spec.stream.clone());
    let flow = Name::Flow(component.clone(), stream.clone(), reader.to_owned());
    let rate = history.counted().rate(&flow, TEN_SECONDS);
    Input { component, stream, grouping: spec.grouping.clone(), rate }
}

fn output(component: &str, stream: &str, history: &History) -> (String, Option<f64>) {
    let flow = Name::Flow(component.to_owned(), stream.to_owned(), String::new());
    (stream.to_owned(), history.counted().rate(&flow, TEN_SECONDS))
}

fn errors(component: &str, told: &Told, now: Now) -> Vec<Error> {
    let own = told.errors.iter().rev().filter(|shown| shown.error.component == component);
    let error = |shown: &crate::engine::reports::Shown| Error {
        ago_ms: now.wall_ms.saturating_sub(shown.error.at_ms),
        task: shown.error.task,
        worker: shown.worker,
        reason: shown.error.reason.clone(),
        text: shown.error.text.clone(),
    };
    own.map(error).collect()
}

/// Adds the tasks and executors of one worker to their components.
fn add_worker(
    components: &mut [Component],
    names: &BTreeMap<&str, usize>,
    (worker, live): (u32, &Live),
    recent: Option<&recent::Worker>,
) {
    let mut owners: BTreeMap<u32, usize> = BTreeMap::new();
    for counted in &live.work.tasks {
        let Some(at) = names.get(live.work.component(counted)) else { continue };
        owners.insert(counted.executor, *at);
        let component = &mut components[*at];
        let task = task(counted, worker, recent);
        task.ten_seconds.iter().for_each(|rates| component.ten_seconds.add(rates));
        task.minute.iter().for_each(|rates| component.minute.add(rates));
        component.tasks.push(task);
    }
    for report in &live.work.executors {
        let Some(at) = owners.get(&report.executor) else { continue };
        let windows = recent.and_then(|it| it.executor(report.executor)).map(|it| &it.windows);
        let shares = windows.and_then(|it| it.rates(TEN_SECONDS)).and_then(shares);
        let (index, at_loop) = (report.executor, report.at_loop);
        components[*at].executors.push(Executor { index, worker, at_loop, shares });
    }
}

fn task(counted: &Counted, worker: u32, recent: Option<&recent::Worker>) -> Task {
    let windows = recent.and_then(|it| it.task(counted.task)).map(|it| &it.windows);
    let rates = |spans| windows.and_then(|it| it.rates(spans)).map(Rates::of);
    let (queued, capacity) = counted.queue;
    let latencies = |us: Option<[f32; 3]>| us.map(|us| us.map(f64::from));
    Task {
        task: counted.task,
        executor: counted.executor,
        worker,
        totals: counted.totals,
        ten_seconds: rates(TEN_SECONDS),
        minute: rates(MINUTE),
        pending: counted.pending.into(),
        queue: (queued.into(), capacity.into()),
        execute_us: latencies(counted.execute_us),
        complete_us: latencies(counted.complete_us),
    }
}

fn shares([executing, ready, blocked, throttled, total, waiting]: [f64; 6]) -> Option<Shares> {
    let [executing, ready, blocked, throttled, waiting] =
        [executing, ready, blocked, throttled, waiting].map(|part| part / total);
    (total > 0.0).then_some(Shares { executing, ready, blocked, throttled, waiting })
}

fn worker(engine: &Engine, held: &Versioned<AssignmentRecord>, now: Now) -> Worker {
    let AssignmentRecord { topology, worker, supervisor, .. } = &held.record;
    let slot = engine.reports().slot(supervisor, topology, *worker);
    let live = engine.reports().worker(topology, *worker);
    let stored = engine.view().workers.get(&(topology.clone(), *worker));
    let epoch = slot.and_then(|slot| slot.epoch).or_else(|| stored.and_then(|it| it.epoch));
    let epoch = epoch.map_or((epoch_revision(held), 0), |it| (it.revision, it.restarts));
    let report = live.map(|live| &live.report);
    let links = report.map_or(&[][..], |report| report.links.as_slice());
    let is_there = |link: &&LinkReport| engine.reports().worker(topology, link.peer).is_some();
    let down = links.iter().filter(|link| !link.connected).filter(is_there);
    let record = engine.supervisors().get(supervisor);
    let exit = slot.filter(|slot| !slot.last_exit.is_empty());
    Worker {
        worker: *worker,
        supervisor: supervisor.clone(),
        host: record.map(|record| record.host.clone()).unwrap_or_default(),
        state: slot.map_or_else(|| "assigned".to_owned(), |slot| slot.state.clone()),
        epoch,
        restarts: slot.map_or(0, |slot| slot.restarts).max(epoch.1),
        last_exit: exit.map(|slot| slot.last_exit.clone()).unwrap_or_default(),
        last_exit_ago_ms: exit.map(|slot| now.wall_ms.saturating_sub(slot.last_exit_ms)),
        last_words: exit.map(|slot| slot.last_words.clone()).unwrap_or_default(),
        hung: report.map(|report| report.hung.clone()).unwrap_or_default(),
        held: report.map_or((0, 0), |report| (report.held_bytes, report.held_bytes_limit)),
        waiting_ms: report.map_or(0, |report| report.waiting_ms),
        links_down: down.map(|link| link.peer).collect(),
        heard: live.is_some(),
    }
}
