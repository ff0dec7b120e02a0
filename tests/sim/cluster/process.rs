//! The process of a worker, as its supervisor and its peers see it: it starts, says hello, reports,
//! and may die, hang, stand still or not listen at any time.

use std::sync::Arc;

use proto::supervisor::desired_state::State as DesiredState;
use proto::supervisor::{LinkReport, RoutingTable, TaskReport, WorkerReport};
use supervisor::engine::{Epoch, Instructions, Placement};

use super::env::{Env, Node};
use super::events::{Event, ProcessEvent, Said};
use super::executors::Executors;
use super::plan::{MS, SECOND, Weather};

/// How often it reports.
const BEAT: u64 = 600 * MS;

/// The longest that a report takes on a machine that is too busy: less than what makes it a silence
/// of which a supervisor would make an end.
const LATE: u64 = 8 * SECOND;

/// A process, of whatever supervisor's life.
pub(super) struct Process {
    pub(super) machine: usize,
    pub(super) placement: Placement,
    pub(super) epoch: Epoch,
    pub(super) token: u64,
    pub(super) alive: bool,
    /// It says nothing any more.
    pub(super) hung: bool,
    /// Since when, and until when, it is stopped and does nothing at all.
    pub(super) stopped: (u64, u64),
    /// Until when it gets little time on a busy machine.
    pub(super) slow_until: u64,
    /// It does not listen when it is asked to stop.
    stubborn: bool,
    /// The life of the supervisor that it talks to.
    pub(super) attached: Option<u64>,
    /// When that heard of it last.
    pub(super) heard: u64,
    /// When what it says next arrives there: one stream keeps its order.
    stream: u64,
    /// The nimbus that it asks next, while it has no supervisor; and since how many beats.
    pub(super) lonely: (usize, u32),
    pub(super) table: Option<Arc<RoutingTable>>,
    pub(super) state: Option<DesiredState>,
    pub(super) executors: Executors,
    idle_from: u64,
}

impl Process {
    /// Starts a process; it is the next of the list.
    pub(super) fn start(
        machine: usize,
        (placement, epoch, token): (Placement, Epoch, u64),
        env: &mut Env,
    ) {
        let process = env.processes.len();
        env.note(|| {
            let Placement { topology, worker, slot, .. } = &placement;
            format!("p{process} starts: {topology} w{worker} {epoch} on machine {machine}:{slot}")
        });
        env.count("processes");
        let storm = !env.healed && env.plan.weather == Weather::Storm;
        let misbehaves = if storm { 0.04 } else { 0.0 };
        let it = Self {
            machine,
            executors: Executors::new(placement.worker, epoch),
            placement,
            epoch,
            token,
            alive: true,
            hung: env.chance(misbehaves),
            stopped: (0, 0),
            slow_until: 0,
            stubborn: env.chance(2.0 * misbehaves),
            attached: None,
            heard: 0,
            stream: 0,
            lonely: (0, 0),
            table: None,
            state: None,
            idle_from: 0,
        };
        let now = env.now;
        env.witness.started(&it, &env.processes, now);
        env.processes.push(it);
        env.soon(300 * MS, Event::Process { process, what: ProcessEvent::Begin });
        if env.chance(misbehaves) {
            env.soon(2 * SECOND, Event::Process { process, what: ProcessEvent::End });
        }
    }

    /// Tells whether it is stopped.
    pub(super) fn is_stopped(&self, now: u64) -> bool {
        self.stopped.1 > now
    }

    /// Tells whether it is connected to another, as far as that can be known here.
    pub(super) fn is_connected(&self, peer: &Self, env: &Env) -> bool {
        let (here, there) = (Node::Machine(self.machine), Node::Machine(peer.machine));
        let open = |from, to| env.blocked_until(from, to).is_none();
        let apart = self.machine != peer.machine && !(open(here, there) && open(there, here));
        peer.alive && !peer.hung && !peer.is_stopped(env.now) && !apart
    }

