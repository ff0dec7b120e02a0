//! What goes wrong in a cluster.

use super::env::{Env, Node};
use super::events::{Event, ProcessEvent};
use super::plan::{Fault, MS, SECOND};
use super::world::World;

/// The longest that anything that ends by itself goes on.
const LONGEST: u64 = 9 * SECOND;

impl World {
    pub(super) fn fault(&mut self, fault: Fault) {
        self.env.note(|| format!("{fault:?}"));
        let machines = self.supervisors.len() as u64;
        let machine = self.env.below(0..machines) as usize;
        let nimbus = self.some_nimbus();
        let until = self.env.now + self.env.below(SECOND / 2..LONGEST);
        match fault {
            Fault::NimbusCrash => self.kill(Node::Nimbus(nimbus), LONGEST),
            Fault::NimbusPause => self.nimbuses[nimbus].paused_until = until,
            Fault::ClockJump => {
                let jump = self.env.below(0..100_000_000);
                self.nimbuses[nimbus].ahead_ms = jump;
            }
            Fault::SupervisorCrash if self.supervisors[machine].alive => {
                if self.env.chance(0.3) {
                    let shutdown = supervisor::engine::Event::Shutdown;
                    self.supervisors[machine].decide(shutdown, &mut self.env);
                } else {
                    self.kill(Node::Machine(machine), LONGEST);
                }
            }
            Fault::SupervisorPause => self.supervisors[machine].paused_until = until,
            Fault::MachineLoss if self.supervisors[machine].alive => {
                self.kill(Node::Machine(machine), 2 * LONGEST);
                for process in &mut self.env.processes {
                    process.alive &= process.machine != machine;
                }
            }
            Fault::MachineFreeze => {
                self.supervisors[machine].paused_until = until;
                for process in 0..self.env.processes.len() {
                    if self.env.processes[process].machine == machine {
                        self.env.stop(process, until);
                    }
                }
            }
            Fault::WorkerCrash | Fault::WorkerHang | Fault::WorkerStop | Fault::WorkerSlow => {
                self.worker(fault, until);
            }
            Fault::Partition => self.env.partition(until),
            Fault::StoreAway => {
                self.env.show(None);
                self.env.etcd.set_away(true);
                self.env.touch();
                self.env.schedule(until, Event::Back);
            }
            Fault::StoreFull => self.env.etcd.full_until = until,
            Fault::StoreSlow => self.env.etcd.slow_until = until,
            Fault::Compact => {
                // Leases that are due end with the next call, and the witness sees that too.
                drop(self.env.etcd.list("-"));
                self.env.show(None);
                self.env.etcd.compact();
            }
            Fault::WatchCut => {
                let open: Vec<usize> = self.env.etcd.watches().map(|(at, _)| at).collect();
                if let Some(at) = self.env.pick(&open) {
                    self.env.etcd.cut(at);
                    self.env.schedule(self.env.now + MS, Event::Watch(at));
                }
            }
            Fault::LeaseLoss => {
                let leases: Vec<_> = self.supervisors.iter().filter_map(|it| it.lease()).collect();
                if let (Some(lease), false) = (self.env.pick(&leases), self.env.etcd.is_away()) {
                    self.env.etcd.revoke(lease);
                    self.env.show(None);
                    self.env.touch();
                }
            }
            Fault::SupervisorCrash | Fault::MachineLoss => {}
        }
    }

    /// Most often the one that leads.
    fn some_nimbus(&mut self) -> usize {
        let leader = self.nimbuses.iter().position(|nimbus| nimbus.leads());
        let any = self.env.below(0..self.nimbuses.len() as u64) as usize;
        leader.filter(|_| self.env.chance(0.7)).unwrap_or(any)
    }

    fn worker(&mut self, fault: Fault, until: u64) {
        let living = self.env.processes.iter().enumerate().filter(|(_, it)| it.alive);
        let living: Vec<usize> = living.map(|(at, _)| at).collect();
        let Some(process) = self.env.pick(&living) else { return };
        match fault {
            Fault::WorkerHang => self.env.processes[process].hung = true,
            Fault::WorkerSlow => self.env.processes[process].slow_until = until,
            Fault::WorkerStop => {
                let until = match self.env.below(0..3) {
                    0 => self.env.now + self.env.below(0..SECOND),
                    1 => until,
                    _ => u64::MAX,
                };
                self.env.stop(process, until);
            }
            _ => self.env.process(process, ProcessEvent::End),
        }
    }
}

impl Env {
    /// A process is stopped, and goes on at `until` if it still can.
    fn stop(&mut self, process: usize, until: u64) {
        let now = self.now;
        let it = &mut self.processes[process];
        if it.alive && !it.is_stopped(now) {
            it.stopped = (now, until);
            if until < u64::MAX {
                let what = ProcessEvent::Wake;
                self.schedule(until, Event::Process { process, what });
            }
        }
    }

    /// Nothing passes between two nodes, or between one and all others, one way or both.
    fn partition(&mut self, until: u64) {
        let mut nodes = vec![Node::Store];
        nodes.extend((0..self.plan.nimbuses).map(Node::Nimbus));
        nodes.extend((0..self.plan.machines.len()).map(Node::Machine));
        let Some(one) = self.pick(&nodes) else { return };
        let alone = self.chance(0.4);
        let other = self.pick(&nodes);
        let (out, back) = match self.below(0..4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let others = nodes.into_iter().filter(|it| *it != one && (alone || Some(*it) == other));
        for other in others.collect::<Vec<_>>() {
            if out {
                self.block(one, other, until);
            }
            if back {
                self.block(other, one, until);
            }
        }
    }
}
