//! Workers that have lost their supervisor and report to nimbus themselves: a stand-in for `direct`
//! of `worker`, and for what nimbus answers.

use nimbus::engine::event::Event as Told;
use proto::nimbus::WorkerNews;

use super::env::{Env, Node};
use super::events::{Event, ProcessEvent};
use super::nimbus::Nimbus;
use super::sabotage::Sabotage;
use super::world::World;

/// A supervisor that does not answer is away after so many beats.
const AWAY_AFTER: u32 = 2;

impl World {
    /// A worker reports to a nimbus if its supervisor is away.
    pub(super) fn direct(&mut self, process: usize) {
        let now = self.env.now;
        let it = &self.env.processes[process];
        let supervisor = &self.supervisors[it.machine];
        let listens = supervisor.alive && supervisor.paused_until <= now;
        let away = !listens || it.attached != Some(supervisor.life.number);
        let (mute, machine) = (!it.alive || it.hung || it.is_stopped(now), it.machine);
        let (to, beats) = it.lonely;
        let beats = if away { beats + 1 } else { 0 };
        self.env.processes[process].lonely = (to % self.nimbuses.len(), beats);
        // It knows the nimbuses from its supervisor.
        if mute || beats < AWAY_AFTER || self.env.processes[process].table.is_none() {
            return;
        }
        self.env.count("direct");
        let it = &self.env.processes[process];
        let news = WorkerNews {
            topology: it.placement.topology.clone(),
            worker: it.placement.worker,
            epoch: Some(it.epoch.into()),
            report: Some(it.report(&self.env)),
            ..WorkerNews::default()
        };
        let to = it.lonely.0;
        if let Some(at) = self.env.travel(Node::Machine(machine), Node::Nimbus(to)) {
            self.env.schedule(at, Event::News { to, process, news: Box::new(news) });
        }
    }
}

impl Nimbus {
    /// A worker reports by itself; it is told if it is retired, and whom else to ask if this nimbus
    /// does not lead.
    pub(super) fn news(&mut self, process: usize, news: Box<WorkerNews>, env: &mut Env) {
        if !self.leads() {
            env.processes[process].lonely.0 += 1;
            return;
        }
        let machine = env.processes[process].machine;
        if self.engine.retired(&news).is_some() {
            env.count("retired by a nimbus");
            if let Some(at) = env.travel(self.life.node, Node::Machine(machine)) {
                env.schedule(at, Event::Process { process, what: ProcessEvent::Exit });
            }
        } else {
            env.note(|| format!("p{process} reports to {:?} itself", self.life));
            self.direct.insert((format!("m{machine}"), news.topology.clone()), env.now);
            env.count("lives on");
        }
        if !env.does_wrong(Sabotage::IgnoreDirect) {
            self.handle(Told::News(news), env);
        }
    }
}