    fn links(&self, env: &Env) -> Vec<LinkReport> {
        let routes = self.table.iter().flat_map(|table| &table.workers);
        let others = routes.filter(|route| route.worker != self.placement.worker);
        let link = |route: &proto::supervisor::WorkerRoute| {
            let epoch = route.epoch.map(Epoch::from).unwrap_or_default();
            let is_peer = |it: &&Self| {
                it.placement.topology == self.placement.topology
                    && (it.placement.worker, it.epoch) == (route.worker, epoch)
                    && it.attached.is_some()
            };
            let peer = env.processes.iter().find(is_peer);
            let connected = peer.is_some_and(|peer| self.is_connected(peer, env));
            LinkReport { peer: route.worker, connected, ..LinkReport::default() }
        };
        others.map(link).collect()
    }

    /// What it reports now.
    pub(super) fn report(&self, env: &Env) -> WorkerReport {
        let idle = env.now >= self.idle_from;
        let task = TaskReport { pending: u64::from(!idle), ..TaskReport::default() };
        WorkerReport {
            tasks: vec![task],
            drained: idle && self.state == Some(DesiredState::Draining),
            links: self.links(env),
            table_version: self.table.as_ref().map_or(0, |table| table.version),
            released: self.executors.released(env),
            ..WorkerReport::default()
        }
    }
}

impl Env {
    /// Lets a process do something.
    pub(super) fn process(&mut self, process: usize, what: ProcessEvent) {
        let it = &self.processes[process];
        if !it.alive {
            return;
        }
        // Nothing else reaches one that is stopped until it goes on.
        if it.is_stopped(self.now) && !matches!(what, ProcessEvent::End) {
            let until = it.stopped.1;
            if until < u64::MAX {
                self.schedule(until, Event::Process { process, what });
            }
            return;
        }
        match what {
            ProcessEvent::Begin | ProcessEvent::Beat => {
                self.say(process);
                let slow = if self.processes[process].slow_until > self.now { LATE } else { 0 };
                let at = self.now + BEAT + self.below(0..100 * MS + slow);
                self.schedule(at, Event::Process { process, what: ProcessEvent::Beat });
            }
            ProcessEvent::Wake => self.count("woken"),
            ProcessEvent::Turn => {
                if self.turn(process) && self.processes[process].attached.is_some() {
                    self.say(process);
                }
            }
            ProcessEvent::Orders { instructions, stop } => self.orders(process, instructions, stop),
            ProcessEvent::Terminate => {
                let it = &self.processes[process];
                if !it.stubborn && !it.hung {
                    self.soon(500 * MS, Event::Process { process, what: ProcessEvent::Exit });
                }
            }
            ProcessEvent::Exit | ProcessEvent::End => {
                self.note(|| format!("p{process} ended"));
                self.processes[process].alive = false;
                self.soon(50 * MS, Event::Ended { process });
            }
        }
    }

    /// It says hello to its supervisor, or reports.
    fn say(&mut self, process: usize) {
        let it = &self.processes[process];
        if it.hung {
            return;
        }
        let said = match it.attached {
            Some(_) => Said::Report(Box::new(it.report(self))),
            None => Said::Hello(it.executors.released(self)),
        };
        let at = self.now + self.below(0..MS);
        let stream = &mut self.processes[process].stream;
        *stream = at.max(*stream);
        let at = *stream;
        self.schedule(at, Event::Said { process, said });
    }

    fn orders(&mut self, process: usize, instructions: Option<Instructions>, stop: bool) {
        if self.processes[process].hung {
            return;
        }
        if stop {
            return self.process(process, ProcessEvent::Terminate);
        }
        let Some(Instructions { table, state, .. }) = instructions else { return };
        let idle_from = self.now + self.below(0..3 * SECOND);
        let it = &mut self.processes[process];
        if it.state != state {
            it.state = state;
            it.idle_from = idle_from;
        }
        let newer = |table: &Arc<RoutingTable>| {
            it.table.as_ref().is_none_or(|held| table.version > held.version)
        };
        let Some(table) = table.filter(newer) else { return };
        self.witness.told(&self.processes[process], &table);
        if self.adopt(process, &table) {
            self.processes[process].table = Some(table);
        } else {
            // Its successor is known: it exits, whoever started it.
            self.count("retired by a table");
            self.process(process, ProcessEvent::Exit);
        }
    }
}
