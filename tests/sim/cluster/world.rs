//! A cluster: takes one event after another until all has come to rest.

use proto::supervisor::SupervisorReport;

use super::client::Client;
use super::disk::Disk;
use super::env::{Env, Life, Node};
use super::events::{Answered, Event, ProcessEvent};
use super::nimbus::Nimbus;
use super::plan::{SECOND, Weather};
use super::sabotage::Sabotage;
use super::supervisor::Supervisor;

/// More events than any cluster should need.
const EVENTS_MAX: u64 = 2_000_000;

/// How often it is looked whether all has come to rest.
const LOOK_EVERY: u64 = SECOND;

/// The longest that this takes once nothing goes wrong any more.
const REST_WITHIN: u64 = 240 * SECOND;

/// All there is.
pub(super) struct World {
    pub(super) env: Env,
    pub(super) nimbuses: Vec<Nimbus>,
    pub(super) supervisors: Vec<Supervisor>,
    pub(super) clients: Vec<Client>,
    rested: bool,
}

impl World {
    pub(super) fn new(seed: u64, sabotage: Option<Sabotage>, traced: bool) -> Self {
        let mut env = Env::new(seed, sabotage, traced);
        let nimbuses = (0..env.plan.nimbuses).map(|at| Nimbus::new(at, 1, &mut env)).collect();
        let supervisors = (0..env.plan.machines.len())
            .map(|at| Supervisor::new(at, 1, Disk::default(), &mut env))
            .collect();
        let clients = (0..env.plan.clients).map(|at| Client::new(at, &mut env)).collect();
        for at in 0..env.plan.faults.len() {
            env.schedule(env.plan.faults[at].0, Event::Fault(at));
        }
        env.schedule(env.plan.faults_end, Event::Heal);
        env.schedule(0, Event::StoreTick);
        Self { env, nimbuses, supervisors, clients, rested: false }
    }

    /// Runs until all has come to rest.
    pub(super) fn run(&mut self) {
        let mut events = 0;
        while !self.rested {
            let event = self.env.next().expect("clocks tick");
            events += 1;
            assert!(events < EVENTS_MAX, "it does not come to rest: {:?}", self.unrest());
            self.take(event);
        }
        let moves = self.env.witness.moves;
        let quiet = self.env.plan.weather != Weather::Storm;
        assert!(!quiet || moves == 0, "{moves} workers moved and no supervisor was ever away");
    }

    /// Until when a node stands still; none that is dead takes anything.
    fn paused(&self, node: Node) -> Option<u64> {
        match node {
            Node::Nimbus(at) => Some(self.nimbuses[at].paused_until),
            Node::Machine(at) => Some(self.supervisors[at].paused_until),
            Node::Store | Node::Client(_) => None,
        }
    }

    /// The node that takes an event, if one does.
    fn taker(&self, event: &Event) -> Option<Node> {
        match event {
            Event::Timer(life, _)
            | Event::Slot { to: life, .. }
            | Event::Later { to: life, .. } => Some(life.node),
            Event::Report { to, .. }
            | Event::HungUp { to, .. }
            | Event::Request { to, .. }
            | Event::News { to, .. } => Some(Node::Nimbus(*to)),
            Event::Said { process, .. } | Event::Ended { process } => {
                Some(Node::Machine(self.env.processes[*process].machine))
            }
            _ => None,
        }
    }

    fn lives(&self, life: Life) -> bool {
        match life.node {
            Node::Nimbus(at) => self.nimbuses[at].alive && self.nimbuses[at].life == life,
            Node::Machine(at) => self.supervisors[at].alive && self.supervisors[at].life == life,
            Node::Store | Node::Client(_) => true,
        }
    }

    fn take(&mut self, event: Event) {
        if let Some(until) = self.taker(&event).and_then(|node| self.paused(node))
            && until > self.env.now
        {
            return self.env.schedule(until, event);
        }
        match event {
            Event::AtStore { call, from, ask } => self.env.at_store(call, from, ask),
            Event::Answer { call, answered } => self.answer(call, answered),
            Event::NoAnswer { call } => {
                let late = coordination::Error::Unavailable("no answer".to_owned());
                self.answer(call, Err(late));
            }
            Event::Watch(at) => self.watch(at),
            Event::StoreTick => {
                self.env.show(None);
                self.env.touch();
                self.env.schedule(self.env.now + SECOND / 4, Event::StoreTick);
            }
            Event::Timer(life, timer) if self.lives(life) => match life.node {
                Node::Nimbus(at) => self.nimbuses[at].timer(timer, &mut self.env),
                Node::Machine(at) => self.supervisors[at].timer(timer, &mut self.env),
                Node::Store | Node::Client(_) => {}
            },
            Event::Report { to, report } => self.report(to, report),
            Event::HungUp { to, supervisor } if self.nimbuses[to].alive => {
                self.nimbuses[to].hung_up(supervisor, &mut self.env);
            }
            Event::Request { to, client, number, request } if self.nimbuses[to].alive => {
                self.nimbuses[to].requested((client, number), request, &mut self.env);
            }
            Event::News { to, process, news } if self.nimbuses[to].alive => {
                self.nimbuses[to].news(process, news, &mut self.env);
            }
            Event::Heard { client, number, from, heard } => {
                self.clients[client].heard(number, from, heard, &mut self.env);
            }
            Event::Act { client } => self.clients[client].act(&mut self.env),
            Event::Again { client, number } => self.clients[client].again(number, &mut self.env),
            Event::Slot { .. } | Event::Later { .. } | Event::Said { .. } | Event::Ended { .. } => {
                self.at_supervisor(event);
            }
            Event::Process { process, what } => {
                let beats = matches!(what, ProcessEvent::Beat);
                self.env.process(process, what);
                if beats {
                    self.direct(process);
                }
            }
            Event::Start(node) => self.start(node),
            Event::Fault(at) => self.fault(self.env.plan.faults[at].1),
            Event::Back => {
                self.env.etcd.set_away(false);
                self.env.touch();
            }
            Event::Heal => self.heal(),
            Event::Look => self.look(),
            Event::Timer(..)
            | Event::HungUp { .. }
            | Event::Request { .. }
            | Event::News { .. } => {}
        }
        self.stopped();
    }

