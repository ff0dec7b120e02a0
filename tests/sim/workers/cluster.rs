//! The store, nimbus and the supervisors, as far as workers see them: which incarnation of which
//! worker runs what, in one table after another.

use std::collections::BTreeMap;
use std::rc::Rc;

use worker::engine::links::Identity;
use worker::engine::routing::{Epoch, ExecutorPlace, Route, Table, incarnation_of};

use super::env::Env;
use super::plan::{ExecutorPlan, Plan};

/// Incarnations that a new assignment leaves free, for restarts that nimbus has not heard of.
const INCARNATIONS_SPARE: u64 = 8;

/// What one worker is to run, and where it is.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) epoch: Epoch,
    since: u64,
    address: String,
    /// Index of each executor, with the incarnation that its restarts count from.
    executors: BTreeMap<u16, u64>,
    /// The process of this epoch, once it has been started.
    pub(super) process: Option<usize>,
}

/// Which incarnation of which worker runs what.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) workers: BTreeMap<u32, Assigned>,
    version: u64,
    pub(super) tables: Vec<Rc<Table>>,
}

impl Cluster {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut cluster = Self { workers: BTreeMap::new(), version: 1, tables: Vec::new() };
        for (executor, worker) in plan.executors.iter().zip(&plan.homes) {
            let assigned = cluster.workers.entry(*worker).or_insert_with(|| Assigned::new(1));
            assigned.executors.insert(executor.index, plan.incarnation);
        }
        cluster
    }

    /// The version of the latest table.
    pub(super) fn version(&self) -> u64 {
        self.tables.last().map_or(0, |table| table.version())
    }

    /// The version of the table that the next change makes.
    fn next_version(&mut self, env: &mut Env) -> u64 {
        self.version += env.below(1..4);
        self.version
    }

    /// Publishes the table as it is now.
    fn publish(&mut self, plan: &Plan) {
        let place = |index: &u16, base: u64, restarts: u64| {
            let executor = &plan.executors[usize::from(*index)];
            ExecutorPlace {
                index: *index,
                component: plan.components[executor.component].name.clone(),
                tasks: executor.tasks.clone(),
                incarnation: incarnation_of(base, restarts),
                ownership: 0,
                formers: Vec::new(),
            }
        };
        let route = |(worker, it): (&u32, &Assigned)| {
            let executors = it.executors.iter();
            let executors = executors.map(|(index, base)| place(index, *base, it.epoch.restarts));
            Route {
                worker: *worker,
                epoch: it.epoch,
                address: it.address.clone(),
                since_version: it.since,
                executors: executors.collect(),
                released: Default::default(),
            }
        };
        let routes = self.workers.iter().map(route).collect();
        self.tables.push(Rc::new(Table::new(self.version, routes)));
    }

    /// A worker's process of this number ended, or is said to have: its next epoch begins.
    pub(super) fn restart(&mut self, worker: u32, env: &mut Env) -> Epoch {
        let version = self.next_version(env);
        let assigned = self.workers.get_mut(&worker).expect("it is assigned");
        assigned.epoch.restarts += 1;
        assigned.since = version;
        assigned.address.clear();
        assigned.process = None;
        let epoch = assigned.epoch;
        self.publish(&env.plan);
        epoch
    }

    /// A process of the current epoch listens.
    pub(super) fn listens(&mut self, worker: u32, (process, port): (usize, String), env: &mut Env) {
        self.next_version(env);
        let assigned = self.workers.get_mut(&worker).expect("it is assigned");
        assigned.process = Some(process);
        assigned.address = port;
        self.publish(&env.plan);
    }

    /// Nimbus moves some executors of a worker to another, which may be new. Both begin new epochs;
    /// a worker without executors leaves. Returns the workers whose processes are to end, and those
    /// that are to start.
    pub(super) fn rebalance(&mut self, env: &mut Env) -> (Vec<usize>, Vec<(u32, Epoch)>) {
        let workers: Vec<u32> = self.workers.keys().copied().collect();
        let from = env.pick(&workers).expect("somebody runs the executors");
        let to: Vec<u32> = (0..=env.plan.workers).filter(|it| *it != from).collect();
        let to = env.pick(&to).expect("there are two workers at least");
        let executors: Vec<u16> = self.workers[&from].executors.keys().copied().collect();
        let chosen = env.pick(&executors).expect("a worker has executors");
        let all = env.chance(0.3);
        let moving: Vec<u16> = executors.into_iter().filter(|it| all || *it == chosen).collect();

        let version = self.next_version(env);
        let (mut ending, mut starting, mut moved) = (Vec::new(), Vec::new(), BTreeMap::new());
        for worker in [from, to] {
            let assigned = self.workers.entry(worker).or_insert_with(|| Assigned::new(version));
            ending.extend(assigned.process.take());
            let spare = assigned.epoch.restarts + INCARNATIONS_SPARE;
            assigned.executors.values_mut().for_each(|base| *base += spare);
            if worker == from {
                let goes = |index: &u16, _: &mut u64| moving.contains(index);
                moved = assigned.executors.extract_if(.., goes).collect();
            } else {
                assigned.executors.append(&mut moved);
            }
            assigned.epoch = Epoch { revision: version, restarts: 0 };
            assigned.since = version;
            assigned.address.clear();
            starting.push((worker, assigned.epoch));
        }
        if self.workers[&from].executors.is_empty() {
            self.workers.remove(&from);
            starting.retain(|(worker, _)| *worker != from);
            env.count("departures");
        }
        self.publish(&env.plan);
        (ending, starting)
    }

    /// What a process of the current epoch of a worker starts with.
    pub(super) fn start(&self, worker: u32, plan: &Plan) -> (Identity, Vec<(ExecutorPlan, u8)>) {
        let assigned = &self.workers[&worker];
        let (cluster, topology) = (String::new(), String::new());
        let me = Identity { cluster, topology, worker, epoch: assigned.epoch };
        let restarts = assigned.epoch.restarts;
        let executor = |(index, base): (&u16, &u64)| {
            (plan.executors[usize::from(*index)].clone(), incarnation_of(*base, restarts))
        };
        (me, assigned.executors.iter().map(executor).collect())
    }
}

impl Assigned {
    fn new(version: u64) -> Self {
        Self {
            epoch: Epoch { revision: version, restarts: 0 },
            since: version,
            address: String::new(),
            executors: BTreeMap::new(),
            process: None,
        }
    }
}
