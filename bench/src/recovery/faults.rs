//! Does faults, and says when and to whom.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::ledger::now_ns;
use tests::{Outcome, Signal, processes_below, signal, until};

use super::rig::{NAME, Rig, SUPERVISORS};
use super::{Fault, Injected};
use crate::problem::Problem;

/// How long connections are cut: less than the time for which links hold what they sent.
const CUT: Duration = Duration::from_millis(200);

impl Rig {
    /// Does the fault for the `number`th time, each time to the next in turn.
    pub(super) fn inject(&mut self, number: u32) -> Result<Injected, Problem> {
        match self.fault {
            Fault::WorkerKill => Ok(self.hit_worker(number, Signal::SIGKILL)),
            Fault::WorkerStop => Ok(self.hit_worker(number, Signal::SIGSTOP)),
            Fault::SupervisorHost => Ok(self.kill_host(number)),
            Fault::LinkCut => self.cut_links(number),
            Fault::NimbusLeader => Ok(self.kill_leader(number)),
            Fault::EtcdLeader => Ok(self.kill_member()),
        }
    }

    fn hit_worker(&self, number: u32, with: Signal) -> Injected {
        let workers = self.workers();
        let pid = workers[number as usize % workers.len()];
        let at_ns = now_ns();
        assert!(signal(pid, with), "worker process {pid} is gone already");
        Injected { at_ns, hit: vec![pid], ..Injected::default() }
    }

    /// By machine: the workers of the topology that run there.
    fn machines(&self) -> BTreeMap<usize, Vec<u32>> {
        let workers = self.workers();
        let on = |machine| {
            let there = processes_below(&self.cluster.supervisor_folder(machine));
            workers.iter().copied().filter(|pid| there.contains(pid)).collect::<Vec<u32>>()
        };
        let machines = (0..SUPERVISORS).map(|machine| (machine, on(machine)));
        machines.filter(|(_, workers)| !workers.is_empty()).collect()
    }

    /// Kills a supervisor and its workers; the machine is back, empty, once others have taken over.
    fn kill_host(&mut self, number: u32) -> Injected {
        let machines = self.machines();
        let at = number as usize % machines.len();
        let (machine, _) = machines.into_iter().nth(at).expect("it is within the machines");
        let at_ns = now_ns();
        let hit = self.cluster.kill_host(machine);
        let moved = self.until("what ran on the lost machine runs elsewhere", |rig| {
            let current = rig.history.current();
            !current.values().any(|pid| hit.contains(pid))
        });
        drop(moved);
        self.cluster.restart_supervisor(machine);
        Injected { at_ns, hit, ..Injected::default() }
    }

    /// Cuts all connections to the workers of a machine, and lets them through again.
    fn cut_links(&mut self, number: u32) -> Result<Injected, Problem> {
        let machines = self.machines();
        let at = number as usize % machines.len();
        let (machine, hit) = machines.into_iter().nth(at).expect("it is within the machines");
        let at_ns = now_ns();
        self.proxies[machine].iter().for_each(tests::Proxy::take_down);
        self.until("the cut lasts", |_| now_ns() - at_ns >= CUT.as_nanos() as u64)?;
        self.proxies[machine].iter().for_each(tests::Proxy::heal);
        Ok(Injected { at_ns, healed_ns: Some(now_ns()), hit, ..Injected::default() })
    }

    /// Kills the nimbus that leads, waits until the other one serves a change, and starts it again.
    fn kill_leader(&mut self, number: u32) -> Injected {
        let address =
            |which: usize, all: &str| all.split(',').nth(which).unwrap_or_default().to_owned();
        // The first one leads at first, and then who did not lead before.
        let first_leads = number.is_multiple_of(2);
        let at_ns = now_ns();
        if first_leads {
            self.cluster.kill_nimbus();
        } else if let Some(second) = &mut self.second {
            second.kill();
        }
        let served_ns = Some(self.until_served());
        if first_leads {
            self.cluster.restart_nimbus();
        } else {
            let old = address(1, &self.nimbuses);
            self.start_second(Some(&old));
        }
        Injected { at_ns, served_ns, ..Injected::default() }
    }

    /// Kills the member of etcd that leads, waits until a change is served, and starts it again.
    fn kill_member(&mut self) -> Injected {
        let leader = self.cluster.etcd().leader();
        let at_ns = now_ns();
        self.cluster.etcd().kill_member(leader);
        let served_ns = Some(self.until_served());
        self.cluster.etcd().restart_member(leader);
        Injected { at_ns, served_ns, ..Injected::default() }
    }

    /// Waits until a client's change is made: one that changes nothing, for the topology is active.
    fn until_served(&self) -> u64 {
        let words = ["--nimbus", &self.nimbuses, "activate", NAME];
        until("a nimbus serves a change", || Outcome::of(&words).code == 0);
        now_ns()
    }
}