    /// A supervisor hears of a slot or of a process.
    fn at_supervisor(&mut self, event: Event) {
        match event {
            Event::Slot { to, slot, event } => {
                if let (Node::Machine(at), true) = (to.node, self.lives(to)) {
                    self.supervisors[at].on(slot, event, &mut self.env);
                }
            }
            Event::Later { to, command } => {
                if let (Node::Machine(at), true) = (to.node, self.lives(to)) {
                    self.supervisors[at].later(*command, &mut self.env);
                }
            }
            Event::Said { process, said } => {
                let it = &self.env.processes[process];
                let supervisor = &mut self.supervisors[it.machine];
                if it.alive && supervisor.alive {
                    supervisor.said(process, said, &mut self.env);
                }
            }
            Event::Ended { process } => {
                let supervisor = &mut self.supervisors[self.env.processes[process].machine];
                if supervisor.alive {
                    supervisor.ended(process, &mut self.env);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, call: u64, answered: Answered) {
        // Whoever stands still finds the answer when it goes on.
        let Some((life, why)) = self.env.etcd.finish(call) else { return };
        let until = self.paused(life.node).filter(|until| *until > self.env.now);
        if let Some(until) = until {
            self.env.etcd.put_back(call, life, why);
            return self.env.schedule(until, Event::Answer { call, answered });
        }
        if !self.lives(life) {
            return;
        }
        match life.node {
            Node::Nimbus(at) => self.nimbuses[at].answered(why, answered, &mut self.env),
            Node::Machine(at) => self.supervisors[at].answered(why, answered, &mut self.env),
            Node::Store | Node::Client(_) => {}
        }
    }

    fn watch(&mut self, watch: usize) {
        if let Some(until) = self.env.etcd.whose(watch).and_then(|life| self.paused(life.node))
            && until > self.env.now
        {
            return self.env.schedule(until, Event::Watch(watch));
        }
        let Some((life, shown)) = self.env.etcd.poll(watch) else { return };
        if !self.lives(life) {
            return self.env.etcd.end_watch(watch);
        }
        for shown in shown {
            match life.node {
                Node::Nimbus(at) => {
                    let nimbus = &mut self.nimbuses[at];
                    let event = nimbus.mirror.shown(watch, shown, life, &mut self.env);
                    nimbus.mirrored(event, &mut self.env);
                }
                Node::Machine(at) => {
                    let supervisor = &mut self.supervisors[at];
                    let event = supervisor.mirror.shown(watch, shown, life, &mut self.env);
                    supervisor.mirrored(event, &mut self.env);
                }
                Node::Store | Node::Client(_) => {}
            }
        }
    }

    fn report(&mut self, to: usize, report: Box<SupervisorReport>) {
        if self.nimbuses[to].alive {
            self.nimbuses[to].reported(report, &mut self.env);
        }
    }

    /// Whoever was asked to stop and has stopped is started again later.
    fn stopped(&mut self) {
        for at in 0..self.supervisors.len() {
            if self.supervisors[at].alive && self.supervisors[at].engine.is_over() {
                self.env.count("stops");
                if let Some(lease) = self.supervisors[at].lease() {
                    self.env.etcd.revoke(lease);
                }
                self.kill(Node::Machine(at), 6 * SECOND);
            }
        }
    }

    /// A node dies, and is started again within a while.
    pub(super) fn kill(&mut self, node: Node, within: u64) {
        self.env.note(|| format!("{node:?} dies"));
        match node {
            Node::Nimbus(at) => self.nimbuses[at].alive = false,
            Node::Machine(at) => {
                self.supervisors[at].alive = false;
                self.supervisors[at].hang_up(&mut self.env);
            }
            Node::Store | Node::Client(_) => {}
        }
        for process in &mut self.env.processes {
            if Node::Machine(process.machine) == node {
                process.attached = None;
            }
        }
        self.env.soon(within, Event::Start(node));
    }

    fn start(&mut self, node: Node) {
        self.env.note(|| format!("{node:?} starts"));
        match node {
            Node::Nimbus(at) if !self.nimbuses[at].alive => {
                let life = self.nimbuses[at].life.number + 1;
                self.nimbuses[at] = Nimbus::new(at, life, &mut self.env);
            }
            Node::Machine(at) if !self.supervisors[at].alive => {
                let life = self.supervisors[at].life.number + 1;
                let disk = std::mem::take(&mut self.supervisors[at].disk);
                self.supervisors[at] = Supervisor::new(at, life, disk, &mut self.env);
            }
            _ => {}
        }
    }

    fn heal(&mut self) {
        self.env.note(|| "all is well from now on".to_owned());
        self.env.healed = true;
        self.env.unblock();
        self.env.etcd.set_away(false);
        (self.env.etcd.full_until, self.env.etcd.slow_until) = (0, 0);
        self.env.touch();
        self.env.schedule(self.env.now + LOOK_EVERY, Event::Look);
    }

    fn look(&mut self) {
        let Some(unrest) = self.unrest() else {
            self.rested = true;
            return;
        };
        let late = self.env.plan.faults_end + REST_WITHIN;
        assert!(self.env.now < late, "it does not come to rest: {unrest}");
        self.env.schedule(self.env.now + LOOK_EVERY, Event::Look);
    }
}
