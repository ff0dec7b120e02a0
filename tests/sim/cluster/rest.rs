//! When nothing goes wrong any more: everything that can run runs, as the store wants it and nowhere
//! else, and what was killed has left nothing.

use std::collections::BTreeSet;

use proto::store::{AssignmentRecord, TopologyStatus};
use proto::supervisor::desired_state::State as DesiredState;
use supervisor::engine::Epoch;

use super::process::Process;
use super::witness::{Witness, epoch_of};
use super::world::World;

/// What a worker still has to do until it runs what its record says, and nothing else.
fn still_moving(process: &Process, record: &AssignmentRecord) -> Option<String> {
    let wanted: BTreeSet<_> = record
        .executors
        .iter()
        .map(|it| (it.index, it.first_task, it.end_task, it.ownership))
        .collect();
    let running = process
        .executors
        .running()
        .map(|(_, it)| (u32::from(it.index), it.tasks.start, it.tasks.end, it.ownership));
    let running: BTreeSet<_> = running.collect();
    if running != wanted {
        return Some(format!("runs executors {running:?} instead of {wanted:?}"));
    }
    if wanted.is_empty() || record.executors.iter().any(|it| !it.formers.is_empty()) {
        return Some("has executors that count as moving".to_owned());
    }
    process.executors.is_leaving().then(|| "has executors that leave".to_owned())
}

impl World {
    /// Why this world has not come to rest yet.
    pub(super) fn unrest(&self) -> Option<String> {
        let leaders = self.nimbuses.iter().filter(|nimbus| nimbus.leads()).count();
        if leaders != 1 {
            return Some(format!("{leaders} nimbuses lead"));
        }
        if let Some(at) = self.clients.iter().position(|client| !client.is_done()) {
            return Some(format!("client {at} waits: {:?}", self.clients[at].asked));
        }
        self.unplaced().or_else(|| self.not_running()).or_else(|| self.left_over())
    }

    fn witness(&self) -> &Witness {
        &self.env.witness
    }

    fn unplaced(&self) -> Option<String> {
        let witness = self.witness();
        let used: u32 = witness.assigned.values().map(|assigned| assigned.workers).sum();
        let slots: u32 = self.env.plan.machines.iter().sum();
        for (id, record) in &witness.topologies {
            if !matches!(record.status(), TopologyStatus::Active | TopologyStatus::Inactive) {
                return Some(format!("{id} is {:?}", record.status()));
            }
            if !witness.assigned.contains_key(id) && used < slots {
                return Some(format!("{id} has no workers, and {} slots are free", slots - used));
            }
        }
        None
    }

    fn not_running(&self) -> Option<String> {
        let witness = self.witness();
        let mut slots = BTreeSet::new();
        for (id, assigned) in &witness.assigned {
            let Some(topology) = witness.topologies.get(id) else {
                return Some(format!("{id} is assigned and is not there"));
            };
            let state = match topology.status() {
                TopologyStatus::Active => DesiredState::Active,
                _ => DesiredState::Inactive,
            };
            let workers = witness.generation(id, assigned.generation);
            for one in &workers {
                let (record, epoch) = (&one.0, epoch_of(one));
                if !slots.insert((record.supervisor.as_str(), record.slot)) {
                    return Some(format!(
                        "two share slot {} of {}",
                        record.slot, record.supervisor
                    ));
                }
                let is_it = |it: &&Process| {
                    it.alive
                        && !it.hung
                        && it.placement.topology == *id
                        && (it.placement.worker, it.epoch.revision) == (record.worker, epoch)
                        && format!("m{}", it.machine) == record.supervisor
                };
                let name = format!("w{} of {id} ({epoch})", record.worker);
                let Some(process) = self.env.processes.iter().find(is_it) else {
                    return Some(format!("{name} does not run"));
                };
                let life = self.supervisors[process.machine].life.number;
                if process.attached != Some(life) || process.state != Some(state) {
                    return Some(format!("{name} does not know what to do: {:?}", process.state));
                }
                let problem = self.misled(process).or_else(|| still_moving(process, record));
                if let Some(problem) = problem {
                    return Some(format!("{name} {problem}"));
                }
            }
        }
        None
    }

    /// What is wrong with the table that a worker has.
    fn misled(&self, process: &Process) -> Option<String> {
        let witness = self.witness();
        let id = &process.placement.topology;
        let Some(table) = &process.table else { return Some("has no table".to_owned()) };
        let workers = witness.generation(id, witness.assigned.get(id)?.generation);
        if table.workers.len() != workers.len() {
            return Some("has a table of another generation".to_owned());
        }
        let routes = table.workers.iter();
        let mut wrong = routes.filter(|route| {
            let epoch = route.epoch.map(Epoch::from).unwrap_or_default();
            let alive = |it: &&Process| {
                it.alive
                    && it.placement.topology == *id
                    && (it.placement.worker, it.epoch) == (route.worker, epoch)
            };
            let peer = self.env.processes.iter().position(|it| alive(&it));
            let address = peer.map(|at| format!("m{}:{at}", self.env.processes[at].machine));
            address.as_deref() != Some(route.address.as_str())
        });
        wrong.next().map(|route| format!("does not know where w{} is: {route:?}", route.worker))
    }

    /// What is there and belongs to nobody.
    fn left_over(&self) -> Option<String> {
        let witness = self.witness();
        let mut wanted = BTreeSet::new();
        for (id, assigned) in &witness.assigned {
            for one in witness.generation(id, assigned.generation) {
                wanted.insert((id.as_str(), one.0.worker, epoch_of(one)));
            }
        }
        for (at, it) in self.env.processes.iter().enumerate().filter(|(_, it)| it.alive) {
            let key = (it.placement.topology.as_str(), it.placement.worker, it.epoch.revision);
            if !wanted.contains(&key) {
                return Some(format!("p{at} runs {key:?}, which nobody wants"));
            }
        }
        for (id, generation, worker) in witness.assignments.keys() {
            let in_force = witness.assigned.get(id).map(|assigned| assigned.generation);
            if in_force != Some(*generation) {
                return Some(format!("w{worker} of generation {generation} of {id} is left over"));
            }
        }
        let wanted: BTreeSet<(&str, u32)> = wanted.iter().map(|it| (it.0, it.1)).collect();
        let given_up =
            |id: &str, worker: u32| witness.given_up.contains(&self.env.keys.worker(id, worker));
        let mut workers = witness.workers.keys();
        if let Some(left) = workers.find(|(id, worker)| {
            !wanted.contains(&(id.as_str(), *worker)) && !given_up(id, *worker)
        }) {
            return Some(format!("the record of {left:?} is left over"));
        }
        let clean = |at: &usize| {
            let of = |one: &&(&str, u32)| {
                let (id, worker) = **one;
                witness.assigned.get(id).is_some_and(|assigned| {
                    witness.generation(id, assigned.generation).iter().any(|(record, _)| {
                        record.worker == worker && record.supervisor == format!("m{at}")
                    })
                })
            };
            wanted.iter().any(|one| of(&one)) || self.supervisors[*at].disk.is_clean()
        };
        let dirty = (0..self.supervisors.len()).find(|at| !clean(at));
        dirty.map(|at| format!("folders are left on machine {at}"))
    }
}
