//! What is on the disk of a machine, and what a supervisor makes of it when it starts: a stand-in for
//! its `adopt`, `facts` and `retired`.

use std::collections::BTreeMap;

use supervisor::engine::{Epoch, Event, Placement, Remembered};

use super::env::Env;
use super::plan::MS;
use super::process::Process;
use super::supervisor::{Incarnation, Supervisor, pid};

/// What is on disk of a worker.
pub(super) struct Facts {
    pub(super) placement: Placement,
    pub(super) epoch: Epoch,
    pub(super) token: u64,
}

/// What outlives a supervisor's process.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) facts: BTreeMap<(String, u32), Facts>,
    pub(super) retired: BTreeMap<(String, u32), Epoch>,
    pub(super) has_binary: bool,
}

impl Disk {
    pub(super) fn is_clean(&self) -> bool {
        self.facts.is_empty()
    }
}

impl Supervisor {
    /// Takes over workers of an earlier life, and ends processes that belong to none.
    pub(super) fn survey(&mut self, env: &mut Env) {
        let mut running: Vec<usize> = (0..env.processes.len())
            .filter(|at| env.processes[*at].alive && env.processes[*at].machine == self.machine)
            .collect();
        let facts = std::mem::take(&mut self.disk.facts);
        let mut found = Vec::new();
        for (worker, facts) in facts {
            let process = running.iter().position(|at| env.processes[*at].token == facts.token);
            // Of a process that lives all is known, even if its facts cannot be read.
            let unreadable = process.is_some() && !env.healed && env.chance(0.03);
            if self.incarnations.contains_key(&facts.placement.slot) || unreadable {
                continue;
            }
            let process = process.map(|at| running.remove(at));
            let (epoch, token) = (facts.epoch, facts.token);
            let slot = facts.placement.slot;
            found.push(Remembered {
                placement: facts.placement.clone(),
                restarts: epoch.restarts,
                pid: process.map(pid),
                started_ms: 0,
                now_ms: env.now / MS,
            });
            if process.is_some() {
                env.count("adopted");
            }
            let incarnation = Incarnation { epoch, token, process, stop: false, report: None };
            self.incarnations.insert(slot, incarnation);
            self.disk.facts.insert(worker, facts);
        }
        for stray in running {
            env.count("strays");
            let Process { placement, epoch, .. } = &env.processes[stray];
            let worker = (placement.topology.clone(), placement.worker);
            let epoch = *epoch;
            self.engine.retire(&worker.0, worker.1, epoch);
            let last = self.disk.retired.entry(worker).or_default();
            *last = epoch.max(*last);
            env.processes[stray].alive = false;
        }
        for remembered in found {
            self.decide(Event::Remembered(Box::new(remembered)), env);
        }
    }
}
